//! What a member of the classic protocol was given, as its group's leader wrote it: version, topics with partitions, and whatever the assignor adds.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};

/// Reads an assignment of consumers; `None` if it is something else. Members write these bytes, so no length in them is believed.
pub(crate) fn partitions(mut bytes: Bytes) -> Option<BTreeMap<String, Vec<i32>>> {
    if bytes.is_empty() {
        return Some(BTreeMap::new());
    }
    bytes.try_get_i16().ok().filter(|version| *version >= 0)?;
    let topics = bytes.try_get_i32().ok()?;
    let mut found = BTreeMap::new();
    for _ in 0..topics {
        let len = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if len > bytes.remaining() {
            return None;
        }
        let name = String::from_utf8(bytes.copy_to_bytes(len).into()).ok()?;
        let count = bytes.try_get_i32().ok()?;
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(bytes.try_get_i32().ok()?);
        }
        partitions.sort_unstable();
        found.insert(name, partitions);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_nonsense_is_not() {
        let bytes = [0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        let expected = BTreeMap::from([("t".to_owned(), vec![1, 3])]);
        assert_eq!(partitions(Bytes::copy_from_slice(&bytes)), Some(expected));
        assert_eq!(partitions(Bytes::new()), Some(BTreeMap::new()));
        for cut in 1..20 {
            assert_eq!(partitions(Bytes::copy_from_slice(&bytes[..cut])), None, "{cut}");
        }
        let huge = [0, 1, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff];
        assert_eq!(partitions(Bytes::copy_from_slice(&huge)), None);
    }
}
