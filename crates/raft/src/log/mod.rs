//! The log of a Raft group: what is in memory, what is on the disk, and openraft's view of both.
//!
//! # Layout
//! - [`cache`]: one budget of memory for the newest entries of all groups
//! - [`damage`]: replicas that cannot be read any more
//! - [`flush`]: whether the log is synced before its entries are acknowledged
//! - [`group_log`]: one group's log: tail in memory, everything else on the disk
//! - [`patience`]: entries whose sync may wait, since nobody waits for it
//! - [`rewrite`]: entries whose payloads are written anew, in their places
//! - [`reader`] and [`store`]: the same as openraft's traits

pub(crate) mod cache;
pub(crate) mod damage;
pub(crate) mod flush;
pub(crate) mod group_log;
pub(crate) mod patience;
pub(crate) mod reader;
mod rewrite;
pub(crate) mod store;

pub(crate) use cache::LogCache;
pub(crate) use damage::Damage;
pub(crate) use group_log::GroupLog;
pub(crate) use store::LogStore;
