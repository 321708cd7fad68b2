//! What is done to the cluster, and when: drawn from a seed, printed as text, read back from it.
//!
//! # Layout
//! - [`schedule`]: a list of timed faults
//! - [`inject`]: does them

pub mod inject;
pub mod schedule;

pub use self::schedule::{Fault, Schedule, Timed};
