//! The partitions on this node, kept as the cluster image says.

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_metadata::Controller;
use caudal_raft::RaftGroups;
use caudal_storage::Engine;
use caudal_types::{Clock, NodeId, TopicId};

use crate::Partition;

/// What the partitions need to know.
#[derive(Clone, Debug)]
pub struct PartitionsConfig {
    /// This node.
    pub node_id: NodeId,
    /// Node-level values of topic settings by their broker-level names (`log.segment.bytes` ...).
    pub topic_defaults: BTreeMap<String, String>,
    /// How long an idle idempotent producer is remembered, in milliseconds (`producer.id.expiration.ms`).
    pub producer_expiration_ms: i64,
}

/// The partitions on this node; a cheap handle.
#[derive(Clone, Debug)]
pub struct Partitions {}

impl Partitions {
    /// Starts the reconciler, which opens, changes and removes local replicas as the cluster image says. Many are opened side by side.
    pub fn start(
        _config: PartitionsConfig,
        _controller: Controller,
        _groups: RaftGroups,
        _engine: Arc<dyn Engine>,
        _clock: Arc<dyn Clock>,
    ) -> Self {
        todo!()
    }

    /// A local replica by topic id.
    pub fn get(&self, _topic: TopicId, _partition: i32) -> Option<Arc<Partition>> {
        todo!()
    }

    /// A local replica by topic name.
    pub fn get_by_name(&self, _topic: &str, _partition: i32) -> Option<Arc<Partition>> {
        todo!()
    }

    /// All local replicas.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        todo!()
    }

    /// Stops the reconciler.
    pub async fn shutdown(&self) {
        todo!()
    }
}
