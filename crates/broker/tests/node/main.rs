//! A broker on a single node within the test's process, spoken to with raw requests.

mod admin;
mod bad_input;
mod groups;
mod harness;
mod records;
mod versions;
