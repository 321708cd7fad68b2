//! How votes, log ids, memberships and snapshot pointers are laid out, on the disk and in log entries. Explicit layouts, big-endian,
//! each value beginning with a version byte, so that neither an upgrade of openraft nor of a serializer changes what is stored.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use caudal_storage::StorageError;
use caudal_storage::keys::log::{EntryKind, StoredEntry};
use caudal_types::RaftGroupId;
use openraft::EntryPayload;

use crate::manage::forgotten::Forgotten;
use crate::manage::recovery::Doubt;
use crate::types::{
    Command, GroupMembership, LogEntry, LogId, LoggedMembership, Rank, SnapshotMeta, Vote, log_id, term_of,
};

const VERSION: u8 = 1;
/// More members than any sane Raft group has; guards the decoder.
const MEMBERS_MAX: usize = 4096;

/// Takes fixed-width values off a slice, and says so when there are too few bytes.
struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads the version byte first.
    fn new(bytes: &'a [u8], what: &'static str) -> Result<Self, StorageError> {
        let mut reader = Self { rest: bytes, what };
        match reader.u8()? {
            VERSION => Ok(reader),
            version => Err(StorageError::Corrupt(format!("{what} has the unknown version {version}"))),
        }
    }

    fn need(&self, bytes: usize) -> Result<(), StorageError> {
        if self.rest.len() < bytes {
            return Err(StorageError::Corrupt(format!("{} ends too early", self.what)));
        }
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, StorageError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }

    fn u16(&mut self) -> Result<u16, StorageError> {
        self.need(2)?;
        Ok(self.rest.get_u16())
    }

    fn u32(&mut self) -> Result<u32, StorageError> {
        self.need(4)?;
        Ok(self.rest.get_u32())
    }

    fn u64(&mut self) -> Result<u64, StorageError> {
        self.need(8)?;
        Ok(self.rest.get_u64())
    }

    fn count(&mut self) -> Result<usize, StorageError> {
        let count = usize::from(self.u16()?);
        if count > MEMBERS_MAX {
            return Err(StorageError::Corrupt(format!("{} claims {count} members", self.what)));
        }
        Ok(count)
    }

    fn bool(&mut self) -> Result<bool, StorageError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(StorageError::Corrupt(format!("{} has {other} where a flag belongs", self.what))),
        }
    }

    fn log_id(&mut self) -> Result<Option<LogId>, StorageError> {
        let present = self.bool()?;
        let (term, index) = (self.u64()?, self.u64()?);
        Ok(present.then(|| log_id(term, index)))
    }

    fn membership(&mut self) -> Result<GroupMembership, StorageError> {
        let mut configs = Vec::new();
        for _ in 0..self.count()? {
            let voters = (0..self.count()?).map(|_| self.u64()).collect::<Result<_, _>>()?;
            configs.push(voters);
        }
        let nodes = (0..self.count()?).map(|_| Ok((self.u64()?, Rank(self.u32()?))));
        let nodes = nodes.collect::<Result<std::collections::BTreeMap<_, _>, StorageError>>()?;
        if configs.is_empty() && nodes.is_empty() {
            return Ok(GroupMembership::default());
        }
        GroupMembership::new(configs, nodes).map_err(|error| StorageError::Corrupt(format!("{}: {error}", self.what)))
    }

    fn end(self) -> Result<(), StorageError> {
        if !self.rest.is_empty() {
            return Err(StorageError::Corrupt(format!("{} has {} bytes too many", self.what, self.rest.len())));
        }
        Ok(())
    }
}

fn put_log_id(out: &mut BytesMut, id: Option<&LogId>) {
    out.put_u8(u8::from(id.is_some()));
    out.put_u64(id.map_or(0, term_of));
    out.put_u64(id.map_or(0, |id| id.index));
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

fn put_membership(out: &mut BytesMut, membership: &GroupMembership) {
    let configs = membership.get_joint_config();
    put_count(out, configs.len());
    for voters in configs {
        put_count(out, voters.len());
        for voter in voters {
            out.put_u64(*voter);
        }
    }
    put_count(out, membership.nodes().count());
    for (id, rank) in membership.nodes() {
        out.put_u64(*id);
        out.put_u32(rank.0);
    }
}

/// Encodes a vote.
pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(VERSION);
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.voted_for);
    out.put_u8(u8::from(vote.committed));
    out.freeze()
}

/// Decodes a vote.
pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, StorageError> {
    let mut reader = Reader::new(bytes, "a stored vote")?;
    let (term, node, committed) = (reader.u64()?, reader.u64()?, reader.bool()?);
    reader.end()?;
    Ok(if committed { Vote::new_committed(term, node) } else { Vote::new(term, node) })
}

/// Encodes a log id that may be absent.
pub(crate) fn encode_log_id(id: Option<&LogId>) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(VERSION);
    put_log_id(&mut out, id);
    out.freeze()
}

/// Decodes a log id.
pub(crate) fn decode_log_id(bytes: &[u8]) -> Result<Option<LogId>, StorageError> {
    let mut reader = Reader::new(bytes, "a stored log id")?;
    let id = reader.log_id()?;
    reader.end()?;
    Ok(id)
}

/// Encodes a membership, as the payload of its log entry.
pub(crate) fn encode_membership(membership: &GroupMembership) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_membership(&mut out, membership);
    out.freeze()
}

/// Decodes a membership.
pub(crate) fn decode_membership(bytes: &[u8]) -> Result<GroupMembership, StorageError> {
    let mut reader = Reader::new(bytes, "a membership")?;
    let membership = reader.membership()?;
    reader.end()?;
    Ok(membership)
}

/// Encodes a membership with the id of the log entry that brought it.
pub(crate) fn encode_logged_membership(membership: &LoggedMembership) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_log_id(&mut out, membership.log_id().as_ref());
    put_membership(&mut out, membership.membership());
    out.freeze()
}

/// Decodes a membership with the id of its entry.
pub(crate) fn decode_logged_membership(bytes: &[u8]) -> Result<LoggedMembership, StorageError> {
    let mut reader = Reader::new(bytes, "a stored membership")?;
    let id = reader.log_id()?;
    let membership = reader.membership()?;
    reader.end()?;
    Ok(LoggedMembership::new(id, membership))
}

/// Encodes what a snapshot is about, without its data.
pub(crate) fn encode_snapshot_meta(meta: &SnapshotMeta) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_log_id(&mut out, meta.last_log_id.as_ref());
    put_log_id(&mut out, meta.last_membership.log_id().as_ref());
    put_membership(&mut out, meta.last_membership.membership());
    out.freeze()
}

/// Decodes what a snapshot is about, and how many bytes that took.
pub(crate) fn decode_snapshot_meta(bytes: &[u8]) -> Result<(SnapshotMeta, usize), StorageError> {
    let mut reader = Reader::new(bytes, "a snapshot's description")?;
    let last_log_id = reader.log_id()?;
    let membership_id = reader.log_id()?;
    let membership = reader.membership()?;
    let used = bytes.len() - reader.rest.len();
    Ok((SnapshotMeta { last_log_id, last_membership: LoggedMembership::new(membership_id, membership) }, used))
}

/// The stored form of an entry; the payload of a command is shared, not copied.
pub(crate) fn stored_entry(entry: &LogEntry) -> StoredEntry {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (EntryKind::Blank, Bytes::new()),
        EntryPayload::Normal(command) => (EntryKind::Normal, command.0.clone()),
        EntryPayload::Membership(membership) => (EntryKind::Membership, encode_membership(membership)),
    };
    StoredEntry { term: term_of(&entry.log_id), kind, payload }
}

/// The entry at `index` in its stored form.
pub(crate) fn entry_of(index: u64, stored: StoredEntry) -> Result<LogEntry, StorageError> {
    let payload = match stored.kind {
        EntryKind::Blank => EntryPayload::Blank,
        EntryKind::Normal => EntryPayload::Normal(Command(stored.payload)),
        EntryKind::Membership => EntryPayload::Membership(decode_membership(&stored.payload)?),
    };
    Ok(LogEntry { log_id: log_id(stored.term, index), payload })
}

/// The value of a doubtful replica's mark.
pub(crate) fn encode_doubt(doubt: Doubt) -> Bytes {
    match doubt {
        Doubt::Lost => Bytes::from_static(&[VERSION]),
        Doubt::Unsynced => Bytes::from_static(&[VERSION, 1]),
    }
}

pub(crate) fn decode_doubt(value: &[u8]) -> Result<Doubt, StorageError> {
    match value {
        [VERSION, 1] => Ok(Doubt::Unsynced),
        [VERSION, ..] => Ok(Doubt::Lost),
        _ => Err(StorageError::Corrupt("the mark of a doubtful replica cannot be read".to_owned())),
    }
}

/// In which run of the machine something was.
pub(crate) fn encode_boot(boot: u128) -> Bytes {
    let mut out = BytesMut::with_capacity(17);
    out.put_u8(VERSION);
    out.put_u128(boot);
    out.freeze()
}

pub(crate) fn decode_boot(value: &[u8]) -> Result<u128, StorageError> {
    let boot = value.strip_prefix(&[VERSION]).and_then(|rest| <[u8; 16]>::try_from(rest).ok());
    boot.map(u128::from_be_bytes)
        .ok_or_else(|| StorageError::Corrupt("in which run of the machine a log was written cannot be read".to_owned()))
}

pub(crate) fn encode_forgotten(forgotten: Forgotten) -> Bytes {
    let mut out = BytesMut::with_capacity(10);
    out.put_u8(VERSION);
    let known = match forgotten {
        Forgotten::Unknown => None,
        Forgotten::Below(bound) => Some(bound),
    };
    out.put_u8(u8::from(known.is_some()));
    out.put_u64(known.map_or(0, |bound| bound.0));
    out.freeze()
}

pub(crate) fn decode_forgotten(bytes: &[u8]) -> Result<Forgotten, StorageError> {
    let mut reader = Reader::new(bytes, "what a node has forgotten")?;
    let (known, bound) = (reader.bool()?, reader.u64()?);
    reader.end()?;
    Ok(if known { Forgotten::Below(RaftGroupId(bound)) } else { Forgotten::Unknown })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn membership() -> impl Strategy<Value = GroupMembership> {
        let config = proptest::collection::btree_set(0u64..50, 1..5);
        (proptest::collection::vec(config, 1..3), proptest::collection::btree_map(0u64..50, 0u32..9, 0..6)).prop_map(
            |(configs, mut nodes): (Vec<BTreeSet<u64>>, BTreeMap<u64, u32>)| {
                for id in configs.iter().flatten() {
                    nodes.entry(*id).or_insert(7);
                }
                let nodes: BTreeMap<u64, Rank> = nodes.into_iter().map(|(id, rank)| (id, Rank(rank))).collect();
                GroupMembership::new(configs, nodes).unwrap()
            },
        )
    }

    fn id() -> impl Strategy<Value = Option<LogId>> {
        proptest::option::of((any::<u64>(), any::<u64>()).prop_map(|(term, index)| log_id(term, index)))
    }

    proptest! {
        #[test]
        fn everything_comes_back(term: u64, node: u64, committed: bool, id in id(), at in id(), members in membership()) {
            let vote = if committed { Vote::new_committed(term, node) } else { Vote::new(term, node) };
            prop_assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
            prop_assert_eq!(decode_log_id(&encode_log_id(id.as_ref())).unwrap(), id);
            prop_assert!(decode_membership(&encode_membership(&members)).unwrap() == members);
            let logged = LoggedMembership::new(at, members);
            prop_assert!(decode_logged_membership(&encode_logged_membership(&logged)).unwrap() == logged);
            let meta = SnapshotMeta { last_log_id: id, last_membership: logged };
            let mut bytes = encode_snapshot_meta(&meta).to_vec();
            let used = bytes.len();
            bytes.extend_from_slice(b"data");
            prop_assert_eq!(decode_snapshot_meta(&bytes).unwrap(), (meta, used));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_vote(&bytes);
            let _ = decode_log_id(&bytes);
            let _ = decode_membership(&bytes);
            let _ = decode_logged_membership(&bytes);
            let _ = decode_snapshot_meta(&bytes);
        }
    }

    #[test]
    fn layouts_are_golden() {
        let vote = Vote::new_committed(5, 3);
        assert_eq!(encode_vote(&vote)[..], [1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 1]);
        let id = encode_log_id(Some(&log_id(2, 258)));
        assert_eq!(id[..], [1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2]);
        let nodes = BTreeMap::from([(1, Rank(1)), (2, Rank(0))]);
        let members = GroupMembership::new(vec![BTreeSet::from([2])], nodes).unwrap();
        let want = [
            1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0,
            0, 0, 0,
        ];
        assert_eq!(encode_membership(&members)[..], want);
    }

    #[test]
    fn unknown_versions_and_trailing_bytes_are_refused() {
        let mut bytes = encode_vote(&Vote::new(1, 1)).to_vec();
        bytes.push(0);
        assert!(decode_vote(&bytes).is_err());
        bytes.pop();
        bytes[0] = 9;
        assert!(decode_vote(&bytes).is_err());
    }
}
