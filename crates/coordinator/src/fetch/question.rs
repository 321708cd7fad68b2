//! What nodes ask each other about offsets.
//!
//! Layout of a question: version (u8), group, whether a member asks (u8) and who (optional text, epoch i32), whether keys follow (u8) and
//! these (each topic and partition i32), whether only stable offsets will do (u8). Of an answer: kind (u8), then its fields; told are topic,
//! partition (i32), state (u8), and what is committed: offset (i64), leader epoch (i32), time (i64), metadata. Nodes of one cluster may be of different
//! versions: keep stable, and add kinds instead of changing one.

use bytes::Bytes;

use super::{FetchedOffset, FetchedOffsets};
use crate::codec::{DecodeError, Reader, Writer};
use crate::command::{read_key, write_key, write_list};
use crate::model::{CommittedOffset, FetchingMember, OffsetKey};
use crate::{GroupError, OffsetsQuestion};

const VERSION: u8 = 1;
/// The states of an offset.
const NONE: u8 = 0;
const COMMITTED: u8 = 1;
const UNSTABLE: u8 = 2;
/// The most that is told to another node; its client is sent to the coordinator for more.
const TOLD_BYTES_MAX: usize = 8 << 20;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The offsets.
    Told(FetchedOffsets),
    /// Another node has to be asked.
    NotHere,
    /// No.
    Refused(GroupError),
}

impl OffsetsQuestion {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.str(&self.group_id);
        out.u8(u8::from(self.member.is_some()));
        if let Some(member) = &self.member {
            out.opt_str(member.id.as_deref());
            out.i32(member.epoch);
        }
        out.u8(u8::from(self.keys.is_some()));
        if let Some(keys) = &self.keys {
            write_list(&mut out, keys, write_key);
        }
        out.u8(u8::from(self.stable));
        out.finish()
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError(format!("{other} is no version of a question about offsets"))),
        }
        let group_id = reader.str()?;
        let member = match reader.flag()? {
            true => Some(FetchingMember { id: reader.opt_str()?, epoch: reader.i32()? }),
            false => None,
        };
        let keys = if reader.flag()? { Some(reader.list(read_key)?) } else { None };
        Ok(Self { group_id, member, keys, stable: reader.flag()? })
    }
}

impl From<Result<FetchedOffsets, GroupError>> for Answer {
    fn from(told: Result<FetchedOffsets, GroupError>) -> Self {
        match told {
            Ok(offsets) => Self::Told(offsets),
            Err(GroupError::NotCoordinator { .. }) => Self::NotHere,
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

impl Answer {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        match self {
            Self::Told(offsets) => {
                out.u8(1);
                write_list(&mut out, offsets, write_told);
            }
            Self::NotHere => out.u8(2),
            Self::Refused(GroupError::UnknownMember) => out.u8(3),
            Self::Refused(GroupError::StaleMemberEpoch) => out.u8(4),
            Self::Refused(GroupError::NotAvailable(reason)) => {
                out.u8(5);
                out.str(reason);
            }
            Self::Refused(other) => {
                out.u8(5);
                out.str(&other.to_string());
            }
        }
        let bytes = out.finish();
        if bytes.len() > TOLD_BYTES_MAX { Self::NotHere.encode() } else { bytes }
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.u8()? {
            1 => Self::Told(reader.list(read_told)?),
            2 => Self::NotHere,
            3 => Self::Refused(GroupError::UnknownMember),
            4 => Self::Refused(GroupError::StaleMemberEpoch),
            5 => Self::Refused(GroupError::NotAvailable(reader.str()?)),
            other => return Err(DecodeError(format!("{other} is no kind of answer about offsets"))),
        })
    }
}

fn write_told(out: &mut Writer, (key, offset): &(OffsetKey, FetchedOffset)) {
    write_key(out, key);
    match offset {
        Ok(None) => out.u8(NONE),
        Ok(Some(committed)) => {
            out.u8(COMMITTED);
            out.i64(committed.offset);
            out.i32(committed.leader_epoch);
            out.i64(committed.committed_at);
            out.str(&committed.metadata);
        }
        // Nothing else is said of one offset.
        Err(_) => out.u8(UNSTABLE),
    }
}

fn read_told(reader: &mut Reader) -> Result<(OffsetKey, FetchedOffset), DecodeError> {
    let key = read_key(reader)?;
    let offset = match reader.u8()? {
        NONE => Ok(None),
        COMMITTED => Ok(Some(CommittedOffset {
            offset: reader.i64()?,
            leader_epoch: reader.i32()?,
            committed_at: reader.i64()?,
            metadata: reader.str()?,
        })),
        UNSTABLE => Err(GroupError::UnstableOffset),
        other => return Err(DecodeError(format!("{other} is no state of an offset"))),
    };
    Ok((key, offset))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = OffsetKey> {
        (".{0,6}", any::<i32>()).prop_map(|(topic, partition)| (topic.into(), partition))
    }

    fn any_offset() -> impl Strategy<Value = FetchedOffset> {
        let committed = |(offset, leader_epoch, committed_at, metadata)| {
            Ok(Some(CommittedOffset { offset, leader_epoch, committed_at, metadata }))
        };
        prop_oneof![
            Just(Ok(None)),
            Just(Err(GroupError::UnstableOffset)),
            (any::<i64>(), any::<i32>(), any::<i64>(), ".{0,6}").prop_map(committed),
        ]
    }

    proptest! {
        #[test]
        fn questions_and_answers_survive_the_trip(
            group_id in ".{0,6}",
            member in option::of((option::of(".{0,6}"), any::<i32>())),
            keys in option::of(vec(any_key(), 0..4)),
            stable: bool,
            told in vec((any_key(), any_offset()), 0..4),
            reason in ".{0,6}",
        ) {
            let member = member.map(|(id, epoch)| FetchingMember { id, epoch });
            let question = OffsetsQuestion { group_id, member, keys, stable };
            prop_assert_eq!(OffsetsQuestion::decode(question.encode()), Ok(question));
            let refusals = [GroupError::UnknownMember, GroupError::StaleMemberEpoch, GroupError::NotAvailable(reason)];
            let answers = refusals.into_iter().map(Answer::Refused);
            for answer in answers.chain([Answer::Told(told), Answer::NotHere]) {
                prop_assert_eq!(Answer::decode(answer.encode()), Ok(answer));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..64)) {
            let _ = (OffsetsQuestion::decode(bytes.clone().into()), Answer::decode(bytes.into()));
        }
    }

    #[test]
    fn the_bytes_are_golden() {
        let question = OffsetsQuestion {
            group_id: "g".to_owned(),
            member: Some(FetchingMember { id: Some("m".to_owned()), epoch: 2 }),
            keys: Some(vec![("t".into(), 3)]),
            stable: true,
        };
        assert_eq!(
            question.encode()[..],
            *b"\x01\0\0\0\x01g\x01\x01\0\0\0\x01m\0\0\0\x02\x01\0\0\0\x01\0\0\0\x01t\0\0\0\x03\x01"
        );
        let told = Answer::Told(vec![(("t".into(), 3), Err(GroupError::UnstableOffset))]);
        assert_eq!(told.encode()[..], *b"\x01\0\0\0\x01\0\0\0\x01t\0\0\0\x03\x02");
    }

    #[test]
    fn what_is_too_much_for_another_node_is_left_to_the_coordinator() {
        let metadata = "x".repeat(TOLD_BYTES_MAX);
        let committed = CommittedOffset { offset: 1, leader_epoch: 1, metadata, committed_at: 1 };
        let told = Answer::Told(vec![(("t".into(), 3), Ok(Some(committed)))]);
        assert_eq!(Answer::decode(told.encode()), Ok(Answer::NotHere));
    }
}
