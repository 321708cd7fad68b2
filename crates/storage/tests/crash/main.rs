//! What was acknowledged is there after a crash, and a crash never keeps the database from opening.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod entries;
mod kills;
mod torn_tail;
mod writer;

use std::env;
use std::path::Path;

/// Not a test by itself: the process that [`kills`] kills.
#[test]
#[ignore = "the crash test starts it as a process of its own"]
fn writer_process() {
    if let Some(directory) = env::var_os(writer::DIRECTORY) {
        writer::run(Path::new(&directory));
    }
}
