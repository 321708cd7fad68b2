//! A broker on a single node within the test's process, spoken to with raw requests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::field_reassign_with_default, reason = "wrapped messages have no other way to set fields")]

mod admin;
mod bad_input;
mod groups;
mod harness;
mod operations;
mod records;
mod transactions;
mod versions;
