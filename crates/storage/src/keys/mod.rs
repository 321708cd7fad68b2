//! The layout of the disk, one file per kind of key. All integers are big-endian, so that keys sort by number; every value
//! begins with a version byte. Persisted: keep stable, and add versions instead of changing one.

pub mod index;
pub mod log;
pub mod raft;
pub mod state;

use bytes::Bytes;
use caudal_types::RaftGroupId;

/// The half-open range of all keys that begin with `group`.
fn group_range(group: RaftGroupId) -> (Bytes, Bytes) {
    prefix_range(&group.0.to_be_bytes())
}

/// The half-open range of all keys that begin with `prefix`.
fn prefix_range(prefix: &[u8]) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(prefix), prefix_end(prefix))
}

/// The first key behind all that begin with `prefix`. Behind a prefix of nothing but 0xff there is none: Raft group `u64::MAX` is
/// never allotted, and the longest key that it could have is far shorter than what is returned for it.
fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|&byte| byte != u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
        None => vec![u8::MAX; 1024].into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_range_holds_exactly_the_keys_with_the_prefix(
            prefix in prop::collection::vec(any::<u8>(), 1..10),
            tail in prop::collection::vec(any::<u8>(), 0..10),
            other in prop::collection::vec(any::<u8>(), 1..10),
        ) {
            let (from, to) = prefix_range(&prefix);
            let key = [prefix.clone(), tail].concat();
            prop_assert!(from[..] <= key[..] && key[..] < to[..]);
            prop_assert_eq!(from[..] <= other[..] && other[..] < to[..], other.starts_with(&prefix));
        }
    }

    #[test]
    fn prefixes_of_0xff_have_an_end() {
        assert_eq!(&prefix_end(&[1, 0xff])[..], &[2]);
        let (from, to) = group_range(RaftGroupId(u64::MAX));
        assert!(from < to && [0xff; 17][..] < to[..]);
    }
}
