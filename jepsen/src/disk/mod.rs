//! Disk faults: the preloaded library `faultdisk/`, and damage done to the files of a node that is down.
//!
//! # Layout
//! - [`control`]: commands to the library, and its counters
//! - [`records`]: what it keeps so that unsynced changes can be undone
//! - [`power`]: power loss
//! - [`damage`]: bit flips and truncation

pub mod control;
pub mod damage;
pub mod power;
pub mod records;

pub use control::Control;
