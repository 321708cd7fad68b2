//! Who leads which Raft group. Each node announces the leaderships that it wins and loses to all nodes at once; the controller is not
//! involved, and may be down.

use caudal_types::{LeaderEpoch, NodeId, RaftGroupId};
use tokio::sync::watch;

/// The leader of a Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Which node.
    pub node: NodeId,
    /// Since which epoch.
    pub epoch: LeaderEpoch,
}

/// The leaders of all Raft groups, as this node knows them; a cheap handle.
#[derive(Clone, Debug)]
pub struct LeaderTable {}

impl LeaderTable {
    /// The leader of a group, if one is known and its node is alive.
    pub fn leader(&self, _group: RaftGroupId) -> Option<Leader> {
        todo!()
    }

    /// The newest epoch heard of, whether or not its leader still lives.
    pub fn epoch(&self, _group: RaftGroupId) -> Option<LeaderEpoch> {
        todo!()
    }

    /// A counter that grows with each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }
}
