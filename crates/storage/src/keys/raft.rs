//! Column family `raft`: what a Raft group must remember beside its log. All of it is written through the
//! [`LogWriter`](crate::LogWriter), synced but for `Committed`, which goes with an append.
//!
//! Key: Raft group (u64), field (u8). Value: version (u8), then the field's bytes; `caudal-raft` encodes both.

use bytes::{BufMut, Bytes, BytesMut};
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
    /// There while the replica may have forgotten what it promised, and therefore does not vote.
    Doubtful = 4,
    /// Of the metadata group only: which groups may have been on this node before its data was lost.
    Forgotten = 5,
    /// In which run of the machine the group's log was written without syncing at once, as long as it may be.
    Relaxed = 6,
}

/// The key of a field.
pub fn key(group: RaftGroupId, field: RaftField) -> Bytes {
    let mut key = BytesMut::with_capacity(9);
    key.put_u64(group.0);
    key.put_u8(field as u8);
    key.freeze()
}

/// The half-open key range of all fields of a Raft group, for removing the group.
pub fn group_range(group: RaftGroupId) -> (Bytes, Bytes) {
    super::group_range(group)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: [RaftField; 7] = [
        RaftField::Vote,
        RaftField::Committed,
        RaftField::Purged,
        RaftField::Snapshot,
        RaftField::Doubtful,
        RaftField::Forgotten,
        RaftField::Relaxed,
    ];

    #[test]
    fn the_layout_is_stable() {
        let keys = FIELDS.map(|field| key(RaftGroupId(258), field));
        for (field, key) in keys.iter().enumerate() {
            assert_eq!(key[..], [0, 0, 0, 0, 0, 0, 1, 2, u8::try_from(field).unwrap()]);
        }
    }

    proptest! {
        #[test]
        fn a_groups_range_holds_its_fields_alone(a: u64, b: u64, field in prop::sample::select(&FIELDS)) {
            let (from, to) = group_range(RaftGroupId(a));
            let key = key(RaftGroupId(b), field);
            prop_assert_eq!(from <= key && key < to, a == b);
        }
    }
}
