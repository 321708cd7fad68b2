//! A transactional id and its current transaction.
//!
//! Key: the transactional id. Value: version (u8), producer id, previous and next producer id (i64 each), epoch, last epoch (i16 each), time-out (i32),
//! state (u8), protocol (u8), number (u64), started at, updated at (i64 each), participants, each its kind (u8) and fields.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use caudal_types::{ProducerEpoch, ProducerId, TimestampMs, TopicId};

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// Where a transaction stands; persisted, keep stable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum TransactionState {
    /// There was none yet under this epoch.
    #[default]
    Empty = 0,
    /// Records are being written.
    Ongoing = 1,
    /// It is decided that the records count; not all participants know yet.
    PrepareCommit = 2,
    /// It is decided that the records do not count; not all participants know yet.
    PrepareAbort = 3,
    /// All participants know that the records count.
    CompleteCommit = 4,
    /// All participants know that the records do not count.
    CompleteAbort = 5,
}

impl TransactionState {
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    fn decode(byte: u8) -> Result<Self, DecodeError> {
        let found = Self::ALL.into_iter().find(|state| *state as u8 == byte);
        found.ok_or_else(|| DecodeError(format!("{byte} is no state of a transaction")))
    }

    /// Kafka's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether the outcome is decided, and participants have to be told.
    pub(crate) fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// What takes part in a transaction, and is told how it ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Participant {
    /// A partition with records.
    Partition {
        /// Its topic's name.
        topic: Arc<str>,
        /// Its topic's id: one made again under the name is another one.
        id: TopicId,
        /// Its number.
        partition: i32,
    },
    /// A consumer group with offsets.
    Group(Arc<str>),
}

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionRow {
    pub(crate) producer_id: ProducerId,
    /// The id before this one, which was used up; -1 for none.
    pub(crate) previous_producer_id: ProducerId,
    /// The id that follows once the transaction is complete, since the epochs of this one are used up; -1 for none.
    pub(crate) next_producer_id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    /// The epoch before, of a producer that went on with a new one: it may ask again. -1 for none.
    pub(crate) last_epoch: ProducerEpoch,
    /// How long a transaction may take, in milliseconds.
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    /// What the client speaks: 1, or 2 (KIP-890).
    pub(crate) protocol: u8,
    /// How many transactions have begun.
    pub(crate) number: u64,
    /// When the transaction began; -1 for none.
    pub(crate) started_at: TimestampMs,
    pub(crate) updated_at: TimestampMs,
    pub(crate) participants: BTreeSet<Participant>,
}

impl TransactionRow {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u8(VERSION);
        for id in [self.producer_id, self.previous_producer_id, self.next_producer_id] {
            out.i64(id);
        }
        out.i16(self.epoch);
        out.i16(self.last_epoch);
        out.i32(self.timeout_ms);
        out.u8(self.state as u8);
        out.u8(self.protocol);
        out.u64(self.number);
        out.i64(self.started_at);
        out.i64(self.updated_at);
        out.len(self.participants.len());
        for participant in &self.participants {
            participant.write(&mut out);
        }
        out.finish()
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        check_version(&mut reader, VERSION, "a transactional id")?;
        let row = Self {
            producer_id: reader.i64()?,
            previous_producer_id: reader.i64()?,
            next_producer_id: reader.i64()?,
            epoch: reader.i16()?,
            last_epoch: reader.i16()?,
            timeout_ms: reader.i32()?,
            state: TransactionState::decode(reader.u8()?)?,
            protocol: reader.u8()?,
            number: reader.u64()?,
            started_at: reader.i64()?,
            updated_at: reader.i64()?,
            participants: reader.list(Participant::read)?.into_iter().collect(),
        };
        reader.end()?;
        Ok(row)
    }
}

impl Participant {
    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::Partition { topic, id, partition } => {
                out.u8(0);
                out.str(topic);
                out.uuid(id.0);
                out.i32(*partition);
            }
            Self::Group(group) => {
                out.u8(1);
                out.str(group);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Partition {
                topic: reader.str()?.into(),
                id: TopicId(reader.uuid()?),
                partition: reader.i32()?,
            }),
            1 => Ok(Self::Group(reader.str()?.into())),
            other => Err(DecodeError(format!("{other} is no kind of participant in a transaction"))),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn any_participant() -> impl Strategy<Value = Participant> {
        let partition = (".{0,6}", any::<u128>(), any::<i32>()).prop_map(|(topic, id, partition)| {
            Participant::Partition { topic: topic.into(), id: TopicId(Uuid::from_u128(id)), partition }
        });
        prop_oneof![partition, ".{0,6}".prop_map(|group| Participant::Group(group.into()))]
    }

    prop_compose! {
        fn any_row()(
            (producer_id, previous_producer_id, next_producer_id) in any::<(i64, i64, i64)>(),
            (epoch, last_epoch, timeout_ms, protocol, number) in any::<(i16, i16, i32, u8, u64)>(),
            (started_at, updated_at) in any::<(i64, i64)>(),
            state in prop::sample::select(TransactionState::ALL.to_vec()),
            participants in btree_set(any_participant(), 0..4),
        ) -> TransactionRow {
            TransactionRow {
                producer_id, previous_producer_id, next_producer_id, epoch, last_epoch, timeout_ms, state, protocol, number, started_at,
                updated_at, participants,
            }
        }
    }

    proptest! {
        #[test]
        fn round_trip(row in any_row()) {
            prop_assert_eq!(TransactionRow::decode(row.encode()), Ok(row));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = TransactionRow::decode(bytes.into());
        }
    }

    #[test]
    fn golden() {
        let row = TransactionRow {
            producer_id: 1,
            previous_producer_id: -1,
            next_producer_id: 2,
            epoch: 3,
            last_epoch: -1,
            timeout_ms: 4,
            state: TransactionState::PrepareAbort,
            protocol: 2,
            number: 5,
            started_at: 6,
            updated_at: 7,
            participants: [
                Participant::Group("g".into()),
                Participant::Partition { topic: "t".into(), id: TopicId(Uuid::from_u128(8)), partition: 9 },
            ]
            .into(),
        };
        let mut expected = b"\x01\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x02".to_vec();
        expected.extend(b"\0\x03\xff\xff\0\0\0\x04\x03\x02\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07");
        expected.extend(b"\0\0\0\x02\0\0\0\0\x01t");
        expected.extend([0; 15]);
        expected.extend(b"\x08\0\0\0\x09\x01\0\0\0\x01g");
        assert_eq!(row.encode(), Bytes::from(expected));
    }
}
