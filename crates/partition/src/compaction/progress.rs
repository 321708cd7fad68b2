//! How far a replica has cleaned its log. Its own business: neither replicated nor in snapshots, and gone when a snapshot is installed.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use caudal_storage::{ColumnFamily, Engine, StorageError, WriteBatch};
use caudal_types::{Offset, RaftGroupId};

use crate::state::orders::Order;
use crate::state::rows::{self, RowKind};

const VERSION: u8 = 1;

/// What a replica has cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Of each key, only the newest record before this offset is there.
    pub(crate) upto: Offset,
    /// How many bytes the entries of that part had when it was cleaned,
    pub(crate) bytes: u64,
    /// and how many before any of it ever was.
    pub(crate) original_bytes: u64,
    /// Tombstones before this offset are gone.
    pub(crate) tombstones_before: Offset,
}

impl Progress {
    /// Whether there is something to do by `order`.
    pub(crate) fn is_behind(&self, order: Order) -> bool {
        self.upto < order.upto || self.tombstones_before < order.tombstones_before
    }

    /// How many bytes are left of what had `original` bytes: cleaning takes about as much away everywhere.
    pub(crate) fn left_of(&self, original: u64) -> u64 {
        let left = u128::from(original) * u128::from(self.bytes) / u128::from(self.original_bytes.max(1));
        u64::try_from(left).map_or(original, |left| left.min(original))
    }

    /// Reads it; nothing is cleaned when there is no row. Blocks.
    pub(crate) fn read(engine: &dyn Engine, group: RaftGroupId) -> Result<Self, StorageError> {
        let row = engine.get(ColumnFamily::State, &RowKind::Cleaned.key(group, 0))?;
        row.map_or_else(|| Ok(Self::default()), |row| Self::decode(&row))
    }

    pub(crate) fn put(&self, group: RaftGroupId, batch: &mut WriteBatch) {
        batch.put(ColumnFamily::State, RowKind::Cleaned.key(group, 0), self.encode());
    }

    /// Version (u8), offset (i64), bytes (u64 twice), offset (i64), big-endian. Persisted: keep stable.
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(33);
        out.put_u8(VERSION);
        out.put_i64(self.upto);
        out.put_u64(self.bytes);
        out.put_u64(self.original_bytes);
        out.put_i64(self.tombstones_before);
        out.freeze()
    }

    fn decode(value: &[u8]) -> Result<Self, StorageError> {
        rows::read_version(value, VERSION, "what is cleaned of a log", |bytes| {
            Ok(Self {
                upto: bytes.try_get_i64()?,
                bytes: bytes.try_get_u64()?,
                original_bytes: bytes.try_get_u64()?,
                tombstones_before: bytes.try_get_i64()?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_golden() {
        let progress = Progress { upto: 1, bytes: 2, original_bytes: 9, tombstones_before: 3 };
        let expected =
            [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(progress.encode().as_ref(), expected);
        assert!(Progress::decode(&expected[..32]).is_err());
    }

    #[test]
    fn what_is_left_is_a_part_and_never_more_than_there_was() {
        let progress = Progress { upto: 1, bytes: 30, original_bytes: 90, tombstones_before: 0 };
        assert_eq!([0, 9, 90].map(|original| progress.left_of(original)), [0, 3, 30]);
        assert_eq!(Progress { bytes: u64::MAX, ..progress }.left_of(7), 7);
        assert_eq!(Progress::default().left_of(7), 0);
    }

    proptest! {
        #[test]
        fn progress_survives_the_trip(upto: i64, bytes: u64, original_bytes: u64, tombstones_before: i64) {
            let progress = Progress { upto, bytes, original_bytes, tombstones_before };
            prop_assert_eq!(Progress::decode(&progress.encode()).unwrap(), progress);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = Progress::decode(&bytes);
        }
    }
}
