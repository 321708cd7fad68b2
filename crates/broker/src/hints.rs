//! Where clients find the leaders that they missed, told in the answer that turns them away (KIP-951).

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_metadata::NodeImage;
use caudal_types::{LeaderEpoch, NodeId, RaftGroupId};

use crate::cluster::Cluster;

/// The leaders that an answer names, with their endpoints.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    endpoints: BTreeMap<NodeId, Arc<NodeImage>>,
}

impl Hints {
    /// A partition's leader and its epoch, as the wire wants them; -1 where unknown.
    pub(crate) fn leader_of(&mut self, cluster: &Cluster, group: RaftGroupId) -> (i32, LeaderEpoch) {
        let image = cluster.image();
        let Some(leader) = cluster.leader(&image, group) else { return (-1, -1) };
        if let Some(node) = image.nodes.get(&leader.node) {
            self.endpoints.insert(leader.node, Arc::clone(node));
        }
        (leader.node.as_kafka(), leader.epoch)
    }

    /// The nodes named.
    pub(crate) fn into_endpoints(self) -> Vec<Arc<NodeImage>> {
        self.endpoints.into_values().collect()
    }
}
