//! Column family `index`: where a partition's batches lie in its Raft log.
//!
//! Key: Raft group (u64), base offset (u64). Value: version (u8), Raft index (u64), last offset (u64), leader epoch (u32),
//! position of the batch's bytes in the entry's payload (u32), their length (u32), max timestamp (i64).

use bytes::{Buf, BufMut, Bytes, BytesMut};
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

/// The key of a row. Offsets count from 0; a negative one would sort behind all others.
pub fn key(group: RaftGroupId, base_offset: Offset) -> Bytes {
    let mut key = BytesMut::with_capacity(KEY_LEN);
    key.put_u64(group.0);
    key.put_i64(base_offset);
    key.freeze()
}

/// The half-open key range of a Raft group's rows.
pub fn group_range(group: RaftGroupId) -> (Bytes, Bytes) {
    super::group_range(group)
}

/// Encodes the value.
pub fn encode(row: &IndexRow) -> Bytes {
    let mut value = BytesMut::with_capacity(VALUE_LEN);
    value.put_u8(VERSION);
    value.put_u64(row.raft_index);
    value.put_i64(row.last_offset);
    value.put_i32(row.leader_epoch);
    value.put_u32(row.position);
    value.put_u32(row.length);
    value.put_i64(row.max_timestamp);
    value.freeze()
}

/// Decodes a row from its key and value.
///
/// # Errors
/// [`StorageError::Corrupt`] when they are not this column family's.
pub fn decode(mut key: &[u8], mut value: &[u8]) -> Result<IndexRow, StorageError> {
    if key.len() != KEY_LEN || value.len() != VALUE_LEN {
        let (key, value) = (key.len(), value.len());
        return Err(StorageError::Corrupt(format!(
            "an index row has a key of {key} and a value of {value} bytes instead of {KEY_LEN} and {VALUE_LEN}"
        )));
    }
    let (group, base_offset) = (key.get_u64(), key.get_i64());
    let version = value.get_u8();
    if version != VERSION {
        return Err(StorageError::Corrupt(format!(
            "Raft group {group}, index row {base_offset}: version {version} is unknown; this release knows {VERSION}"
        )));
    }
    let raft_index = value.get_u64();
    let last_offset = value.get_i64();
    let leader_epoch = value.get_i32();
    let (position, length) = (value.get_u32(), value.get_u32());
    let max_timestamp = value.get_i64();
    if base_offset < 0 || last_offset < base_offset {
        return Err(StorageError::Corrupt(format!(
            "Raft group {group}: an index row reaches from offset {base_offset} to {last_offset}"
        )));
    }
    Ok(IndexRow { base_offset, last_offset, raft_index, leader_epoch, position, length, max_timestamp })
}

const VERSION: u8 = 1;
const KEY_LEN: usize = 16;
const VALUE_LEN: usize = 37;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: RaftGroupId = RaftGroupId(5);

    prop_compose! {
        fn any_row()(
            base_offset in 0..=Offset::MAX,
            more in 0..=Offset::MAX,
            (raft_index, leader_epoch) in any::<(u64, i32)>(),
            (position, length, max_timestamp) in any::<(u32, u32, i64)>(),
        ) -> IndexRow {
            let last_offset = base_offset.saturating_add(more);
            IndexRow { base_offset, last_offset, raft_index, leader_epoch, position, length, max_timestamp }
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(row in any_row()) {
            prop_assert_eq!(decode(&key(GROUP, row.base_offset), &encode(&row)).unwrap(), row);
        }

        #[test]
        fn keys_sort_by_group_and_offset(a in (any::<u64>(), 0..Offset::MAX), b in (any::<u64>(), 0..Offset::MAX)) {
            prop_assert_eq!(key(RaftGroupId(a.0), a.1).cmp(&key(RaftGroupId(b.0), b.1)), a.cmp(&b));
        }

        #[test]
        fn a_groups_range_holds_its_rows_alone(a: u64, b: u64, offset in 0..=Offset::MAX) {
            let (from, to) = group_range(RaftGroupId(a));
            let key = key(RaftGroupId(b), offset);
            prop_assert_eq!(from <= key && key < to, a == b);
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..20), value in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assume!(key.len() != KEY_LEN || value.len() != VALUE_LEN || value[0] != VERSION);
            let refused = matches!(decode(&key, &value), Err(StorageError::Corrupt(_)));
            prop_assert!(refused);
        }
    }

    #[test]
    fn the_layout_is_stable() {
        let row = IndexRow {
            base_offset: 256,
            last_offset: 257,
            raft_index: 9,
            leader_epoch: 3,
            position: 4,
            length: 5,
            max_timestamp: -1,
        };
        assert_eq!(&key(GROUP, 256)[..], b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\x01\0");
        let value =
            b"\x01\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\x01\x01\0\0\0\x03\0\0\0\x04\0\0\0\x05\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(&encode(&row)[..], value);
    }

    #[test]
    fn impossible_rows_are_refused() {
        let row = decode(&key(GROUP, 8), &[1; VALUE_LEN]).unwrap();
        let backwards = encode(&IndexRow { last_offset: 7, ..row });
        assert!(matches!(decode(&key(GROUP, 8), &backwards), Err(StorageError::Corrupt(_))));
        assert!(matches!(decode(&key(GROUP, -1), &encode(&row)), Err(StorageError::Corrupt(_))));
        let mut newer = encode(&row).to_vec();
        newer[0] = 2;
        assert!(decode(&key(GROUP, 8), &newer).unwrap_err().to_string().contains("version 2 is unknown"));
    }
}
