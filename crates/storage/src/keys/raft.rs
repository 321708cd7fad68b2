//! Column family `raft`: what a Raft group must remember beside its log. All of it is written through the
//! [`LogWriter`](crate::LogWriter), synced.
//!
//! Key: Raft group (u64), field (u8). Value: version (u8), then the field's bytes, which `caudal-raft` encodes.

use bytes::Bytes;
use caudal_types::RaftGroupId;

/// The fields; persisted, keep stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RaftField {
    /// Term, candidate voted for, and whether a majority granted it.
    Vote = 0,
    /// The last log id known to be committed.
    Committed = 1,
    /// The last log id that was purged.
    Purged = 2,
    /// The newest snapshot's log id, membership and id.
    Snapshot = 3,
}

/// The key of a field.
pub fn key(_group: RaftGroupId, _field: RaftField) -> Bytes {
    todo!()
}

/// The half-open key range of all fields of a Raft group, for removing the group.
pub fn group_range(_group: RaftGroupId) -> (Bytes, Bytes) {
    todo!()
}
