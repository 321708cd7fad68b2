//! Three nodes in one process.
#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

mod failover;
mod harness;
mod overdue;
