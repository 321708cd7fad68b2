//! A Kafka partition on a Raft group: the Raft log is the partition.
//!
//! # Layout
//! - [`partition`]: append, read, list offsets
//! - [`partitions`]: the partitions on this node, kept as the cluster image says
//! - [`error`]: why appends and reads are refused
//! - `command`, `reply`: what lies in the log, and what applying it answers
//! - `state`, `machine`: what commands do, as a pure function; and how Raft drives it
//! - [`transaction`]: what of a transaction a partition knows
//! - `view`: where the state machine and the readers meet
//! - `validate`, `recompress`, `append`, `transactions`, `config`, `in_sync`, `copies`: from a producer's batch to a place in the log
//! - `read`, `find`, `disk`: back from the log, by offset and by time
//! - `retention`: how logs become shorter, and the space of what went comes back
//! - `compaction`: of each key the newest record stays
//! - `followers`: reading from replicas that do not lead
//! - `reconciler`, `leftovers`, `directory`: the local replicas, as the cluster image has them
//! - `apart`: a partition whose share of background work panics does not hold up the others

mod apart;
mod append;
mod command;
pub mod compaction;
mod config;
mod copies;
mod directory;
mod disk;
pub mod error;
mod find;
mod followers;
mod in_sync;
mod leftovers;
mod machine;
pub mod partition;
pub mod partitions;
mod read;
mod recompress;
mod reconciler;
mod reply;
mod retention;
mod state;
pub mod transaction;
mod transactions;
mod validate;
mod view;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use compaction::{CompactionConfig, CompactionLag, CompactionStats};
pub use copies::Acks;
pub use error::{AppendError, DeleteRecordsError, ReadError, RecordFault};
pub use partition::{
    Appended, EpochEnd, FoundOffset, OffsetQuery, Partition, PartitionOffsets, PendingAppend, ReadOutcome, ReadRequest,
};
pub use partitions::{Partitions, PartitionsConfig};
pub use state::rows::REPLICAS_OWN_ROWS;
pub use transaction::{AbortedTransaction, DescribedProducer, EndMarker, Enlistment, OpenTransaction};
