//! What the coordinator reads of a consumer's subscription: the topics. All versions of the format begin alike: version (i16), topics.

use std::collections::BTreeSet;

use bytes::Buf;

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// The topics in a subscription; `None` if it cannot be read.
pub(crate) fn topics(mut subscription: &[u8]) -> Option<BTreeSet<String>> {
    subscription.try_get_i16().ok()?;
    let count = usize::try_from(subscription.try_get_i32().ok()?).ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let length = usize::try_from(subscription.try_get_i16().ok()?).ok()?;
        let (name, rest) = subscription.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        subscription = rest;
    }
    Some(topics)
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use proptest::prelude::*;

    use super::*;

    /// A subscription as consumers write it (version 3, without owned partitions).
    pub(crate) fn subscription(topics: &[&str]) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(3);
        out.put_i32(i32::try_from(topics.len()).unwrap());
        for topic in topics {
            out.put_i16(i16::try_from(topic.len()).unwrap());
            out.put_slice(topic.as_bytes());
        }
        out.put_slice(b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff");
        out.freeze()
    }

    #[test]
    fn reads_the_topics_and_nothing_else() {
        assert_eq!(topics(&subscription(&["b", "a"])), Some(["a".to_owned(), "b".to_owned()].into()));
        assert_eq!(topics(&subscription(&[])), Some(BTreeSet::new()));
        assert_eq!(topics(b"\0\0\0\0\0\x02\0\x01a"), None);
        assert_eq!(topics(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = topics(&bytes);
        }
    }
}
