//! Column family `state`: the rows of the state machines.
//!
//! Key: Raft group (u64), row kind (u8), the row's own key. Value: the state machine's own, beginning with a version byte.
//! Row kinds below [`FIRST_USER_KIND`] belong to `caudal-raft` (applied position, memberships).

use bytes::Bytes;
use caudal_types::RaftGroupId;

/// The first row kind that a state machine may use.
pub const FIRST_USER_KIND: u8 = 16;

/// The key of a row.
pub fn key(_group: RaftGroupId, _kind: u8, _row_key: &[u8]) -> Bytes {
    todo!()
}

/// The half-open key range of one kind's rows.
pub fn kind_range(_group: RaftGroupId, _kind: u8) -> (Bytes, Bytes) {
    todo!()
}

/// The half-open key range of all rows of a Raft group that belong to its state machine.
pub fn user_range(_group: RaftGroupId) -> (Bytes, Bytes) {
    todo!()
}

/// The half-open key range of all rows of a Raft group.
pub fn group_range(_group: RaftGroupId) -> (Bytes, Bytes) {
    todo!()
}

/// The kind and the row's own key in a key.
pub fn split(_key: &Bytes) -> Option<(u8, Bytes)> {
    todo!()
}
