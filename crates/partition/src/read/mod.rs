//! Reading batches back.
//!
//! # Layout
//! - [`fetch`]: whole batches from an offset on
//! - [`index`]: the rows that say where batches lie
//! - [`entries`]: the batches themselves, from the Raft log
//! - [`aborted`]: the aborted transactions in a range
//! - [`time`]: finding batches by time

pub(crate) mod aborted;
pub(crate) mod ahead;
pub(crate) mod entries;
pub(crate) mod fetch;
pub(crate) mod index;
pub(crate) mod time;
