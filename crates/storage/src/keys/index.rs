//! Column family `index`: where a partition's batches lie in its Raft log.
//!
//! Key: Raft group (u64), base offset (u64). Value: version (u8), Raft index (u64), last offset (u64), leader epoch (u32),
//! position of the batch's bytes in the entry's payload (u32), their length (u32), max timestamp (i64).

use bytes::Bytes;
use caudal_types::{LeaderEpoch, Offset, RaftGroupId, TimestampMs};

use crate::StorageError;

/// Where one batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// The batch's first offset.
    pub base_offset: Offset,
    /// The batch's last offset.
    pub last_offset: Offset,
    /// The Raft log index of the entry that holds the batch.
    pub raft_index: u64,
    /// The leader epoch under which it was appended.
    pub leader_epoch: LeaderEpoch,
    /// Where the batch's bytes begin in the entry's payload.
    pub position: u32,
    /// How many bytes the batch has.
    pub length: u32,
    /// The largest timestamp in the batch.
    pub max_timestamp: TimestampMs,
}

/// The key of a row.
pub fn key(_group: RaftGroupId, _base_offset: Offset) -> Bytes {
    todo!()
}

/// The half-open key range of a Raft group's rows.
pub fn group_range(_group: RaftGroupId) -> (Bytes, Bytes) {
    todo!()
}

/// Encodes the value.
pub fn encode(_row: &IndexRow) -> Bytes {
    todo!()
}

/// Decodes a row from its key and value.
///
/// # Errors
/// [`StorageError::Corrupt`] when they are not this column family's.
pub fn decode(_key: &[u8], _value: &[u8]) -> Result<IndexRow, StorageError> {
    todo!()
}
