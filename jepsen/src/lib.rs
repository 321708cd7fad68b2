//! Fault injection: real `caudal` processes under kills, pauses, partitions, clock jumps and disk faults, with a checker over the
//! histories that real clients saw.
//!
//! # Layout
//! - [`history`]: what clients asked for and were told
//! - [`check`]: whether a correct system could have told them that
//! - [`report`]: what a run was, for people

pub mod check;
pub mod history;
pub mod report;
