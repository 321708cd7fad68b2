//! Column family `state`: the rows of the state machines.
//!
//! Key: Raft group (u64), row kind (u8), the row's own key. Value: the state machine's own, beginning with a version byte.
//! Row kinds below [`FIRST_USER_KIND`] belong to `caudal-raft` (applied position, memberships).

use bytes::{BufMut, Bytes, BytesMut};
use caudal_types::RaftGroupId;

/// The first row kind that a state machine may use.
pub const FIRST_USER_KIND: u8 = 16;

/// The key of a row.
pub fn key(group: RaftGroupId, kind: u8, row_key: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(PREFIX_LEN + row_key.len());
    key.put_slice(&kind_prefix(group, kind));
    key.put_slice(row_key);
    key.freeze()
}

/// The half-open key range of one kind's rows.
pub fn kind_range(group: RaftGroupId, kind: u8) -> (Bytes, Bytes) {
    super::prefix_range(&kind_prefix(group, kind))
}

/// The half-open key range of all rows of a Raft group that belong to its state machine.
pub fn user_range(group: RaftGroupId) -> (Bytes, Bytes) {
    (key(group, FIRST_USER_KIND, &[]), group_range(group).1)
}

/// The half-open key range of all rows of a Raft group.
pub fn group_range(group: RaftGroupId) -> (Bytes, Bytes) {
    super::group_range(group)
}

/// The kind and the row's own key in a key.
pub fn split(key: &Bytes) -> Option<(u8, Bytes)> {
    let kind = *key.get(PREFIX_LEN - 1)?;
    Some((kind, key.slice(PREFIX_LEN..)))
}

fn kind_prefix(group: RaftGroupId, kind: u8) -> [u8; PREFIX_LEN] {
    let mut prefix = [kind; PREFIX_LEN];
    prefix[..8].copy_from_slice(&group.0.to_be_bytes());
    prefix
}

const PREFIX_LEN: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds((from, to): (Bytes, Bytes), key: &Bytes) -> bool {
        from <= *key && *key < to
    }

    proptest! {
        #[test]
        fn keys_come_back_and_lie_in_their_ranges_alone(
            (group, other) in (any::<u64>(), any::<u64>()),
            (kind, other_kind) in (any::<u8>(), any::<u8>()),
            row_key in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let (group, other) = (RaftGroupId(group), RaftGroupId(other));
            let key = key(group, kind, &row_key);
            prop_assert_eq!(split(&key), Some((kind, Bytes::from(row_key))));
            prop_assert_eq!(holds(kind_range(group, other_kind), &key), kind == other_kind);
            prop_assert_eq!(holds(user_range(group), &key), kind >= FIRST_USER_KIND);
            prop_assert_eq!(holds(group_range(other), &key), group == other);
        }

        #[test]
        fn keys_sort_by_group_kind_and_row(
            a in (any::<u64>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..9)),
            b in (any::<u64>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..9)),
        ) {
            prop_assert_eq!(key(RaftGroupId(a.0), a.1, &a.2).cmp(&key(RaftGroupId(b.0), b.1, &b.2)), a.cmp(&b));
        }
    }

    #[test]
    fn the_layout_is_stable() {
        assert_eq!(&key(RaftGroupId(258), 17, b"fatura")[..], b"\0\0\0\0\0\0\x01\x02\x11fatura");
    }

    #[test]
    fn short_keys_do_not_split() {
        assert_eq!(split(&Bytes::from_static(&[0; 8])), None);
        assert_eq!(split(&Bytes::from_static(&[0; 9])), Some((0, Bytes::new())));
    }
}
