//! How logs become shorter: what is past a topic's retention goes, and the space with it.
//!
//! The leader of a partition decides where its log begins from now on, and puts that into the log; every replica applies it alike, and then purges its
//! own Raft log by itself. A node has one task for each of the steps, whatever the number of its partitions.
//!
//! # Layout
//! - [`decide`]: which segments are past their retention, as a pure function
//! - [`delete`]: DeleteRecords, and the command that both have
//! - [`keeper`]: looks for what is due, now and then
//! - [`purger`]: purges the Raft logs that are longer than needed
//! - [`reclaimer`]: gives the space of what was removed back to the disk
//! - [`chores`]: what the state machines leave to the last two

mod chores;
mod decide;
mod delete;
mod keeper;
mod purger;
mod reclaimer;

pub(crate) use chores::Chores;
pub(crate) use keeper::{Keeper, RETENTION};
pub(crate) use purger::{LOG_PURGER, Purger};
pub(crate) use reclaimer::Reclaimer;
