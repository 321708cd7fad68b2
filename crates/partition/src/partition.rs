//! A partition's replica on this node.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use caudal_raft::{GroupStatus, Leadership};
use caudal_types::{LeaderEpoch, NodeId, Offset, RaftGroupId, TimestampMs, TopicId, TopicPartition};
use tokio::sync::watch;

use crate::{AppendError, ReadError};

/// Where a batch was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The time of the append, when the topic's timestamps are LogAppendTime; else -1.
    pub log_append_time: TimestampMs,
    /// The log's start.
    pub log_start: Offset,
    /// The batch was there before: the answer is the first one's.
    pub duplicate: bool,
}

/// An append's outcome to come: the batch is durable on a majority, or refused.
pub type PendingAppend = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

/// A partition's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PartitionOffsets {
    /// The first offset that can be read.
    pub log_start: Offset,
    /// One past the last committed record.
    pub high_watermark: Offset,
    /// One past the last record that a read_committed reader may see.
    pub last_stable: Offset,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The first offset wanted. A batch that holds it is returned whole.
    pub offset: Offset,
    /// The most bytes of batches.
    pub max_bytes: usize,
    /// Return the first batch even if it is larger than `max_bytes`, so that readers progress.
    pub at_least_one: bool,
    /// Read only up to the last stable offset.
    pub committed_only: bool,
    /// The leader epoch that the client believes in (KIP-320); -1 when it does not say.
    pub current_leader_epoch: LeaderEpoch,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    /// The partition's offsets, from the moment of the read.
    pub offsets: PartitionOffsets,
    /// Whole batches with base offset and leader epoch filled in, in order, as slices that may be sent without copying. Each batch may be
    /// in several pieces (patched header, rest).
    pub records: Vec<Bytes>,
}

impl ReadOutcome {
    /// How many bytes of records there are.
    pub fn len(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Which offset is wanted (ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The log's start.
    Earliest,
    /// The high watermark, or the last stable offset for read_committed readers; takes a quorum round.
    Latest {
        /// For a read_committed reader.
        committed_only: bool,
    },
    /// The first record whose timestamp is at least this.
    Timestamp(TimestampMs),
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
}

/// An offset found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset.
    pub offset: Offset,
    /// The record's timestamp; -1 where the query was not about time.
    pub timestamp: TimestampMs,
    /// The leader epoch of the record.
    pub leader_epoch: LeaderEpoch,
}

/// Where an epoch ends (OffsetForLeaderEpoch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch at most the asked one that has records; -1 if none.
    pub epoch: LeaderEpoch,
    /// One past its last offset; -1 if none.
    pub end_offset: Offset,
}

/// A partition's replica on this node. Shared as an `Arc`.
#[derive(Debug)]
pub struct Partition {}

impl Partition {
    /// Which partition.
    pub fn name(&self) -> &TopicPartition {
        todo!()
    }

    /// Its topic's id.
    pub fn topic_id(&self) -> TopicId {
        todo!()
    }

    /// Its Raft group.
    pub fn group(&self) -> RaftGroupId {
        todo!()
    }

    /// Its replicas; the first is the preferred leader.
    pub fn replicas(&self) -> Vec<NodeId> {
        todo!()
    }

    /// Validates one record batch as a producer sent it (magic 2, size, CRC, counts, timestamps, keys on compacted topics) and enqueues it: returns when it
    /// has its place in the order; the outcome comes with the returned future. Batches of one caller are appended in the order of its calls.
    ///
    /// # Errors
    /// Nothing was enqueued.
    pub async fn append(&self, _batch: Bytes) -> Result<PendingAppend, AppendError> {
        todo!()
    }

    /// Reads committed batches, from memory if they are there, else from disk off the async threads. Does not wait for records: an empty outcome
    /// means that `offset` is the end; wait on [`offsets`](Self::offsets).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self, _request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        todo!()
    }

    /// The partition's offsets, as they grow.
    pub fn offsets(&self) -> watch::Receiver<PartitionOffsets> {
        todo!()
    }

    /// Finds an offset; `None` if no record fits.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn find_offset(
        &self,
        _query: OffsetQuery,
        _current_leader_epoch: LeaderEpoch,
    ) -> Result<Option<FoundOffset>, ReadError> {
        todo!()
    }

    /// Where the records of an epoch end.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn epoch_end(&self, _epoch: LeaderEpoch, _current_leader_epoch: LeaderEpoch) -> Result<EpochEnd, ReadError> {
        todo!()
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        todo!()
    }

    /// The Raft group's state.
    pub fn raft_status(&self) -> GroupStatus {
        todo!()
    }
}
