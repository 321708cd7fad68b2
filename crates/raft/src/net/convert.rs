//! openraft's words in the wire's, and back.

use bytes::Bytes;
use caudal_storage::StorageError;
use caudal_storage::keys::log::{EntryKind, StoredEntry};
use openraft::raft::AppendEntriesRequest;

use crate::codec;
use crate::types::{LogEntry, LogId, TypeConfig, Vote, log_id, term_of};
use crate::wire::{Append, EntryHead, WireLogId, WireVote};

pub(crate) fn vote_out(vote: &Vote) -> WireVote {
    WireVote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

pub(crate) fn vote_in(vote: WireVote) -> Vote {
    if vote.committed { Vote::new_committed(vote.term, vote.node) } else { Vote::new(vote.term, vote.node) }
}

pub(crate) fn id_out(id: Option<LogId>) -> Option<WireLogId> {
    id.map(|id| WireLogId { term: term_of(&id), index: id.index })
}

pub(crate) fn id_in(id: Option<WireLogId>) -> Option<LogId> {
    id.map(|id| log_id(id.term, id.index))
}

/// The header and the payloads of an append.
pub(crate) fn append_out(group: u64, request: &AppendEntriesRequest<TypeConfig>) -> (Append, Vec<Bytes>) {
    let mut payloads = Vec::with_capacity(request.entries.len());
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in &request.entries {
        let stored = codec::stored_entry(entry);
        let bytes = u32::try_from(stored.payload.len()).unwrap_or(u32::MAX);
        entries.push(EntryHead { term: stored.term, kind: stored.kind as u8, bytes });
        payloads.push(stored.payload);
    }
    let (prev, commit) = (id_out(request.prev_log_id), id_out(request.leader_commit));
    (Append { group, vote: vote_out(&request.vote), prev, commit, entries, sync_within_ms: 0 }, payloads)
}

/// The append in a header and a payload; entries are slices of the payload.
pub(crate) fn append_in(append: Append, mut payload: Bytes) -> Result<AppendEntriesRequest<TypeConfig>, StorageError> {
    let first = append.prev.map_or(0, |prev| prev.index.saturating_add(1));
    let mut entries = Vec::with_capacity(append.entries.len());
    for (head, index) in append.entries.into_iter().zip(first..) {
        entries.push(entry_in(head, index, &mut payload)?);
    }
    if !payload.is_empty() {
        return Err(StorageError::Corrupt(format!("an append has {} bytes too many", payload.len())));
    }
    let (prev_log_id, leader_commit) = (id_in(append.prev), id_in(append.commit));
    Ok(AppendEntriesRequest { vote: vote_in(append.vote), prev_log_id, leader_commit, entries })
}

fn entry_in(head: EntryHead, index: u64, payload: &mut Bytes) -> Result<LogEntry, StorageError> {
    let kinds = [EntryKind::Blank, EntryKind::Normal, EntryKind::Membership];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == head.kind);
    let kind = kind.ok_or_else(|| StorageError::Corrupt(format!("an append has an entry of kind {}", head.kind)))?;
    let bytes = usize::try_from(head.bytes).unwrap_or(usize::MAX);
    if bytes > payload.len() {
        return Err(StorageError::Corrupt("an append ends too early".to_owned()));
    }
    codec::entry_of(index, StoredEntry { term: head.term, kind, payload: payload.split_to(bytes) })
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::Members;
    use crate::types::{Command, GroupMembership, ranked, voter_ids};

    #[test]
    fn an_append_comes_back() {
        let members = Members { voters: vec![caudal_types::NodeId(2), caudal_types::NodeId(1)], learners: vec![] };
        let membership = GroupMembership::new(vec![voter_ids(&members)], ranked(&members)).unwrap();
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Command(Bytes::from_static(b"one"))),
            EntryPayload::Membership(membership),
            EntryPayload::Normal(Command(Bytes::new())),
        ];
        let entries =
            payloads.into_iter().zip(8..).map(|(payload, index)| LogEntry { log_id: log_id(3, index), payload });
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(3, 1),
            prev_log_id: Some(log_id(2, 7)),
            entries: entries.collect(),
            leader_commit: Some(log_id(2, 5)),
        };
        let (append, payload) = append_out(4, &request);
        assert_eq!(append.group, 4);
        let got = append_in(append.clone(), Bytes::from(payload.concat())).unwrap();
        assert_eq!(got.entries, request.entries);
        assert_eq!(
            (got.vote, got.prev_log_id, got.leader_commit),
            (request.vote, request.prev_log_id, request.leader_commit)
        );
        assert!(append_in(append.clone(), Bytes::new()).is_err(), "too few bytes");
        let mut long = payload.concat();
        long.push(0);
        assert!(append_in(append, Bytes::from(long)).is_err(), "too many bytes");
    }
}
