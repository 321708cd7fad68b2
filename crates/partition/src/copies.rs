//! `min.insync.replicas` where it asks for more replicas than the majority that commits anyway.

use std::sync::Arc;

use caudal_raft::{NodeLiveness, RaftGroup};
use caudal_types::{NodeId, TimestampMs};

use crate::append::refusal;
use crate::{AppendError, Partition};

/// What an acknowledgement promises. Whatever it is, the batch is committed by then: a majority of the replicas has it on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// No more than that (acks=0, acks=1).
    Majority,
    /// As many replicas have it as `min.insync.replicas` says (acks=all).
    InSync,
}

/// Waits for more copies than a majority.
#[derive(Debug)]
pub(crate) struct Copies {
    needed: usize,
    replicas: Vec<NodeId>,
    raft: Arc<RaftGroup>,
    liveness: NodeLiveness,
}

impl Partition {
    /// How many replicas must have a batch, if they are more than the majority. As in Kafka, no more are asked for than there are.
    pub(crate) fn copies_for(&self, acks: Acks) -> Option<usize> {
        let replicas = self.replica_count();
        let needed = self.config.load().topic.min_insync_replicas.min(replicas);
        (acks == Acks::InSync && needed > replicas / 2 + 1).then_some(needed)
    }

    /// Checks that there are so many replicas before anything is written.
    pub(crate) fn check_in_sync(&self, copies: Option<usize>, now: TimestampMs) -> Result<(), AppendError> {
        let Some(needed) = copies else { return Ok(()) };
        let alive = |node| self.node.liveness.is_alive(node);
        let live = self.in_sync.count(self.node.node_id, &self.raft.status(), now, alive);
        if live < needed { Err(AppendError::NotEnoughReplicas { live, needed }) } else { Ok(()) }
    }

    pub(crate) fn await_copies(&self, needed: usize) -> Copies {
        let (raft, liveness) = (Arc::clone(&self.raft), self.node.liveness.clone());
        Copies { needed, replicas: self.replicas(), raft, liveness }
    }
}

impl Copies {
    /// Waits until as many replicas as needed have the entry at `index`.
    ///
    /// # Errors
    /// When not as many are alive any more: the batch stays, and may yet get its copies.
    pub(crate) async fn of(self, index: u64) -> Result<(), AppendError> {
        let mut nodes = self.liveness.watch();
        let copied = self.raft.await_copies(index, self.needed);
        tokio::pin!(copied);
        loop {
            let live = self.replicas.iter().filter(|node| self.liveness.is_alive(**node)).count();
            tokio::select! {
                biased;
                copied = &mut copied => return copied.map_err(refusal),
                changed = nodes.changed(), if live >= self.needed => changed.map_err(|_| AppendError::Unknown)?,
                () = std::future::ready(()), if live < self.needed => {
                    return Err(AppendError::NotEnoughReplicasAfterAppend { live, needed: self.needed });
                }
            }
        }
    }
}
