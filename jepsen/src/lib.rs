//! Fault injection: real `caudal` processes under kills, pauses, partitions, clock jumps and disk faults, with a checker over the
//! histories that real clients saw.
//!
//! # Layout
//! - [`history`]: what clients asked for and were told

pub mod history;
