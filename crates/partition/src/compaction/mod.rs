//! Log compaction: of each key only the newest record stays, where a topic's `cleanup.policy` holds `compact`.
//!
//! The leader of a partition orders, in the log, up to which offset it is to be cleaned. Every replica then cleans for itself, in place: what the order
//! says depends on no replica's clock, so that all end with the same records. An entry that loses records keeps its place, its offsets and its producer's
//! sequences (see [`crate::command::Logged`]): applying it does what it always did. The decisions and their alternatives are in
//! `docs/adr/2026-11-27-cleaning-is-ordered-by-the-leader.md`.
//!
//! # Layout
//! - [`decide`]: when to order, and what, as a pure function
//! - [`orders`]: the leader's task that does so
//! - [`cleaner`]: the node's task that cleans its replicas, and [`pass`], one of its passes over one of them
//! - [`walk`], [`leave`]: reading batches in order; what is left of each
//! - [`bad`]: which batches that cannot be read were counted
//! - [`keys`]: the newest offset of each key
//! - [`progress`], [`lag`]: how far a replica is, and what is still to be done
//! - [`live`]: how the node cleans, as it is changed while it runs
//! - [`pace`], [`stats`]: bytes per second; counters

mod bad;
mod cleaner;
mod decide;
mod keys;
mod lag;
mod leave;
mod live;
mod orders;
mod pace;
mod pass;
mod progress;
mod stats;
mod walk;

use std::time::Duration;

pub(crate) use bad::BadBatches;
use caudal_types::limits::COMPACTION_KEYS_MAX_BYTES;
pub(crate) use cleaner::{Cleaner, LOG_CLEANER};
pub use lag::CompactionLag;
pub(crate) use live::LiveCompaction;
pub(crate) use orders::{COMPACTION_ORDERS, Orderer};
pub(crate) use progress::Progress;
pub use stats::CompactionStats;
pub(crate) use stats::Counters;
#[cfg(test)]
pub(crate) use {
    decide::{Log, next_order},
    pace::Pace,
    pass::{Ended, Workshop, clean},
};

/// How this node cleans.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactionConfig {
    /// How many partitions are cleaned at once (`log.cleaner.threads`).
    pub threads: usize,
    /// The memory in which they gather keys, over all of them; taken as it is needed (`log.cleaner.dedupe.buffer.size`).
    pub keys_bytes: usize,
    /// The most memory for keys that there is room for, when it is changed while the node runs.
    pub keys_bytes_max: usize,
    /// How many bytes they read and write in a second, together; `None` for as many as the disk gives (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second: Option<f64>,
    /// How long to wait until the next look when there is nothing to do (`log.cleaner.backoff.ms`).
    pub backoff: Duration,
}

impl Default for CompactionConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            threads: 1,
            keys_bytes: 128 << 20,
            keys_bytes_max: COMPACTION_KEYS_MAX_BYTES,
            bytes_per_second: None,
            backoff: Duration::from_secs(15),
        }
    }
}
