//! Column family `log`: the Raft logs.
//!
//! Key: Raft group (u64), index (u64). Value: version (u8), kind (u8), term (u64), CRC32C of all else (u32), payload.

use bytes::Bytes;
use caudal_types::RaftGroupId;

use crate::StorageError;

/// What an entry is; persisted, keep stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// Raft's own empty entry at the start of a term.
    Blank = 0,
    /// A command of the group's state machine.
    Normal = 1,
    /// A change of the group's members.
    Membership = 2,
}

/// A stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The term in which it was proposed.
    pub term: u64,
    /// What it is.
    pub kind: EntryKind,
    /// Its content.
    pub payload: Bytes,
}

/// The key of an entry.
pub fn key(_group: RaftGroupId, _index: u64) -> Bytes {
    todo!()
}

/// The index in a key.
///
/// # Errors
/// When the key is not one of this column family.
pub fn index_of(_key: &[u8]) -> Result<u64, StorageError> {
    todo!()
}

/// The bytes that go before the payload (see [`crate::WriteBatch::put_parts`]).
pub fn encode_head(_group: RaftGroupId, _index: u64, _entry: &StoredEntry) -> Bytes {
    todo!()
}

/// Reads a value back; the payload is a slice of `value`.
///
/// # Errors
/// [`StorageError::Corrupt`] when the checksum (which covers key, head and payload) does not match.
pub fn decode(_group: RaftGroupId, _index: u64, _value: &Bytes) -> Result<StoredEntry, StorageError> {
    todo!()
}
