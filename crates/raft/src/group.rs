//! One Raft group on this node.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use caudal_storage::StorageError;
use caudal_types::{NodeId, RaftGroupId};
use tokio::sync::watch;

/// Who takes part in a Raft group. The first voter is the preferred leader.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Members {
    /// Nodes that vote and count for the majority.
    pub voters: Vec<NodeId>,
    /// Nodes that only follow.
    pub learners: Vec<NodeId>,
}

/// Who leads, as this node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// This node leads, and has applied everything that earlier leaders committed: it may serve.
    pub serving: bool,
}

/// A proposal's outcome.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// The state machine's reply.
    pub reply: Bytes,
}

/// Why a proposal has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead the Raft group. The proposal was not taken.
    #[error("this node does not lead the Raft group; the leader is {leader:?}")]
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// Leadership was lost, or the group stopped, before the outcome was known: the proposal may yet be committed.
    #[error("leadership was lost before the outcome was known")]
    Unknown,
    /// The store does not take writes. The proposal was not taken.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The Raft group was removed or the node is stopping. The proposal was not taken.
    #[error("the Raft group is stopped")]
    Stopped,
}

/// The outcome to come of an enqueued proposal.
pub type PendingProposal = Pin<Box<dyn Future<Output = Result<Applied, ProposeError>> + Send>>;

/// An entry read back from the log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The command; empty for Raft's own entries.
    pub payload: Bytes,
}

/// A Raft group's state, for metrics and status.
#[derive(Clone, Debug, Default)]
pub struct GroupStatus {
    /// The group's members.
    pub members: Members,
    /// Who leads.
    pub leadership: Leadership,
    /// The last index in the log.
    pub last_log_index: u64,
    /// The last index that is applied.
    pub applied_index: u64,
    /// On the leader: the last index known to be durable on each member.
    pub matched: Vec<(NodeId, u64)>,
    /// Why the replica stopped, when it did.
    pub failed: Option<String>,
}

/// A replica of a Raft group on this node. Shared as an `Arc`.
#[derive(Debug)]
pub struct RaftGroup {}

impl RaftGroup {
    /// Which one.
    pub fn id(&self) -> RaftGroupId {
        todo!()
    }

    /// Enqueues a command: returns when it has its place in the order (waiting while the queue is full, bounded by bytes); the outcome comes with
    /// the returned future. Commands of one caller are committed in the order of its calls. Commands that wait together travel together.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`], [`ProposeError::Storage`] or [`ProposeError::Stopped`]: nothing was enqueued.
    pub async fn enqueue(&self, _command: Bytes) -> Result<PendingProposal, ProposeError> {
        todo!()
    }

    /// Enqueues a command and waits for its outcome.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: Bytes) -> Result<Applied, ProposeError> {
        self.enqueue(command).await?.await
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        todo!()
    }

    /// The last applied index, as it grows.
    pub fn applied(&self) -> watch::Receiver<u64> {
        todo!()
    }

    /// Confirms with a majority that this node leads, and waits until everything committed before the call is applied
    /// (ReadIndex; rests on no lease).
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] when it does not lead.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        todo!()
    }

    /// Hands leadership to `to`, if this node leads.
    ///
    /// # Errors
    /// When this node does not lead or the group is stopped.
    pub async fn transfer_leadership(&self, _to: NodeId) -> Result<(), ProposeError> {
        todo!()
    }

    /// Changes the members.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn change_members(&self, _members: Members) -> Result<(), ProposeError> {
        todo!()
    }

    /// Takes the state machine's snapshot (see [`crate::StateMachine::snapshot`]) and purges the log up to its index, on this
    /// replica alone.
    ///
    /// # Errors
    /// When the snapshot fails or the group is stopped.
    pub async fn purge(&self) -> Result<(), ProposeError> {
        todo!()
    }

    /// Reads applied entries from `from` on: whole entries, stopping behind the one that brings the payloads to `max_bytes`, and before index `to`.
    /// From the cache only: `None` when part of it would need the disk.
    pub fn read_cached(&self, _from: u64, _to: u64, _max_bytes: usize) -> Option<Vec<LogEntry>> {
        todo!()
    }

    /// Like [`read_cached`](Self::read_cached), from cache or disk. Blocks; call it off the async threads.
    ///
    /// # Errors
    /// When the disk refuses, or an entry is damaged.
    pub fn read(&self, _from: u64, _to: u64, _max_bytes: usize) -> Result<Vec<LogEntry>, StorageError> {
        todo!()
    }

    /// The group's state.
    pub fn status(&self) -> GroupStatus {
        todo!()
    }
}
