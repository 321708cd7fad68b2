//! Column family `log`: the Raft logs.
//!
//! Key: Raft group (u64), index (u64). Value: version (u8), kind (u8), term (u64), CRC32C of all else (u32), payload.

use bytes::{BufMut, Bytes, BytesMut};
use caudal_types::{RaftGroupId, mutant};

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

impl EntryKind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Blank),
            1 => Some(Self::Normal),
            2 => Some(Self::Membership),
            _ => None,
        }
    }
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
pub fn key(group: RaftGroupId, index: u64) -> Bytes {
    Bytes::copy_from_slice(&key_bytes(group, index))
}

/// The half-open key range of a Raft group's whole log.
pub fn group_range(group: RaftGroupId) -> (Bytes, Bytes) {
    super::group_range(group)
}

/// The index in a key.
///
/// # Errors
/// When the key is not one of this column family.
pub fn index_of(key: &[u8]) -> Result<u64, StorageError> {
    match key.split_at_checked(8).map(|(_, index)| <[u8; 8]>::try_from(index)) {
        Some(Ok(index)) => Ok(u64::from_be_bytes(index)),
        _ => Err(StorageError::Corrupt(format!("a log key has {} bytes instead of {KEY_LEN}", key.len()))),
    }
}

/// The bytes that go before the payload (see [`crate::WriteBatch::put_parts`]).
pub fn encode_head(group: RaftGroupId, index: u64, entry: &StoredEntry) -> Bytes {
    let start = head_start(VERSION, entry.kind as u8, entry.term);
    let mut head = BytesMut::with_capacity(HEAD_LEN);
    head.put_slice(&start);
    head.put_u32(checksum(group, index, &start, &entry.payload));
    head.freeze()
}

/// Reads a value back; the payload is a slice of `value`.
///
/// # Errors
/// [`StorageError::Corrupt`] when the checksum (which covers key, head and payload) does not match.
pub fn decode(group: RaftGroupId, index: u64, value: &Bytes) -> Result<StoredEntry, StorageError> {
    let damaged = |what: String| StorageError::Corrupt(format!("Raft group {group}, log entry {index}: {what}"));
    let Some((head, payload)) = value.split_first_chunk::<HEAD_LEN>() else {
        return Err(damaged(format!("{} bytes are too few for an entry", value.len())));
    };
    let [version, kind, t0, t1, t2, t3, t4, t5, t6, t7, c0, c1, c2, c3] = *head;
    let term = u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
    let (stored, computed) =
        (u32::from_be_bytes([c0, c1, c2, c3]), checksum(group, index, &head_start(version, kind, term), payload));
    if stored != computed && !mutant::active("corrupt_entry_served") {
        return Err(damaged(format!("the checksum is {computed:08x}, but {stored:08x} was stored")));
    }
    if version != VERSION {
        return Err(damaged(format!("version {version} is unknown; this release knows {VERSION}")));
    }
    let kind = EntryKind::from_byte(kind).ok_or_else(|| damaged(format!("kind {kind} is unknown")))?;
    Ok(StoredEntry { term, kind, payload: value.slice(HEAD_LEN..) })
}

fn key_bytes(group: RaftGroupId, index: u64) -> [u8; KEY_LEN] {
    (u128::from(group.0) << 64 | u128::from(index)).to_be_bytes()
}

/// All of the head but the checksum.
fn head_start(version: u8, kind: u8, term: u64) -> [u8; HEAD_LEN - 4] {
    let mut start = [0; HEAD_LEN - 4];
    start[0] = version;
    start[1] = kind;
    start[2..].copy_from_slice(&term.to_be_bytes());
    start
}

fn checksum(group: RaftGroupId, index: u64, head_start: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&key_bytes(group, index));
    crc32c::crc32c_append(crc32c::crc32c_append(crc, head_start), payload)
}

const VERSION: u8 = 1;
const KEY_LEN: usize = 16;
const HEAD_LEN: usize = 14;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: RaftGroupId = RaftGroupId(7);

    fn value(group: RaftGroupId, index: u64, entry: &StoredEntry) -> Bytes {
        [&encode_head(group, index, entry)[..], &entry.payload].concat().into()
    }

    fn entry() -> StoredEntry {
        StoredEntry { term: 3, kind: EntryKind::Normal, payload: Bytes::from_static(b"compra") }
    }

    fn any_entry() -> impl Strategy<Value = StoredEntry> {
        let kind = prop_oneof![Just(EntryKind::Blank), Just(EntryKind::Normal), Just(EntryKind::Membership)];
        (any::<u64>(), kind, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(term, kind, payload)| StoredEntry {
            term,
            kind,
            payload: payload.into(),
        })
    }

    proptest! {
        #[test]
        fn entries_come_back(group: u64, index: u64, entry in any_entry()) {
            let group = RaftGroupId(group);
            prop_assert_eq!(decode(group, index, &value(group, index, &entry)).unwrap(), entry);
            prop_assert_eq!(index_of(&key(group, index)).unwrap(), index);
        }

        #[test]
        fn keys_sort_by_group_and_index(a: (u64, u64), b: (u64, u64)) {
            prop_assert_eq!(key(RaftGroupId(a.0), a.1).cmp(&key(RaftGroupId(b.0), b.1)), a.cmp(&b));
        }

        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let refused = matches!(decode(GROUP, 1, &bytes.into()), Err(StorageError::Corrupt(_)));
            prop_assert!(refused);
        }
    }

    #[test]
    fn the_layout_is_stable() {
        assert_eq!(&key(GROUP, 258)[..], b"\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\x01\x02");
        assert_eq!(&value(GROUP, 258, &entry())[..], b"\x01\x01\0\0\0\0\0\0\0\x03\x52\x0e\x66\x55compra");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = value(GROUP, 9, &entry());
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(GROUP, 9, &bad.into()), Err(StorageError::Corrupt(_))), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(decode(GROUP, 9, &good.slice(..len)).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn an_entry_under_a_foreign_key_is_noticed() {
        let good = value(GROUP, 9, &entry());
        assert!(decode(GROUP, 10, &good).is_err());
        assert!(decode(RaftGroupId(8), 9, &good).is_err());
    }

    #[test]
    fn keys_of_a_wrong_length_are_refused() {
        for len in [0, 7, 8, 15, 17] {
            assert!(matches!(index_of(&vec![0; len]), Err(StorageError::Corrupt(_))), "{len}");
        }
    }
}
