//! openraft's asynchronous state machine on top of our small synchronous one. Written once, for every kind of state machine.
//!
//! # Layout
//! - [`adapter`]: apply, and openraft's trait
//! - [`core`](self::core): the state behind it: what is applied, under which membership, and the snapshots
//! - [`rows`]: the rows that this crate keeps beside the state machine's own

pub(crate) mod adapter;
pub(crate) mod core;
pub(crate) mod rows;

pub(crate) use adapter::MachineAdapter;
pub(crate) use core::{MachineCore, SnapshotKeeping};
