//! The offsets that a transaction has for a consumer group: they are committed with it, or not at all.
//!
//! Key: group (length and text), producer id (i64). Value: version (u8), epoch (i16), number (u64), ended (u8), updated at (i64), topics: each its name
//! and offsets, each topic id (16 bytes), the fields of an offset in a commit, index (u64), outdated (u8). Version 1 is from before offsets had an index,
//! and has topics as in a commit. It stays for a while when the transaction has ended: what comes late is known by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use caudal_types::{ProducerEpoch, ProducerId, TimestampMs, TopicId};

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};
use crate::command::{OffsetCommit, TopicCommit};

const VERSION: u8 = 2;
const WITHOUT_INDEX: u8 = 1;

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
    pub(crate) topics: PendingTopics,
}

/// Offsets by the topic's name and by partition. Each topic has some.
pub(crate) type PendingTopics = BTreeMap<Arc<str>, BTreeMap<i32, PendingOffset>>;

/// What a transaction has for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingOffset {
    /// The topic at the time. Nil if it was unknown.
    pub(crate) topic_id: TopicId,
    pub(crate) commit: OffsetCommit,
    /// The entry of the shard's log that it came with. 0 if that was not kept: before all others.
    pub(crate) index: u64,
    /// A later offset is committed, so this one will not be. It still shows that a transaction is open.
    pub(crate) outdated: bool,
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

impl PendingOffset {
    fn write(&self, out: &mut Writer) {
        out.uuid(self.topic_id.0);
        self.commit.write(out);
        out.u64(self.index);
        out.u8(u8::from(self.outdated));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            topic_id: TopicId(reader.uuid()?),
            commit: OffsetCommit::read(reader)?,
            index: reader.u64()?,
            outdated: reader.flag()?,
        })
    }
}

impl PendingRow {
    /// Takes offsets that came with the entry at `index`. The later one of a partition takes the place of an earlier one, whichever topic had the name.
    pub(crate) fn put(&mut self, commit: TopicCommit, index: u64) {
        if commit.offsets.is_empty() {
            return;
        }
        let (topic_id, offsets) = (commit.id, self.topics.entry(commit.topic).or_default());
        for commit in commit.offsets {
            offsets.insert(commit.partition, PendingOffset { topic_id, commit, index, outdated: false });
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.i16(self.epoch);
        out.u64(self.number);
        out.u8(u8::from(self.ended));
        out.i64(self.updated_at);
        out.len(self.topics.len());
        for (topic, offsets) in &self.topics {
            out.str(topic);
            out.len(offsets.len());
            for offset in offsets.values() {
                offset.write(&mut out);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let is_earlier = value.first() == Some(&WITHOUT_INDEX);
        let mut reader = Reader::new(value);
        check_version(&mut reader, if is_earlier { WITHOUT_INDEX } else { VERSION }, "a transaction's offsets")?;
        let mut row = Self {
            epoch: reader.i16()?,
            number: reader.u64()?,
            ended: reader.u8()? != 0,
            updated_at: reader.i64()?,
            topics: PendingTopics::new(),
        };
        if is_earlier {
            for commit in reader.list(TopicCommit::read)? {
                row.put(commit, 0);
            }
        } else {
            row.topics = reader.list(read_topic)?.into_iter().collect();
        }
        reader.end()?;
        Ok(row)
    }
}

fn read_topic(reader: &mut Reader) -> Result<(Arc<str>, BTreeMap<i32, PendingOffset>), DecodeError> {
    let (topic, offsets) = (reader.str()?.into(), reader.list(PendingOffset::read)?);
    Ok((topic, offsets.into_iter().map(|offset| (offset.commit.partition, offset)).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn row(ended: bool, updated_at: i64, index: u64, outdated: bool) -> PendingRow {
        let commit =
            OffsetCommit { partition: 1, offset: 5, leader_epoch: 2, retention_ms: None, metadata: "m".to_owned() };
        let offset = PendingOffset { topic_id: TopicId(Uuid::from_u128(3)), commit, index, outdated };
        let topics = BTreeMap::from([("t".into(), BTreeMap::from([(1, offset)]))]);
        PendingRow { epoch: 1, number: 2, ended, updated_at, topics }
    }

    proptest! {
        #[test]
        fn round_trip(
            (epoch, number, ended, updated_at) in any::<(i16, u64, bool, i64)>(),
            (index, outdated) in any::<(u64, bool)>(),
            (group, producer_id) in (".{0,6}", any::<i64>()),
        ) {
            let row = PendingRow { epoch, number, ..row(ended, updated_at, index, outdated) };
            prop_assert_eq!(PendingRow::decode(row.encode()), Ok(row));
            let key = PendingRowKey { group: group.into(), producer_id };
            prop_assert_eq!(PendingRowKey::decode(key.encode()), Ok(key));
        }

        #[test]
        fn no_bytes_panic(version in 0..4_u8, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let row: Vec<u8> = std::iter::once(version).chain(bytes.iter().copied()).collect();
            let _ = (PendingRow::decode(row.into()), PendingRowKey::decode(bytes.into()));
        }
    }

    #[test]
    fn golden() {
        let key = PendingRowKey { group: "g".into(), producer_id: 4 };
        assert_eq!(key.encode(), Bytes::from_static(b"\0\0\0\x01g\0\0\0\0\0\0\0\x04"));
        let mut expected = b"\x02\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0\x01t\0\0\0\x01".to_vec();
        expected.extend([0; 15]);
        expected.extend(b"\x03\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\x02\0\0\0\0\x01m\0\0\0\0\0\0\0\x06\x01");
        assert_eq!(row(false, 3, 6, true).encode(), Bytes::from(expected));
    }

    #[test]
    fn rows_from_before_offsets_had_an_index_are_read() {
        let mut earlier = b"\x01\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0\x01t".to_vec();
        earlier.extend([0; 15]);
        earlier.extend(b"\x03\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\x02\0\0\0\0\x01m");
        assert_eq!(PendingRow::decode(earlier.into()), Ok(row(false, 3, 0, false)));
        let ended = b"\x01\0\x01\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0\0\x03\0\0\0\0";
        let expected = PendingRow { topics: PendingTopics::new(), ..row(true, 3, 0, false) };
        assert_eq!(PendingRow::decode(Bytes::from_static(ended)), Ok(expected));
        assert!(PendingRow::decode(Bytes::from_static(b"\x03")).is_err(), "from a newer program");
    }
}
