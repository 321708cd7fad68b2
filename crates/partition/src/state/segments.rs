//! Segments: runs of entries, each beginning with a checkpoint; and time blocks, runs of batches whose largest timestamp is kept so that a
//! search by time can step over them.

use std::sync::Arc;

use caudal_types::{Offset, TimestampMs};

use crate::state::Settings;

/// The batches of a time block. Fixed for ever: replicas must cut their blocks alike.
pub(crate) const TIME_BLOCK_BATCHES: u32 = 512;

/// The timestamp of nothing: smaller than any record's, which is at least -1.
pub(crate) const NO_TIMESTAMP: TimestampMs = i64::MIN;

/// A segment that takes no more batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The first offset.
    pub(crate) base: Offset,
    /// One past the last offset.
    pub(crate) end: Offset,
    /// The Raft index of its last entry: what the checkpoint at its end speaks of.
    pub(crate) last_index: u64,
    /// The bytes of its commands, refused ones included: they lie in the log too.
    pub(crate) bytes: u64,
    /// The log's time at its last entry.
    pub(crate) last_time: TimestampMs,
    /// The largest timestamp of its records.
    pub(crate) max_timestamp: TimestampMs,
}

/// The segment that takes batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenSegment {
    /// The first offset.
    pub(crate) base: Offset,
    /// The bytes of its commands so far.
    pub(crate) bytes: u64,
    /// The log's time at its first batch; `NO_TIMESTAMP` before that.
    pub(crate) first_time: TimestampMs,
    /// The largest timestamp so far.
    pub(crate) max_timestamp: TimestampMs,
}

impl OpenSegment {
    pub(crate) fn at(base: Offset) -> Self {
        Self { base, bytes: 0, first_time: NO_TIMESTAMP, max_timestamp: NO_TIMESTAMP }
    }

    /// Whether a batch of `len` bytes that comes at `time` belongs into the next segment.
    pub(crate) fn is_full_for(&self, len: u64, time: TimestampMs, settings: &Settings) -> bool {
        self.first_time != NO_TIMESTAMP
            && (self.bytes.saturating_add(len) > settings.segment_bytes
                || time.saturating_sub(self.first_time) > settings.segment_ms)
    }
}

/// A run of batches within a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeBlock {
    /// The first offset.
    pub(crate) base: Offset,
    /// The batches so far.
    pub(crate) batches: u32,
    /// The largest timestamp so far.
    pub(crate) max_timestamp: TimestampMs,
}

impl TimeBlock {
    pub(crate) fn at(base: Offset) -> Self {
        Self { base, batches: 0, max_timestamp: NO_TIMESTAMP }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batches >= TIME_BLOCK_BATCHES
    }
}

/// The closed segments, in order. Cloned cheaply for readers; copied on a change, which is rare.
pub(crate) type Segments = Arc<Vec<Segment>>;
