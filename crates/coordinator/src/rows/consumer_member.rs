//! A member of a consumer group (KIP-848). Key: group (length and text), member id (length and text).
//!
//! Value: version (u8), instance id, rack (each optional), client id, client host, rebalance time-out (i32), assignor (optional), topic names, regular
//! expression (optional), epoch (i32), epoch before (i32), state (u8), what it holds and what it gives up: each topics with id (16 bytes) and partitions
//! (i32) with epochs (i32); then, if it speaks the classic protocol (u8), its session time-out (i32) and protocols (name, metadata).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use caudal_types::TopicId;

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consumer::Held;

const VERSION: u8 = 1;

/// Which member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerMemberKey {
    pub(crate) group: Arc<str>,
    pub(crate) member: Arc<str>,
}

/// What a member does to get from what it holds to what it shall have; persisted, keep stable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum MemberState {
    /// It holds what it shall have in its epoch.
    #[default]
    Stable = 0,
    /// It must first give something up.
    UnrevokedPartitions = 1,
    /// It waits for others to give something up.
    UnreleasedPartitions = 2,
}

/// Where a member is on its way to its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) held: Held,
    /// What it was told to give up, and has not said that it has.
    pub(crate) revoking: Held,
}

/// What a member that speaks the classic protocol has said as it joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassicPart {
    pub(crate) session_timeout_ms: i32,
    /// Its assignors, best first, with its subscription for each.
    pub(crate) protocols: Vec<(String, Bytes)>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerMemberRow {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) assignor: Option<String>,
    pub(crate) topic_names: BTreeSet<String>,
    pub(crate) topic_regex: Option<String>,
    pub(crate) progress: Progress,
    /// If it speaks the classic protocol.
    pub(crate) classic: Option<ClassicPart>,
}

impl ConsumerMemberKey {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.str(&self.group);
        out.str(&self.member);
        out.finish()
    }

    pub(crate) fn decode(key: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(key);
        let key = Self { group: reader.str()?.into(), member: reader.str()?.into() };
        reader.end()?;
        Ok(key)
    }
}

impl MemberState {
    fn decode(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Self::Stable),
            1 => Ok(Self::UnrevokedPartitions),
            2 => Ok(Self::UnreleasedPartitions),
            other => Err(DecodeError(format!("{other} is no state of a member"))),
        }
    }
}

impl ConsumerMemberRow {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(VERSION);
        out.opt_str(self.instance_id.as_deref());
        out.opt_str(self.rack_id.as_deref());
        out.str(&self.client_id);
        out.str(&self.client_host);
        out.i32(self.rebalance_timeout_ms);
        out.opt_str(self.assignor.as_deref());
        out.len(self.topic_names.len());
        for name in &self.topic_names {
            out.str(name);
        }
        out.opt_str(self.topic_regex.as_deref());
        self.progress.write(out);
        out.u8(u8::from(self.classic.is_some()));
        if let Some(classic) = &self.classic {
            out.i32(classic.session_timeout_ms);
            out.len(classic.protocols.len());
            for (name, metadata) in &classic.protocols {
                out.str(name);
                out.bytes(metadata);
            }
        }
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let row = Self::read(&mut reader)?;
        reader.end()?;
        Ok(row)
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        check_version(reader, VERSION, "a member of a consumer group")?;
        Ok(Self {
            instance_id: reader.opt_str()?,
            rack_id: reader.opt_str()?,
            client_id: reader.str()?,
            client_host: reader.str()?,
            rebalance_timeout_ms: reader.i32()?,
            assignor: reader.opt_str()?,
            topic_names: reader.list(Reader::str)?.into_iter().collect(),
            topic_regex: reader.opt_str()?,
            progress: Progress::read(reader)?,
            classic: match reader.u8()? {
                0 => None,
                _ => Some(ClassicPart {
                    session_timeout_ms: reader.i32()?,
                    protocols: reader.list(|reader| Ok((reader.str()?, reader.bytes()?)))?,
                }),
            },
        })
    }
}

impl Progress {
    fn write(&self, out: &mut Writer) {
        out.i32(self.epoch);
        out.i32(self.previous_epoch);
        out.u8(self.state as u8);
        write_held(&self.held, out);
        write_held(&self.revoking, out);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: reader.i32()?,
            previous_epoch: reader.i32()?,
            state: MemberState::decode(reader.u8()?)?,
            held: read_held(reader)?,
            revoking: read_held(reader)?,
        })
    }
}

fn write_held(held: &Held, out: &mut Writer) {
    out.len(held.len());
    for (topic, partitions) in held {
        out.uuid(topic.0);
        out.len(partitions.len());
        for (partition, epoch) in partitions {
            out.i32(*partition);
            out.i32(*epoch);
        }
    }
}

fn read_held(reader: &mut Reader) -> Result<Held, DecodeError> {
    let partition = |reader: &mut Reader| Ok((reader.i32()?, reader.i32()?));
    let topic = |reader: &mut Reader| Ok((TopicId(reader.uuid()?), reader.list(partition)?.into_iter().collect()));
    Ok(reader.list(topic)?.into_iter().collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::option;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::rows::consumer_target::tests::any_topic_id;

    fn any_held() -> impl Strategy<Value = Held> {
        btree_map(any_topic_id(), btree_map(any::<i32>(), any::<i32>(), 0..3), 0..3)
    }

    fn any_state() -> impl Strategy<Value = MemberState> {
        prop::sample::select(vec![
            MemberState::Stable,
            MemberState::UnrevokedPartitions,
            MemberState::UnreleasedPartitions,
        ])
    }

    fn any_classic() -> impl Strategy<Value = ClassicPart> {
        (any::<i32>(), vec((".{0,4}", vec(any::<u8>(), 0..6).prop_map(Bytes::from)), 0..3))
            .prop_map(|(session_timeout_ms, protocols)| ClassicPart { session_timeout_ms, protocols })
    }

    prop_compose! {
        pub(crate) fn any_consumer_member()(
            (instance_id, rack_id, assignor, topic_regex) in
                (option::of(".{0,4}"), option::of(".{0,4}"), option::of(".{0,4}"), option::of(".{0,4}")),
            (client_id, client_host) in (".{0,4}", ".{0,4}"),
            (rebalance_timeout_ms, epoch, previous_epoch) in any::<(i32, i32, i32)>(),
            topic_names in btree_set(".{0,4}", 0..3),
            (state, held, revoking) in (any_state(), any_held(), any_held()),
            classic in option::of(any_classic()),
        ) -> ConsumerMemberRow {
            let progress = Progress { epoch, previous_epoch, state, held, revoking };
            ConsumerMemberRow {
                instance_id, rack_id, client_id, client_host, rebalance_timeout_ms, assignor, topic_names, topic_regex, progress, classic,
            }
        }
    }

    proptest! {
        #[test]
        fn round_trip(row in any_consumer_member(), group in ".{0,8}", member in ".{0,8}") {
            prop_assert_eq!(ConsumerMemberRow::decode(row.encode()), Ok(row));
            let key = ConsumerMemberKey { group: group.into(), member: member.into() };
            prop_assert_eq!(ConsumerMemberKey::decode(key.encode()), Ok(key));
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..96)) {
            let _ = ConsumerMemberRow::decode(bytes.clone().into());
            let _ = ConsumerMemberKey::decode(bytes.into());
        }
    }

    #[test]
    fn golden() {
        let key = ConsumerMemberKey { group: "g".into(), member: "me".into() };
        assert_eq!(key.encode(), Bytes::from_static(b"\0\0\0\x01g\0\0\0\x02me"));
        let row = ConsumerMemberRow {
            instance_id: Some("i".to_owned()),
            rack_id: None,
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            rebalance_timeout_ms: 1,
            assignor: Some("r".to_owned()),
            topic_names: BTreeSet::from(["t".to_owned()]),
            topic_regex: Some("x".to_owned()),
            progress: Progress {
                epoch: 2,
                previous_epoch: 3,
                state: MemberState::UnreleasedPartitions,
                held: BTreeMap::from([(TopicId(Uuid::from_u128(4)), BTreeMap::from([(5, 6)]))]),
                revoking: Held::new(),
            },
            classic: Some(ClassicPart {
                session_timeout_ms: 7,
                protocols: vec![("p".to_owned(), Bytes::from_static(b"y"))],
            }),
        };
        let mut expected = b"\x01\x01\0\0\0\x01i\0\0\0\0\x01c\0\0\0\x02/h\0\0\0\x01\x01\0\0\0\x01r".to_vec();
        expected.extend(b"\0\0\0\x01\0\0\0\x01t\x01\0\0\0\x01x\0\0\0\x02\0\0\0\x03\x02\0\0\0\x01");
        expected.extend([0; 15]);
        expected.extend(b"\x04\0\0\0\x01\0\0\0\x05\0\0\0\x06\0\0\0\0\x01\0\0\0\x07\0\0\0\x01\0\0\0\x01p\0\0\0\x01y");
        assert_eq!(row.encode(), Bytes::from(expected));
    }
}
