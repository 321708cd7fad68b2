//! What the coordinator proposes to its shard.
//!
//! An entry of the Raft log holds several commands: version (u8), time (i64), image version (u64), then the commands, each its kind (u8) and its
//! fields, to the end. Persisted: keep stable, and add kinds or versions instead of changing one.

mod consumer;

use std::sync::Arc;

use bytes::Bytes;
use caudal_types::{LeaderEpoch, Offset, TimestampMs, TopicId};

use crate::codec::{DecodeError, Reader, Writer};
use crate::model::OffsetKey;
use crate::rows::GroupRow;
use crate::transactions::command::{PendingCommand, TransactionCommand};

pub(crate) use consumer::ConsumerChange;

const VERSION: u8 = 1;

/// One change of a shard's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Nothing. Shows that all that was proposed before is decided.
    Nothing,
    /// The group is now so.
    PutGroup { group: Arc<str>, row: GroupRow },
    /// The generation's members, and no others, have these assignments.
    Assign { group: Arc<str>, generation: i32, assignments: Vec<(String, Bytes)> },
    /// These members are gone; the others shall join again.
    RemoveMembers { group: Arc<str>, members: Vec<String>, leader: Option<String> },
    /// The group and its offsets are gone.
    DeleteGroup { group: Arc<str> },
    /// The group is gone if it is empty, has no offsets, and is still of this generation.
    ForgetGroup { group: Arc<str>, generation: i32 },
    /// Offsets are committed.
    CommitOffsets { group: Arc<str>, topics: Vec<TopicCommit> },
    /// Offsets are gone.
    RemoveOffsets { group: Arc<str>, keys: Vec<OffsetKey> },
    /// Offsets are gone, unless they were committed again since.
    ExpireOffsets { group: Arc<str>, offsets: Vec<(OffsetKey, TimestampMs)> },
    /// Topics are gone, and with them the offsets of all groups.
    RemoveTopics { topics: Vec<(Arc<str>, TopicId)> },
    /// About a transactional id.
    Transaction { id: Arc<str>, command: TransactionCommand },
    /// About the offsets that transactions have for a group.
    Pending { group: Arc<str>, command: PendingCommand },
    /// The consumer group's rows have changed so. If it was a classic group, it is one no longer.
    ChangeConsumerGroup { group: Arc<str>, change: ConsumerChange },
}

/// The offsets of one topic in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicCommit {
    pub(crate) topic: Arc<str>,
    /// Nil if the topic is unknown.
    pub(crate) id: TopicId,
    pub(crate) offsets: Vec<OffsetCommit>,
}

/// One partition's offset in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetCommit {
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) metadata: String,
}

/// The entry that a command is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// Its index in the Raft log.
    pub(crate) index: u64,
    /// See [`Entry::time`].
    pub(crate) time: TimestampMs,
}

/// The payload of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The proposer's clock: the only time that applying sees.
    pub(crate) time: TimestampMs,
    /// The version of the cluster's image that the proposer knew.
    pub(crate) image_version: u64,
    pub(crate) commands: Vec<Command>,
}

impl Entry {
    /// An entry of encoded commands.
    pub(crate) fn encode(time: TimestampMs, image_version: u64, commands: &[Bytes]) -> Bytes {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.i64(time);
        out.u64(image_version);
        for command in commands {
            out.raw(command);
        }
        out.finish()
    }

    pub(crate) fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            VERSION => {}
            version => return Err(DecodeError(format!("the entry has the unknown version {version}"))),
        }
        let (time, image_version) = (reader.i64()?, reader.u64()?);
        let mut commands = Vec::new();
        while !reader.is_empty() {
            commands.push(Command::read(&mut reader)?);
        }
        Ok(Self { time, image_version, commands })
    }
}

impl Command {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u8(self.kind());
        match self {
            Self::Nothing => {}
            Self::PutGroup { group, row } => {
                out.str(group);
                row.write(&mut out);
            }
            Self::Assign { group, generation, assignments } => {
                out.str(group);
                out.i32(*generation);
                write_list(&mut out, assignments, |out, (member, assignment)| {
                    out.str(member);
                    out.bytes(assignment);
                });
            }
            Self::RemoveMembers { group, members, leader } => {
                out.str(group);
                write_list(&mut out, members, |out, member| out.str(member));
                out.opt_str(leader.as_deref());
            }
            Self::DeleteGroup { group } => out.str(group),
            Self::ForgetGroup { group, generation } => {
                out.str(group);
                out.i32(*generation);
            }
            Self::CommitOffsets { group, topics } => {
                out.str(group);
                write_list(&mut out, topics, |out, topic| topic.write(out));
            }
            Self::RemoveOffsets { group, keys } => {
                out.str(group);
                write_list(&mut out, keys, write_key);
            }
            Self::ExpireOffsets { group, offsets } => {
                out.str(group);
                write_list(&mut out, offsets, |out, (key, committed_at)| {
                    write_key(out, key);
                    out.i64(*committed_at);
                });
            }
            Self::RemoveTopics { topics } => write_list(&mut out, topics, |out, (topic, id)| {
                out.str(topic);
                out.uuid(id.0);
            }),
            Self::Transaction { id, command } => {
                out.str(id);
                command.write(&mut out);
            }
            Self::Pending { group, command } => {
                out.str(group);
                command.write(&mut out);
            }
            Self::ChangeConsumerGroup { group, change } => {
                out.str(group);
                change.write(&mut out);
            }
        }
        out.finish()
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::PutGroup { .. } => 1,
            Self::Assign { .. } => 2,
            Self::RemoveMembers { .. } => 3,
            Self::DeleteGroup { .. } => 4,
            Self::ForgetGroup { .. } => 5,
            Self::CommitOffsets { .. } => 6,
            Self::RemoveOffsets { .. } => 7,
            Self::ExpireOffsets { .. } => 8,
            Self::RemoveTopics { .. } => 9,
            Self::Transaction { command, .. } => command.kind(),
            Self::Pending { command, .. } => command.kind(),
            Self::ChangeConsumerGroup { .. } => 20,
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let kind = reader.u8()?;
        match kind {
            0 => return Ok(Self::Nothing),
            9 => {
                let topic = |reader: &mut Reader| Ok((reader.str()?.into(), TopicId(reader.uuid()?)));
                return Ok(Self::RemoveTopics { topics: reader.list(topic)? });
            }
            _ => {}
        }
        let group: Arc<str> = reader.str()?.into();
        Ok(match kind {
            1 => Self::PutGroup { group, row: GroupRow::read(reader)? },
            2 => Self::Assign {
                group,
                generation: reader.i32()?,
                assignments: reader.list(|reader| Ok((reader.str()?, reader.bytes()?)))?,
            },
            3 => Self::RemoveMembers { group, members: reader.list(Reader::str)?, leader: reader.opt_str()? },
            4 => Self::DeleteGroup { group },
            5 => Self::ForgetGroup { group, generation: reader.i32()? },
            6 => Self::CommitOffsets { group, topics: reader.list(TopicCommit::read)? },
            7 => Self::RemoveOffsets { group, keys: reader.list(read_key)? },
            8 => Self::ExpireOffsets { group, offsets: reader.list(|reader| Ok((read_key(reader)?, reader.i64()?)))? },
            kind if TransactionCommand::KINDS.contains(&kind) => {
                Self::Transaction { id: group, command: TransactionCommand::read(kind, reader)? }
            }
            kind if PendingCommand::KINDS.contains(&kind) => {
                Self::Pending { group, command: PendingCommand::read(kind, reader)? }
            }
            20 => Self::ChangeConsumerGroup { group, change: ConsumerChange::read(reader)? },
            other => return Err(DecodeError(format!("{other} is no kind of command"))),
        })
    }
}

impl TopicCommit {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.str(&self.topic);
        out.uuid(self.id.0);
        write_list(out, &self.offsets, |out, commit| commit.write(out));
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (topic, id) = (reader.str()?.into(), TopicId(reader.uuid()?));
        Ok(Self { topic, id, offsets: reader.list(OffsetCommit::read)? })
    }
}

impl OffsetCommit {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.i32(self.partition);
        out.i64(self.offset);
        out.i32(self.leader_epoch);
        out.opt_i64(self.retention_ms);
        out.str(&self.metadata);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: reader.i32()?,
            offset: reader.i64()?,
            leader_epoch: reader.i32()?,
            retention_ms: reader.opt_i64()?,
            metadata: reader.str()?,
        })
    }
}

pub(crate) fn write_list<T>(out: &mut Writer, items: &[T], mut item: impl FnMut(&mut Writer, &T)) {
    out.len(items.len());
    for each in items {
        item(out, each);
    }
}

pub(crate) fn write_key(out: &mut Writer, (topic, partition): &OffsetKey) {
    out.str(topic);
    out.i32(*partition);
}

pub(crate) fn read_key(reader: &mut Reader) -> Result<OffsetKey, DecodeError> {
    Ok((reader.str()?.into(), reader.i32()?))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::command::consumer::tests::any_consumer_change;
    use crate::rows::group::tests::any_group;
    use crate::transactions::command::tests::{any_pending_command, any_transaction_command};

    fn any_text() -> impl Strategy<Value = Arc<str>> {
        ".{0,6}".prop_map(Arc::from)
    }

    fn any_key() -> impl Strategy<Value = OffsetKey> {
        (any_text(), any::<i32>())
    }

    prop_compose! {
        fn any_commit()(
            (partition, offset, leader_epoch) in any::<(i32, i64, i32)>(),
            retention_ms in option::of(any::<i64>()),
            metadata in ".{0,6}",
        ) -> OffsetCommit {
            OffsetCommit { partition, offset, leader_epoch, retention_ms, metadata }
        }
    }

    fn any_topic() -> impl Strategy<Value = (Arc<str>, TopicId)> {
        (any_text(), any::<u128>().prop_map(|id| TopicId(Uuid::from_u128(id))))
    }

    fn any_command() -> impl Strategy<Value = Command> {
        let topic_commit = (any_topic(), vec(any_commit(), 0..3)).prop_map(|((topic, id), offsets)| TopicCommit {
            topic,
            id,
            offsets,
        });
        let assignment = (".{0,6}", vec(any::<u8>(), 0..6).prop_map(Bytes::from));
        let transaction = (any_text(), any_transaction_command());
        let pending = (any_text(), any_pending_command());
        prop_oneof![
            Just(Command::Nothing),
            (any_text(), any_group()).prop_map(|(group, row)| Command::PutGroup { group, row }),
            (any_text(), any::<i32>(), vec(assignment, 0..3))
                .prop_map(|(group, generation, assignments)| Command::Assign { group, generation, assignments }),
            (any_text(), vec(".{0,6}", 0..3), option::of(".{0,6}"))
                .prop_map(|(group, members, leader)| Command::RemoveMembers { group, members, leader }),
            any_text().prop_map(|group| Command::DeleteGroup { group }),
            (any_text(), any::<i32>()).prop_map(|(group, generation)| Command::ForgetGroup { group, generation }),
            (any_text(), vec(topic_commit, 0..3)).prop_map(|(group, topics)| Command::CommitOffsets { group, topics }),
            (any_text(), vec(any_key(), 0..3)).prop_map(|(group, keys)| Command::RemoveOffsets { group, keys }),
            (any_text(), vec((any_key(), any::<i64>()), 0..3))
                .prop_map(|(group, offsets)| Command::ExpireOffsets { group, offsets }),
            vec(any_topic(), 0..3).prop_map(|topics| Command::RemoveTopics { topics }),
            transaction.prop_map(|(id, command)| Command::Transaction { id, command }),
            pending.prop_map(|(group, command)| Command::Pending { group, command }),
            (any_text(), any_consumer_change())
                .prop_map(|(group, change)| Command::ChangeConsumerGroup { group, change }),
        ]
    }

    proptest! {
        #[test]
        fn round_trip(time in any::<i64>(), image_version in any::<u64>(), commands in vec(any_command(), 0..4)) {
            let encoded: Vec<Bytes> = commands.iter().map(Command::encode).collect();
            let payload = Entry::encode(time, image_version, &encoded);
            prop_assert_eq!(Entry::decode(payload), Ok(Entry { time, image_version, commands }));
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..96)) {
            let _ = Entry::decode(bytes.into());
        }
    }

    #[test]
    fn a_consumer_groups_change_has_golden_bytes() {
        let row = crate::rows::ConsumerGroupRow { epoch: 1, assignment_epoch: 2, topics: 3 };
        let members = vec![("m".into(), None)];
        let targets = vec![("t".into(), Some(crate::consumer::Partitions::new()))];
        let change = ConsumerChange { row, members, targets };
        let mut expected = b"\x14\0\0\0\x01g\x01\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x03".to_vec();
        expected.extend(b"\0\0\0\x01\0\0\0\x01m\0\0\0\0\x01\0\0\0\x01t\x01\x01\0\0\0\0");
        let command = Command::ChangeConsumerGroup { group: "g".into(), change };
        assert_eq!(command.encode(), Bytes::from(expected));
    }

    #[test]
    fn golden() {
        let commit =
            OffsetCommit { partition: 1, offset: 2, leader_epoch: 3, retention_ms: None, metadata: "m".to_owned() };
        let topics = vec![TopicCommit { topic: "t".into(), id: TopicId::NIL, offsets: vec![commit] }];
        let commit = Command::CommitOffsets { group: "g".into(), topics }.encode();
        let forget = Command::ForgetGroup { group: "g".into(), generation: 4 }.encode();
        let mut expected = b"\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06".to_vec();
        expected.extend(b"\x06\0\0\0\x01g\0\0\0\x01\0\0\0\x01t");
        expected.extend([0; 16]);
        expected.extend(b"\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\0\x01m");
        expected.extend(b"\x05\0\0\0\x01g\0\0\0\x04");
        assert_eq!(Entry::encode(5, 6, &[commit, forget]), Bytes::from(expected));
    }
}
