//! The log of a Raft group: what is in memory, what is on the disk, and openraft's view of both.
//!
//! # Layout
//! - [`cache`]: one budget of memory for the newest entries of all groups
//! - [`group_log`]: one group's log: tail in memory, everything else on the disk
//! - [`reader`] and [`store`]: the same as openraft's traits

pub(crate) mod cache;
pub(crate) mod group_log;
pub(crate) mod reader;
pub(crate) mod store;

pub(crate) use cache::LogCache;
pub(crate) use group_log::GroupLog;
pub(crate) use store::LogStore;
