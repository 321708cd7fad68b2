//! What Fetch needs beside its handler: sessions (KIP-227), long polls, and an encoding that does not copy records.

pub(crate) mod encode;
pub(crate) mod nearest;
pub(crate) mod poll;
pub(crate) mod session;

use std::sync::Arc;

use bytes::Bytes;
use caudal_metadata::NodeImage;
use caudal_partition::{AbortedTransaction, EpochEnd};
use caudal_protocol::ErrorCode;
use caudal_types::{LeaderEpoch, NodeId, Offset};

use crate::cluster::TopicRef;
use crate::memory::BytesTaken;

/// A partition, as a Fetch names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartitionKey {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
}

/// What a client wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) offset: Offset,
    pub(crate) max_bytes: usize,
    /// The leader epoch that the client believes in; -1 when it does not say.
    pub(crate) current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the client has; -1 when it does not say.
    pub(crate) last_fetched_epoch: LeaderEpoch,
}

/// What a partition's part of the answer says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fetched {
    pub(crate) key: PartitionKey,
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    pub(crate) log_start: Offset,
    /// Where the client's history differs from the partition's.
    pub(crate) diverging: Option<EpochEnd>,
    /// Whom to ask instead: node and epoch.
    pub(crate) leader: Option<(i32, LeaderEpoch)>,
    /// Which follower to read from, as it is in the client's rack (KIP-392).
    pub(crate) nearer: Option<NodeId>,
    /// Whole batches, in pieces.
    pub(crate) records: Vec<Bytes>,
    /// The transactions whose records a reader of committed records skips.
    pub(crate) aborted: Vec<AbortedTransaction>,
}

impl Fetched {
    /// The part of a partition that cannot be read.
    pub(crate) fn failed(key: PartitionKey, error: ErrorCode) -> Self {
        Self {
            key,
            error,
            high_watermark: -1,
            last_stable: -1,
            log_start: -1,
            diverging: None,
            leader: None,
            nearer: None,
            records: Vec::new(),
            aborted: Vec::new(),
        }
    }

    pub(crate) fn records_len(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

/// The answer to a Fetch.
#[derive(Debug)]
pub(crate) struct FetchAnswer {
    pub(crate) error: ErrorCode,
    pub(crate) session_id: i32,
    pub(crate) partitions: Vec<Fetched>,
    /// Readers of committed records are told of aborted transactions, others get null.
    pub(crate) committed_only: bool,
    /// Where the leaders named in the answer can be reached.
    pub(crate) endpoints: Vec<Arc<NodeImage>>,
    /// The memory that the records occupy.
    pub(crate) held: Option<BytesTaken>,
    /// How long the client has to wait before it asks again, in milliseconds.
    pub(crate) throttle_ms: i32,
}

impl FetchAnswer {
    /// An answer that says only what is wrong.
    pub(crate) fn refused(error: ErrorCode, session_id: i32) -> Self {
        Self {
            error,
            session_id,
            partitions: Vec::new(),
            committed_only: false,
            endpoints: Vec::new(),
            held: None,
            throttle_ms: 0,
        }
    }

    /// Nothing, since the client has fetched more than its quotas allow: it waits and asks again.
    pub(crate) fn throttled(session_id: i32, throttle_ms: i32) -> Self {
        Self { throttle_ms, ..Self::refused(ErrorCode::NONE, session_id) }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.error.is_error() || self.partitions.iter().any(|partition| partition.error.is_error())
    }
}
