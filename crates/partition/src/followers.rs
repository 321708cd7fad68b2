//! Reading from followers (KIP-392): whom the leader may name, and what a follower looks at before it answers.

use std::time::Duration;

use caudal_raft::Leadership;
use caudal_types::{LeaderEpoch, NodeId, Offset};
use tokio::time::timeout;

use crate::find::refusal;
use crate::{Partition, PartitionOffsets, ReadError, ReadRequest};

/// A follower that has not seen a majority of the replicas for this long sends its readers back to the leader, whoever that is now; one that knows of no
/// leader does so at once.
const CUT_OFF_AFTER: Duration = Duration::from_secs(3);

/// How long a leader may take to apply what its log holds. One that cannot reach a majority never does.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

impl Partition {
    /// Whether this node leads the partition, and serves.
    pub fn leads(&self) -> bool {
        self.leadership_now().serving
    }

    /// The followers that a reader at `offset` may be sent to, with the last place in the Raft log that each has: they are alive and in sync, and hold all
    /// that lies before `offset`. None when this node does not lead, or has no such offset itself.
    pub fn followers_at(&self, offset: Offset) -> Vec<(NodeId, u64)> {
        let PartitionOffsets { log_start, high_watermark, .. } = self.published.offsets();
        if !self.leads() || !(log_start..=high_watermark).contains(&offset) {
            return Vec::new();
        }
        let status = self.raft.status();
        let needed = self.published.view().tail.index_before(offset).unwrap_or(status.applied_index);
        let alive = |node| self.node.liveness.is_alive(node);
        let mut followers = self.in_sync.followers(self.node.node_id, &status, self.node.clock.now_ms(), alive);
        followers.retain(|(_, index)| *index >= needed);
        followers
    }

    /// The offsets that this replica shows, to a client that believes in `current_leader_epoch` (-1 when it does not say).
    ///
    /// # Errors
    /// When the client believes in another epoch (KIP-320).
    pub fn offsets_in(&self, current_leader_epoch: LeaderEpoch) -> Result<PartitionOffsets, ReadError> {
        self.check_epoch(current_leader_epoch)?;
        Ok(self.published.offsets())
    }

    /// Whether this node leads and serves. Refuses who must not read here.
    pub(crate) fn check_reader(&self, request: &ReadRequest) -> Result<bool, ReadError> {
        let Leadership { leader, serving, .. } = self.check_epoch(request.current_leader_epoch)?;
        if request.leader_only && !serving {
            return Err(ReadError::NotLeader { leader });
        }
        Ok(serving)
    }

    /// Waits until this replica has applied what its log holds now. A follower may apply what is committed before the leader does, and show it.
    pub(crate) async fn settle(&self) -> Result<(), ReadError> {
        match timeout(SETTLED_WITHIN, self.raft.caught_up()).await {
            Ok(settled) => settled.map_err(|_closed| ReadError::NotLeader { leader: None }),
            Err(_elapsed) => Err(ReadError::Unsettled),
        }
    }

    /// Checks that this replica would hear of it if there were more: who has read all that it has may be waiting for nothing.
    pub(crate) fn check_follows(&self) -> Result<(), ReadError> {
        if let Some(error) = self.raft.store_failure() {
            return Err(refusal(error));
        }
        // Who has a leader may be wrong about the others for a moment.
        let within = self.leadership_now().leader.map_or(Duration::ZERO, |_| CUT_OFF_AFTER);
        let seen = |node: &&NodeId| **node == self.node.node_id || self.node.liveness.was_alive_within(**node, within);
        let replicas = self.replicas();
        if replicas.iter().filter(seen).count() > replicas.len() / 2 { Ok(()) } else { Err(ReadError::CutOff) }
    }
}
