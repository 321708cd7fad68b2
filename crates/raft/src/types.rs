//! openraft's types as this crate uses them, and the way to and from the domain's own. Nothing of it is visible outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use caudal_types::NodeId;
use openraft::errors::MembershipError;
use openraft::impls::leader_id_std;
use openraft::vote::RaftLeaderId;
use openraft::{Entry, EntryPayload, Membership, StoredMembership};

use crate::Members;

/// A command of a state machine: opaque bytes, a slice of the frame or request in which it came.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Command(pub(crate) Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A state machine's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Reply(pub(crate) Bytes);

/// What openraft keeps with each member: its place in the list of members. openraft's own sets forget the order, and the first
/// voter is the preferred leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Rank(pub(crate) u32);

/// The bytes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SnapshotData(pub(crate) Bytes);

/// The one configuration of openraft for every Raft group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Command;
    type R = Reply;
    type NodeId = u64;
    type Node = Rank;
    type Term = u64;
    // One leader per term, so that a partition's leader epoch can be the term.
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = Vote;
    type Payload = EntryPayload<Command, u64, Rank>;
    type Entry = LogEntry;
    type AsyncRuntime = openraft::impls::TokioRuntime;
    type Responder<T>
        = crate::proposals::Outcome<T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type CommittedLeaderId = <leader_id_std::LeaderId<u64, u64> as RaftLeaderId>::Committed;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Vote = openraft::Vote<leader_id_std::LeaderId<u64, u64>>;
pub(crate) type LogEntry = Entry<CommittedLeaderId, EntryPayload<Command, u64, Rank>>;
pub(crate) type GroupMembership = Membership<u64, Rank>;
pub(crate) type LoggedMembership = StoredMembership<CommittedLeaderId, u64, Rank>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, Rank>;
pub(crate) type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, Rank, SnapshotData>;
pub(crate) type Metrics = openraft::RaftMetrics<TypeConfig>;
pub(crate) type RaftHandle = openraft::Raft<TypeConfig, crate::machine::MachineAdapter>;

/// The id of the entry at `index`, proposed in `term`.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::from(term), index)
}

/// The term in which an entry was proposed.
pub(crate) fn term_of(id: &LogId) -> u64 {
    id.leader_id.term
}

/// A node's id in openraft's width.
pub(crate) fn raft_id(node: NodeId) -> u64 {
    u64::from(node.0)
}

/// A node's id in ours. openraft only ever holds ids that came from [`raft_id`].
pub(crate) fn node_id(id: u64) -> NodeId {
    NodeId(u32::try_from(id).unwrap_or(u32::MAX))
}

/// The nodes of `members` with their places.
pub(crate) fn ranked(members: &Members) -> BTreeMap<u64, Rank> {
    let ids = members.voters.iter().chain(&members.learners);
    ids.zip(0..).map(|(node, rank)| (raft_id(*node), Rank(rank))).collect()
}

/// The first entry of a new group's log: its voters with their places. Learners join by a change of members.
pub(crate) fn first_entry(members: &Members) -> Result<LogEntry, MembershipError<u64>> {
    let voters = Members { voters: members.voters.clone(), learners: Vec::new() };
    let membership = GroupMembership::new(vec![voter_ids(&voters)], ranked(&voters))?;
    Ok(LogEntry { log_id: log_id(0, 0), payload: EntryPayload::Membership(membership) })
}

/// The ids of the voters.
pub(crate) fn voter_ids(members: &Members) -> BTreeSet<u64> {
    members.voters.iter().map(|node| raft_id(*node)).collect()
}

/// The members in their order.
pub(crate) fn members_of(membership: &GroupMembership) -> Members {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let mut nodes: Vec<(Rank, u64)> = membership.nodes().map(|(id, rank)| (*rank, *id)).collect();
    nodes.sort_by_key(|(rank, id)| (rank.0, *id));
    let (voting, learning): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|(_, id)| voters.contains(id));
    let ids = |nodes: Vec<(Rank, u64)>| nodes.into_iter().map(|(_, id)| node_id(id)).collect();
    Members { voters: ids(voting), learners: ids(learning) }
}

/// The bytes that an entry's command has; membership and blank entries count little.
pub(crate) fn payload_bytes(entry: &LogEntry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let members = Members { voters: vec![NodeId(3), NodeId(1), NodeId(2)], learners: vec![NodeId(9), NodeId(4)] };
        let membership = GroupMembership::new(vec![voter_ids(&members)], ranked(&members)).unwrap();
        assert_eq!(members_of(&membership), members);
    }
}
