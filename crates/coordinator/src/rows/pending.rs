//! The offsets that a transaction has for a consumer group: they are committed with it, or not at all.
//!
//! Key: group (length and text), producer id (i64). Value: version (u8), epoch (i16), number (u64), ended (u8), updated at (i64), topics as in a commit.
//! It stays for a while when the transaction has ended: what comes late is known by it.

use std::sync::Arc;

use bytes::Bytes;
use caudal_types::{ProducerEpoch, ProducerId, TimestampMs};

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};
use crate::command::{TopicCommit, write_list};

const VERSION: u8 = 1;

/// Whose offsets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PendingRowKey {
    pub(crate) group: Arc<str>,
    pub(crate) producer_id: ProducerId,
}

/// The offsets of a producer's newest transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingRow {
    pub(crate) epoch: ProducerEpoch,
    /// Which of the producer's transactions.
    pub(crate) number: u64,
    /// It has ended: there are no offsets any more.
    pub(crate) ended: bool,
    pub(crate) updated_at: TimestampMs,
    pub(crate) topics: Vec<TopicCommit>,
}

impl PendingRowKey {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.str(&self.group);
        out.i64(self.producer_id);
        out.finish()
    }

    pub(crate) fn decode(key: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(key);
        let key = Self { group: reader.str()?.into(), producer_id: reader.i64()? };
        reader.end()?;
        Ok(key)
    }
}

impl PendingRow {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.i16(self.epoch);
        out.u64(self.number);
        out.u8(u8::from(self.ended));
        out.i64(self.updated_at);
        write_list(&mut out, &self.topics, |out, topic| topic.write(out));
        out.finish()
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        check_version(&mut reader, VERSION, "a transaction's offsets")?;
        let row = Self {
            epoch: reader.i16()?,
            number: reader.u64()?,
            ended: reader.u8()? != 0,
            updated_at: reader.i64()?,
            topics: reader.list(TopicCommit::read)?,
        };
        reader.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use caudal_types::TopicId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::command::OffsetCommit;

    fn topics(offset: i64) -> Vec<TopicCommit> {
        let commit =
            OffsetCommit { partition: 1, offset, leader_epoch: 2, retention_ms: None, metadata: "m".to_owned() };
        vec![TopicCommit { topic: "t".into(), id: TopicId(Uuid::from_u128(3)), offsets: vec![commit] }]
    }

    proptest! {
        #[test]
        fn round_trip(epoch: i16, number: u64, ended: bool, updated_at: i64, offset: i64, group in ".{0,6}", producer_id: i64) {
            let row = PendingRow { epoch, number, ended, updated_at, topics: topics(offset) };
            prop_assert_eq!(PendingRow::decode(row.encode()), Ok(row));
            let key = PendingRowKey { group: group.into(), producer_id };
            prop_assert_eq!(PendingRowKey::decode(key.encode()), Ok(key));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (PendingRow::decode(bytes.clone().into()), PendingRowKey::decode(bytes.into()));
        }
    }

    #[test]
    fn golden() {
        let key = PendingRowKey { group: "g".into(), producer_id: 4 };
        assert_eq!(key.encode(), Bytes::from_static(b"\0\0\0\x01g\0\0\0\0\0\0\0\x04"));
        let row = PendingRow { epoch: 1, number: 2, ended: false, updated_at: 3, topics: topics(5) };
        let mut expected = b"\x01\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0\x01t".to_vec();
        expected.extend([0; 15]);
        expected.extend(b"\x03\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\x02\0\0\0\0\x01m");
        assert_eq!(row.encode(), Bytes::from(expected));
    }
}
