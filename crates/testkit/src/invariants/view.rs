//! A node at one moment.

use std::sync::Arc;

use caudal_partition::{Partition, PartitionOffsets};
use caudal_raft::{Leadership, RaftGroup};
use caudal_storage::Engine;
use caudal_types::{NodeId, RaftGroupId};

use crate::node::Running;
use crate::workload::TOPIC;

/// What a node shows.
#[derive(Debug)]
pub struct View {
    /// Which node.
    pub node: NodeId,
    /// Which of its starts.
    pub start: u64,
    /// Its store.
    pub engine: Arc<dyn Engine>,
    /// Its Raft groups.
    pub groups: Vec<Group>,
    /// Its replicas of the workload's partitions.
    pub replicas: Vec<Replica>,
    /// All its replicas of partitions.
    pub partitions: Vec<Arc<Partition>>,
}

/// A Raft group on a node.
#[derive(Debug)]
pub struct Group {
    /// The group.
    pub raft: Arc<RaftGroup>,
    /// Who leads, as this node knows it.
    pub leadership: Leadership,
    /// What it has applied.
    pub applied: u64,
}

/// A replica of a partition of the workload's topic.
#[derive(Debug)]
pub struct Replica {
    /// Which partition.
    pub number: i32,
    /// Its Raft group.
    pub group: RaftGroupId,
    /// The replica.
    pub partition: Arc<Partition>,
    /// Its offsets.
    pub offsets: PartitionOffsets,
    /// Who leads, as this node knows it.
    pub leadership: Leadership,
}

impl View {
    /// Looks at a node.
    pub fn new(node: NodeId, running: &Running) -> Self {
        let group = |raft: Arc<RaftGroup>| {
            let (leadership, applied) = (*raft.leadership().borrow(), *raft.applied().borrow());
            Group { raft, leadership, applied }
        };
        let replica = |partition: Arc<Partition>| Replica {
            number: partition.name().partition,
            group: partition.group(),
            offsets: *partition.offsets().borrow(),
            leadership: *partition.leadership().borrow(),
            partition,
        };
        let all = running.parts.partitions.all();
        let mut replicas: Vec<_> =
            all.iter().filter(|partition| &*partition.name().topic == TOPIC).cloned().map(replica).collect();
        replicas.sort_by_key(|replica| replica.number);
        Self {
            node,
            start: running.start,
            engine: Arc::clone(&running.engine),
            groups: running.parts.groups.all().into_iter().map(group).collect(),
            replicas,
            partitions: all,
        }
    }
}
