//! What consumers of the classic protocol put into JoinGroup and get out of SyncGroup, so that their groups can go over to the consumer protocol and back.
//!
//! A subscription: version (i16), topics, user data (nullable bytes), from version 1 on what the consumer has: topics with partitions, from 2 on of which
//! generation (i32), from 3 on its rack (nullable). An assignment: version (i16), topics with partitions, user data. Later versions add at the end.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Partitions by the names of their topics.
pub(crate) type NamedPartitions = Vec<(String, Vec<i32>)>;

/// A consumer's subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) version: i16,
    pub(crate) topics: Vec<String>,
    pub(crate) owned: NamedPartitions,
    pub(crate) rack_id: Option<String>,
}

impl Subscription {
    /// `None` if it cannot be read.
    pub(crate) fn parse(mut from: &[u8]) -> Option<Self> {
        let version = from.try_get_i16().ok().filter(|version| *version >= 0)?;
        let topics = array(&mut from, text)?;
        nullable_bytes(&mut from)?;
        let owned = if version >= 1 { array(&mut from, topic)? } else { Vec::new() };
        if version >= 2 {
            from.try_get_i32().ok()?;
        }
        let rack_id = if version >= 3 { nullable_text(&mut from)? } else { None };
        Some(Self { version, topics, owned, rack_id })
    }
}

/// The partitions of an assignment; `None` if it cannot be read, or has something that only a consumer's own assignor understands.
pub(crate) fn parse_assignment(mut from: &[u8]) -> Option<NamedPartitions> {
    if from.is_empty() {
        return Some(Vec::new());
    }
    from.try_get_i16().ok()?;
    let partitions = array(&mut from, topic)?;
    nullable_bytes(&mut from)?.is_empty().then_some(partitions)
}

/// An assignment as consumers read it, in the version of their subscriptions.
pub(crate) fn assignment(version: i16, partitions: &NamedPartitions) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(version);
    put_len(&mut out, partitions.len());
    for (topic, numbers) in partitions {
        // Topics' names are short.
        out.put_i16(i16::try_from(topic.len()).unwrap_or(i16::MAX));
        out.put_slice(topic.as_bytes());
        put_len(&mut out, numbers.len());
        for number in numbers {
            out.put_i32(*number);
        }
    }
    // No user data.
    out.put_i32(-1);
    out.freeze()
}

fn put_len(out: &mut BytesMut, len: usize) {
    out.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
}

fn array<T>(from: &mut &[u8], item: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = from.try_get_i32().ok()?;
    // A null array is an empty one; every item takes a byte at least, so that a count that lies finds none.
    (0..count.max(0)).map(|_| item(from)).collect()
}

fn topic(from: &mut &[u8]) -> Option<(String, Vec<i32>)> {
    Some((text(from)?, array(from, |from| from.try_get_i32().ok())?))
}

fn text(from: &mut &[u8]) -> Option<String> {
    nullable_text(from)?
}

fn nullable_text(from: &mut &[u8]) -> Option<Option<String>> {
    let length = from.try_get_i16().ok()?;
    if length < 0 {
        return Some(None);
    }
    let (text, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(Some(std::str::from_utf8(text).ok()?.to_owned()))
}

/// Null is empty.
fn nullable_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = from.try_get_i32().ok()?.max(0);
    let (bytes, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A subscription as consumers write it (version 3).
    pub(crate) fn subscription(topics: &[&str], owned: &NamedPartitions) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(3);
        put_len(&mut out, topics.len());
        for topic in topics {
            out.put_i16(i16::try_from(topic.len()).unwrap());
            out.put_slice(topic.as_bytes());
        }
        out.put_i32(-1);
        // What it has is laid out as in an assignment.
        let laid_out = assignment(3, owned);
        out.put_slice(&laid_out[2..laid_out.len() - 4]);
        out.put_i32(-1);
        out.put_slice(b"\0\x01r");
        out.freeze()
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        let owned = vec![("t".to_owned(), vec![1, 2])];
        let bytes = subscription(&["t", "u"], &owned);
        let topics = vec!["t".to_owned(), "u".to_owned()];
        let expected = Subscription { version: 3, topics, owned, rack_id: Some("r".to_owned()) };
        assert_eq!(Subscription::parse(&bytes), Some(expected.clone()));
        let mut oldest = bytes.to_vec();
        oldest[1] = 0;
        let oldest = Subscription::parse(&oldest).unwrap();
        assert_eq!((oldest.version, oldest.topics, oldest.owned), (0, expected.topics, Vec::new()));
        assert_eq!(Subscription::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Subscription::parse(b"\xff\xff\0\0\0\0"), None);
    }

    #[test]
    fn assignments_have_golden_bytes() {
        let partitions = vec![("t".to_owned(), vec![1, 2])];
        let bytes = assignment(1, &partitions);
        assert_eq!(bytes, &b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\x01\0\0\0\x02\xff\xff\xff\xff"[..]);
        assert_eq!(parse_assignment(&bytes), Some(partitions));
        assert_eq!(parse_assignment(b""), Some(Vec::new()));
        assert_eq!(parse_assignment(b"\0\x01\0\0\0\0\0\0\0\x01x"), None, "user data of an assignor of its own");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Subscription::parse(&bytes);
            let _ = parse_assignment(&bytes);
        }
    }
}
