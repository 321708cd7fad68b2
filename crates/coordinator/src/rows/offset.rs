//! A committed offset.
//!
//! Key: group (length and text), topic (length and text), partition (i32). Value: version (u8), offset (i64), leader epoch (i32), committed at
//! (i64), expires at (optional i64), topic id (16 bytes), metadata.

use std::sync::Arc;

use bytes::Bytes;
use caudal_types::{LeaderEpoch, Offset, TimestampMs, TopicId};

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};
use crate::model::CommittedOffset;

const VERSION: u8 = 1;

/// Which offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OffsetRowKey {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRow {
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) committed_at: TimestampMs,
    /// When it expires, if the client said.
    pub(crate) expires_at: Option<TimestampMs>,
    /// The topic at the time of the commit: a topic made again under the name is another one. Nil if it was unknown.
    pub(crate) topic_id: TopicId,
    pub(crate) metadata: Box<str>,
}

impl OffsetRowKey {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.str(&self.group);
        out.str(&self.topic);
        out.i32(self.partition);
        out.finish()
    }

    pub(crate) fn decode(key: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(key);
        let key = Self { group: reader.str()?.into(), topic: reader.str()?.into(), partition: reader.i32()? };
        reader.end()?;
        Ok(key)
    }
}

impl OffsetRow {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.i64(self.offset);
        out.i32(self.leader_epoch);
        out.i64(self.committed_at);
        out.opt_i64(self.expires_at);
        out.uuid(self.topic_id.0);
        out.str(&self.metadata);
        out.finish()
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        check_version(&mut reader, VERSION, "a committed offset")?;
        let row = Self {
            offset: reader.i64()?,
            leader_epoch: reader.i32()?,
            committed_at: reader.i64()?,
            expires_at: reader.opt_i64()?,
            topic_id: TopicId(reader.uuid()?),
            metadata: reader.str()?.into(),
        };
        reader.end()?;
        Ok(row)
    }

    /// As clients see it.
    pub(crate) fn committed(self) -> CommittedOffset {
        CommittedOffset {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.into(),
            committed_at: self.committed_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    prop_compose! {
        fn any_row()(
            (offset, leader_epoch, committed_at, id) in any::<(i64, i32, i64, u128)>(),
            expires_at in option::of(any::<i64>()),
            metadata in ".{0,8}",
        ) -> OffsetRow {
            let topic_id = TopicId(Uuid::from_u128(id));
            OffsetRow { offset, leader_epoch, committed_at, expires_at, topic_id, metadata: metadata.into() }
        }
    }

    proptest! {
        #[test]
        fn round_trip(row in any_row(), group in ".{0,8}", topic in ".{0,8}", partition in any::<i32>()) {
            prop_assert_eq!(OffsetRow::decode(row.encode()), Ok(row));
            let key = OffsetRowKey { group: group.into(), topic: topic.into(), partition };
            prop_assert_eq!(OffsetRowKey::decode(key.encode()), Ok(key));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = OffsetRow::decode(bytes.clone().into());
            let _ = OffsetRowKey::decode(bytes.into());
        }
    }

    #[test]
    fn golden() {
        let key = OffsetRowKey { group: "g".into(), topic: "to".into(), partition: 3 };
        assert_eq!(key.encode(), Bytes::from_static(b"\0\0\0\x01g\0\0\0\x02to\0\0\0\x03"));
        let row = OffsetRow {
            offset: 5,
            leader_epoch: -1,
            committed_at: 256,
            expires_at: Some(6),
            topic_id: TopicId(Uuid::from_u128(7)),
            metadata: "m".into(),
        };
        let mut expected = b"\x01\0\0\0\0\0\0\0\x05\xff\xff\xff\xff\0\0\0\0\0\0\x01\0\x01\0\0\0\0\0\0\0\x06".to_vec();
        expected.extend([0; 15]);
        expected.extend(b"\x07\0\0\0\x01m");
        assert_eq!(row.encode(), Bytes::from(expected));
    }
}
