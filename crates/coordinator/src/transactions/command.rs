//! What is proposed about transactions. See [`crate::command`] for the entry around it.

use caudal_types::{ProducerEpoch, ProducerId, TimestampMs};

use super::{Participant, ProducerIdentity};
use crate::codec::{DecodeError, Reader, Writer};
use crate::command::{TopicCommit, write_list};

/// One change of a transactional id, or of the offsets that a transaction has for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransactionCommand {
    /// A producer takes over the transactional id.
    Init {
        timeout_ms: i32,
        /// What the producer has, when it goes on after an error (KIP-360).
        expected: Option<ProducerIdentity>,
        /// A producer id that nobody has, should one be needed; -1 for none.
        fresh_id: ProducerId,
    },
    /// Participants join.
    Join { producer: ProducerIdentity, protocol: u8, participants: Vec<Participant> },
    /// The client says how it ends.
    End { producer: ProducerIdentity, protocol: u8, commit: bool, fresh_id: ProducerId },
    /// It has had its time, if it is still the one of this number.
    TimeOut { number: u64, fresh_id: ProducerId },
    /// All participants know how it ended.
    Complete { number: u64 },
    /// The transactional id has had its time, unless it was used since.
    Forget { updated_at: TimestampMs },
}

/// One change of the offsets that transactions have for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PendingCommand {
    /// More offsets.
    Add { producer: ProducerIdentity, number: u64, topics: Vec<TopicCommit> },
    /// The transaction has ended.
    End { producer: ProducerIdentity, number: u64, commit: bool },
    /// What is known of a transaction that has ended is not needed any more.
    Forget { producer_id: ProducerId, number: u64 },
}

impl TransactionCommand {
    /// Persisted, as all kinds: keep stable.
    pub(crate) const KINDS: std::ops::RangeInclusive<u8> = 10..=15;

    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Init { .. } => 10,
            Self::Join { .. } => 11,
            Self::End { .. } => 12,
            Self::TimeOut { .. } => 13,
            Self::Complete { .. } => 14,
            Self::Forget { .. } => 15,
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::Init { timeout_ms, expected, fresh_id } => {
                out.i32(*timeout_ms);
                out.u8(u8::from(expected.is_some()));
                if let Some(expected) = expected {
                    expected.write(out);
                }
                out.i64(*fresh_id);
            }
            Self::Join { producer, protocol, participants } => {
                producer.write(out);
                out.u8(*protocol);
                write_list(out, participants, |out, participant| participant.write(out));
            }
            Self::End { producer, protocol, commit, fresh_id } => {
                producer.write(out);
                out.u8(*protocol);
                out.u8(u8::from(*commit));
                out.i64(*fresh_id);
            }
            Self::TimeOut { number, fresh_id } => {
                out.u64(*number);
                out.i64(*fresh_id);
            }
            Self::Complete { number } => out.u64(*number),
            Self::Forget { updated_at } => out.i64(*updated_at),
        }
    }

    pub(crate) fn read(kind: u8, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match kind {
            10 => Self::Init {
                timeout_ms: reader.i32()?,
                expected: if reader.flag()? { Some(ProducerIdentity::read(reader)?) } else { None },
                fresh_id: reader.i64()?,
            },
            11 => Self::Join {
                producer: ProducerIdentity::read(reader)?,
                protocol: reader.u8()?,
                participants: reader.list(Participant::read)?,
            },
            12 => Self::End {
                producer: ProducerIdentity::read(reader)?,
                protocol: reader.u8()?,
                commit: reader.flag()?,
                fresh_id: reader.i64()?,
            },
            13 => Self::TimeOut { number: reader.u64()?, fresh_id: reader.i64()? },
            14 => Self::Complete { number: reader.u64()? },
            15 => Self::Forget { updated_at: reader.i64()? },
            other => return Err(DecodeError(format!("{other} is no kind of command about transactions"))),
        })
    }
}

impl PendingCommand {
    pub(crate) const KINDS: std::ops::RangeInclusive<u8> = 16..=18;

    /// Whose offsets it is about.
    pub(crate) fn producer_id(&self) -> ProducerId {
        match self {
            Self::Add { producer, .. } | Self::End { producer, .. } => producer.id,
            Self::Forget { producer_id, .. } => *producer_id,
        }
    }

    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Add { .. } => 16,
            Self::End { .. } => 17,
            Self::Forget { .. } => 18,
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::Add { producer, number, topics } => {
                producer.write(out);
                out.u64(*number);
                write_list(out, topics, |out, topic| topic.write(out));
            }
            Self::End { producer, number, commit } => {
                producer.write(out);
                out.u64(*number);
                out.u8(u8::from(*commit));
            }
            Self::Forget { producer_id, number } => {
                out.i64(*producer_id);
                out.u64(*number);
            }
        }
    }

    pub(crate) fn read(kind: u8, reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match kind {
            16 => Self::Add {
                producer: ProducerIdentity::read(reader)?,
                number: reader.u64()?,
                topics: reader.list(TopicCommit::read)?,
            },
            17 => {
                Self::End { producer: ProducerIdentity::read(reader)?, number: reader.u64()?, commit: reader.flag()? }
            }
            18 => Self::Forget { producer_id: reader.i64()?, number: reader.u64()? },
            other => return Err(DecodeError(format!("{other} is no kind of command about a transaction's offsets"))),
        })
    }
}

impl ProducerIdentity {
    pub(crate) fn write(self, out: &mut Writer) {
        out.i64(self.id);
        out.i16(self.epoch);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (id, epoch): (ProducerId, ProducerEpoch) = (reader.i64()?, reader.i16()?);
        Ok(Self { id, epoch })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::command::Command;
    use crate::rows::transaction::tests::any_participant;

    fn any_producer() -> impl Strategy<Value = ProducerIdentity> {
        any::<(i64, i16)>().prop_map(|(id, epoch)| ProducerIdentity { id, epoch })
    }

    pub(crate) fn any_transaction_command() -> impl Strategy<Value = TransactionCommand> {
        prop_oneof![
            (any::<i32>(), option::of(any_producer()), any::<i64>()).prop_map(|(timeout_ms, expected, fresh_id)| {
                TransactionCommand::Init { timeout_ms, expected, fresh_id }
            }),
            (any_producer(), any::<u8>(), vec(any_participant(), 0..3)).prop_map(
                |(producer, protocol, participants)| TransactionCommand::Join { producer, protocol, participants }
            ),
            (any_producer(), any::<u8>(), any::<bool>(), any::<i64>()).prop_map(
                |(producer, protocol, commit, fresh_id)| TransactionCommand::End {
                    producer,
                    protocol,
                    commit,
                    fresh_id
                }
            ),
            any::<(u64, i64)>().prop_map(|(number, fresh_id)| TransactionCommand::TimeOut { number, fresh_id }),
            any::<u64>().prop_map(|number| TransactionCommand::Complete { number }),
            any::<i64>().prop_map(|updated_at| TransactionCommand::Forget { updated_at }),
        ]
    }

    pub(crate) fn any_pending_command() -> impl Strategy<Value = PendingCommand> {
        prop_oneof![
            (any_producer(), any::<u64>()).prop_map(|(producer, number)| PendingCommand::Add {
                producer,
                number,
                topics: vec![]
            }),
            (any_producer(), any::<u64>(), any::<bool>()).prop_map(|(producer, number, commit)| PendingCommand::End {
                producer,
                number,
                commit
            }),
            any::<(i64, u64)>().prop_map(|(producer_id, number)| PendingCommand::Forget { producer_id, number }),
        ]
    }

    #[test]
    fn golden() {
        let producer = ProducerIdentity { id: 1, epoch: 2 };
        let bytes = |command| Command::Transaction { id: "a".into(), command }.encode();
        let init = TransactionCommand::Init { timeout_ms: 3, expected: Some(producer), fresh_id: -1 };
        let expected = b"\x0a\0\0\0\x01a\0\0\0\x03\x01\0\0\0\0\0\0\0\x01\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(bytes(init), Bytes::from_static(expected));
        let participants = vec![Participant::Group("g".into())];
        let join = TransactionCommand::Join { producer, protocol: 2, participants };
        let expected = b"\x0b\0\0\0\x01a\0\0\0\0\0\0\0\x01\0\x02\x02\0\0\0\x01\x01\0\0\0\x01g";
        assert_eq!(bytes(join), Bytes::from_static(expected));
        let end = TransactionCommand::End { producer, protocol: 2, commit: true, fresh_id: 4 };
        let expected = b"\x0c\0\0\0\x01a\0\0\0\0\0\0\0\x01\0\x02\x02\x01\0\0\0\0\0\0\0\x04";
        assert_eq!(bytes(end), Bytes::from_static(expected));
        let pending = PendingCommand::End { producer, number: 5, commit: true };
        let pending = Command::Pending { group: "g".into(), command: pending }.encode();
        let expected = b"\x11\0\0\0\x01g\0\0\0\0\0\0\0\x01\0\x02\0\0\0\0\0\0\0\x05\x01";
        assert_eq!(pending, Bytes::from_static(expected));
    }
}
