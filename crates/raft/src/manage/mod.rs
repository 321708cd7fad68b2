//! What a node does for all of its Raft groups together.
//!
//! # Layout
//! - [`shared`]: the groups that are open, and what they share
//! - [`opening`]: how a group's replica comes to life, and goes
//! - [`overseer`]: the one task that watches over all groups
//! - [`elections`]: groups without a leader get one
//! - [`campaign`]: how a node stands for election, and whom it would vote for
//! - [`confirmation`]: whether leaders that are not heard of still lead
//! - [`recovery`]: how a replica that may have forgotten what it promised comes back
//! - [`forgotten`]: which replicas those are, on a node that has lost its data
//! - [`rebuild`]: how a damaged replica is thrown away
//! - [`takeover`]: leaderships of a lost node are taken over
//! - [`balance`]: leaderships go back to the preferred leaders, or away from this node
//! - [`errands`]: what operators want of the node that leads a group, wherever they ask

pub(crate) mod balance;
pub(crate) mod campaign;
pub(crate) mod confirmation;
pub(crate) mod elections;
pub(crate) mod errands;
pub(crate) mod forgotten;
pub(crate) mod opening;
pub(crate) mod overseer;
pub(crate) mod rebuild;
pub(crate) mod recovery;
pub(crate) mod shared;
pub(crate) mod takeover;

pub(crate) use shared::Shared;
