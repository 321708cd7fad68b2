//! Any bytes as a record batch, as they are and with a checksum that fits: without one, the fuzzer would hardly get past it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    caudal_protocol::fuzzing::batch(bytes);
    caudal_protocol::fuzzing::batch(&caudal_protocol::fuzzing::with_checksum(bytes));
});
