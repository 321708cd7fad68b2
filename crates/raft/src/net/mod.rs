//! Raft's messages between nodes.
//!
//! # Layout
//! - [`convert`]: openraft's words in the wire's, and back
//! - [`client`]: openraft's network: votes, snapshots, transfers
//! - [`append`]: entries, many requests in flight
//! - [`spares`]: which followers may sync entries later
//! - [`heartbeats`]: the heartbeats of all groups to one node, sent together
//! - [`service`]: the other side of all of these
//! - [`incoming`]: snapshots being received

pub(crate) mod append;
pub(crate) mod client;
pub(crate) mod convert;
pub(crate) mod heartbeats;
pub(crate) mod incoming;
pub(crate) mod service;
pub(crate) mod spares;
