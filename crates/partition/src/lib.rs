//! A Kafka partition on a Raft group: the Raft log is the partition.
//!
//! # Layout
//! - [`partition`]: append, read, list offsets
//! - [`partitions`]: the partitions on this node, kept as the cluster image says
//! - [`error`]: why appends and reads are refused

pub mod error;
pub mod partition;
pub mod partitions;

pub use error::{AppendError, ReadError};
pub use partition::{
    Appended, EpochEnd, FoundOffset, OffsetQuery, Partition, PartitionOffsets, PendingAppend, ReadOutcome, ReadRequest,
};
pub use partitions::{Partitions, PartitionsConfig};
