//! A consumer group of the classic protocol. Key: the group's id, UTF-8.
//!
//! Value: version (u8), state (u8), generation (i32), state since (i64), protocol type, protocol, leader (each optional), members: each its id,
//! instance id (optional), client id, client host, session time-out (i32), rebalance time-out (i32), protocols (name, metadata), assignment.

use bytes::Bytes;
use caudal_types::TimestampMs;

use super::check_version;
use crate::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// The state that a new coordinator takes up; persisted, keep stable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RestState {
    /// No members.
    #[default]
    Empty = 0,
    /// Members are gone; the others shall join again.
    PreparingRebalance = 1,
    /// The members of the generation are settled; the assignments are not.
    CompletingRebalance = 2,
    /// The members have their assignments.
    Stable = 3,
}

impl RestState {
    fn decode(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Self::Empty),
            1 => Ok(Self::PreparingRebalance),
            2 => Ok(Self::CompletingRebalance),
            3 => Ok(Self::Stable),
            other => Err(DecodeError(format!("{other} is no state of a group"))),
        }
    }
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupRow {
    /// The state at rest.
    pub(crate) state: RestState,
    /// The generation.
    pub(crate) generation: i32,
    /// Since when the group is in its state.
    pub(crate) state_since: TimestampMs,
    /// `consumer`, `connect` ...; of the last members, when the group is empty.
    pub(crate) protocol_type: Option<String>,
    /// The assignor chosen.
    pub(crate) protocol: Option<String>,
    /// The member that assigns.
    pub(crate) leader: Option<String>,
    /// The members, by their ids.
    pub(crate) members: Vec<MemberRow>,
}

/// A member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberRow {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    /// The assignors that the member supports, best first, with its subscription for each.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// What it has.
    pub(crate) assignment: Bytes,
}

impl GroupRow {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(VERSION);
        out.u8(self.state as u8);
        out.i32(self.generation);
        out.i64(self.state_since);
        out.opt_str(self.protocol_type.as_deref());
        out.opt_str(self.protocol.as_deref());
        out.opt_str(self.leader.as_deref());
        out.len(self.members.len());
        for member in &self.members {
            member.write(out);
        }
    }

    pub(crate) fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let row = Self::read(&mut reader)?;
        reader.end()?;
        Ok(row)
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        check_version(reader, VERSION, "a group")?;
        Ok(Self {
            state: RestState::decode(reader.u8()?)?,
            generation: reader.i32()?,
            state_since: reader.i64()?,
            protocol_type: reader.opt_str()?,
            protocol: reader.opt_str()?,
            leader: reader.opt_str()?,
            members: reader.list(MemberRow::read)?,
        })
    }
}

impl MemberRow {
    fn write(&self, out: &mut Writer) {
        out.str(&self.id);
        out.opt_str(self.instance_id.as_deref());
        out.str(&self.client_id);
        out.str(&self.client_host);
        out.i32(self.session_timeout_ms);
        out.i32(self.rebalance_timeout_ms);
        out.len(self.protocols.len());
        for (name, metadata) in &self.protocols {
            out.str(name);
            out.bytes(metadata);
        }
        out.bytes(&self.assignment);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            id: reader.str()?,
            instance_id: reader.opt_str()?,
            client_id: reader.str()?,
            client_host: reader.str()?,
            session_timeout_ms: reader.i32()?,
            rebalance_timeout_ms: reader.i32()?,
            protocols: reader.list(|reader| Ok((reader.str()?, reader.bytes()?)))?,
            assignment: reader.bytes()?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_member()(
            (id, instance_id, client_id, client_host) in (".{0,8}", option::of(".{0,4}"), ".{0,4}", ".{0,4}"),
            (session_timeout_ms, rebalance_timeout_ms) in any::<(i32, i32)>(),
            protocols in vec((".{0,4}", vec(any::<u8>(), 0..8)), 0..3),
            assignment in vec(any::<u8>(), 0..8),
        ) -> MemberRow {
            let protocols = protocols.into_iter().map(|(name, metadata)| (name, metadata.into())).collect();
            let assignment = assignment.into();
            MemberRow { id, instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, protocols, assignment }
        }
    }

    prop_compose! {
        pub(crate) fn any_group()(
            state in prop::sample::select(vec![
                RestState::Empty, RestState::PreparingRebalance, RestState::CompletingRebalance, RestState::Stable,
            ]),
            (generation, state_since) in any::<(i32, i64)>(),
            (protocol_type, protocol, leader) in (option::of(".{0,4}"), option::of(".{0,4}"), option::of(".{0,4}")),
            members in vec(any_member(), 0..4),
        ) -> GroupRow {
            GroupRow { state, generation, state_since, protocol_type, protocol, leader, members }
        }
    }

    proptest! {
        #[test]
        fn round_trip(row in any_group()) {
            prop_assert_eq!(GroupRow::decode(row.encode()), Ok(row));
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..64)) {
            let _ = GroupRow::decode(bytes.into());
        }
    }

    #[test]
    fn golden() {
        let member = MemberRow {
            id: "m".to_owned(),
            instance_id: Some("i".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            session_timeout_ms: 1,
            rebalance_timeout_ms: 2,
            protocols: vec![("r".to_owned(), Bytes::from_static(b"x"))],
            assignment: Bytes::from_static(b"yz"),
        };
        let row = GroupRow {
            state: RestState::Stable,
            generation: 7,
            state_since: 9,
            protocol_type: Some("p".to_owned()),
            protocol: Some("r".to_owned()),
            leader: None,
            members: vec![member],
        };
        let mut expected = vec![1, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9];
        expected.extend(b"\x01\0\0\0\x01p\x01\0\0\0\x01r\0\0\0\0\x01");
        expected.extend(b"\0\0\0\x01m\x01\0\0\0\x01i\0\0\0\x01c\0\0\0\x02/h\0\0\0\x01\0\0\0\x02");
        expected.extend(b"\0\0\0\x01\0\0\0\x01r\0\0\0\x01x\0\0\0\x02yz");
        assert_eq!(row.encode(), Bytes::from(expected));
    }
}
