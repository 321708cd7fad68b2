//! What a member of a consumer group shall have. Key: as that of the member.
//!
//! Value: version (u8), topics: each its id (16 bytes), partitions (i32).

use bytes::Bytes;
use caudal_types::TopicId;

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consumer::Partitions;

const VERSION: u8 = 1;

pub(crate) fn encode(target: &Partitions) -> Bytes {
    let mut out = Writer::new();
    write(target, &mut out);
    out.finish()
}

pub(crate) fn write(target: &Partitions, out: &mut Writer) {
    out.u8(VERSION);
    out.len(target.len());
    for (topic, partitions) in target {
        out.uuid(topic.0);
        out.len(partitions.len());
        for partition in partitions {
            out.i32(*partition);
        }
    }
}

pub(crate) fn decode(value: Bytes) -> Result<Partitions, DecodeError> {
    let mut reader = Reader::new(value);
    let target = read(&mut reader)?;
    reader.end()?;
    Ok(target)
}

pub(crate) fn read(reader: &mut Reader) -> Result<Partitions, DecodeError> {
    check_version(reader, VERSION, "a consumer's target")?;
    let topic = |reader: &mut Reader| Ok((TopicId(reader.uuid()?), reader.list(Reader::i32)?.into_iter().collect()));
    Ok(reader.list(topic)?.into_iter().collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn any_topic_id() -> impl Strategy<Value = TopicId> {
        any::<u128>().prop_map(|id| TopicId(Uuid::from_u128(id)))
    }

    pub(crate) fn any_target() -> impl Strategy<Value = Partitions> {
        btree_map(any_topic_id(), btree_set(any::<i32>(), 0..4), 0..4)
    }

    proptest! {
        #[test]
        fn round_trip(target in any_target()) {
            prop_assert_eq!(decode(encode(&target)), Ok(target));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(bytes.into());
        }
    }

    #[test]
    fn golden() {
        let target = Partitions::from([(TopicId(Uuid::from_u128(7)), BTreeSet::from([2, 1]))]);
        let mut expected = b"\x01\0\0\0\x01".to_vec();
        expected.extend([0; 15]);
        expected.extend(b"\x07\0\0\0\x02\0\0\0\x01\0\0\0\x02");
        assert_eq!(encode(&target), Bytes::from(expected));
    }
}
