//! Any frame: reading it must not panic, and what is accepted must survive a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let _ = caudal_protocol::fuzzing::request(frame);
});
