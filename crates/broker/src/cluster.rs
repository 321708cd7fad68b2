//! The cluster as answers show it: endpoints, leaders, replicas.

use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::{ClusterImage, Controller, Leader, NodeImage, RaftGroupImage, TopicImage};
use caudal_partition::{Partition, Partitions};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::BrokerId;
use caudal_raft::{NodeLiveness, Transport};
use caudal_types::{LeaderEpoch, NodeId, RaftGroupId, TopicId};

/// How long clients are told of a node that is not alive any more: as long as Kafka takes to fence a broker (`broker.session.timeout.ms`).
const LISTED_FOR: Duration = Duration::from_secs(9);

/// Reads the cluster's truth for handlers; a cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    controller: Controller,
    liveness: NodeLiveness,
    transport: Transport,
}

/// Where a partition is, for handlers that serve records.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// On this node.
    Here(Arc<TopicImage>, Arc<Partition>),
    /// On other nodes, or not opened here yet: the client must go to the leader of the Raft group.
    Elsewhere(RaftGroupId),
    /// Nowhere.
    Nowhere(ErrorCode),
}

/// A partition's state as Metadata and DescribeTopicPartitions show it.
#[derive(Clone, Debug)]
pub(crate) struct PartitionState {
    pub(crate) error: ErrorCode,
    pub(crate) leader: BrokerId,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) replicas: Vec<BrokerId>,
    pub(crate) in_sync: Vec<BrokerId>,
    pub(crate) offline: Vec<BrokerId>,
}

impl Cluster {
    pub(crate) fn new(controller: Controller, transport: Transport) -> Self {
        Self { controller, liveness: transport.liveness(), transport }
    }

    pub(crate) fn image(&self) -> Arc<ClusterImage> {
        self.controller.image()
    }

    pub(crate) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The registered nodes that are alive.
    pub(crate) fn live_nodes<'a>(&self, image: &'a ClusterImage) -> impl Iterator<Item = &'a Arc<NodeImage>> {
        image.nodes.values().filter(|node| self.liveness.is_alive(node.id))
    }

    /// The registered nodes that clients are told of: those that are alive or were so a moment ago. librdkafka forgets the new leaders of a node's
    /// partitions when the answer that names them leaves the node out; by the time that the node is left out, the client has moved away from it.
    pub(crate) fn listed_nodes<'a>(&self, image: &'a ClusterImage) -> impl Iterator<Item = &'a Arc<NodeImage>> {
        image.nodes.values().filter(|node| self.liveness.was_alive_within(node.id, LISTED_FOR))
    }

    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        self.liveness.is_alive(node)
    }

    /// A registered node that is alive.
    pub(crate) fn live_node(&self, image: &ClusterImage, node: NodeId) -> Option<Arc<NodeImage>> {
        image.nodes.get(&node).filter(|node| self.liveness.is_alive(node.id)).cloned()
    }

    /// The node that clients are told is the controller: any live node would do, since each forwards; -1 if there is none.
    pub(crate) fn controller_id(&self, image: &ClusterImage) -> BrokerId {
        let led_by = self.controller.controller_id().filter(|node| self.live_node(image, *node).is_some());
        let node = led_by.or_else(|| self.live_nodes(image).next().map(|node| node.id));
        BrokerId(node.map_or(-1, NodeId::as_kafka))
    }

    /// A Raft group's leader, if it is known and clients can reach it.
    pub(crate) fn leader(&self, image: &ClusterImage, group: RaftGroupId) -> Option<Leader> {
        self.controller.leaders().leader(group).filter(|leader| image.nodes.contains_key(&leader.node))
    }

    pub(crate) fn partition_state(&self, image: &ClusterImage, group: &RaftGroupImage) -> PartitionState {
        let leader = self.leader(image, group.group);
        let epoch = leader.map(|leader| leader.epoch).or_else(|| self.controller.leaders().epoch(group.group));
        // The leader's node is counted as alive whatever this node thinks of it.
        let in_sync = |node: &NodeId| self.is_alive(*node) || leader.is_some_and(|leader| leader.node == *node);
        let (live, dead): (Vec<NodeId>, Vec<NodeId>) = group.replicas.iter().partition(|node| in_sync(node));
        PartitionState {
            error: if leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            leader: BrokerId(leader.map_or(-1, |leader| leader.node.as_kafka())),
            leader_epoch: epoch.unwrap_or(-1),
            replicas: broker_ids(&group.replicas),
            in_sync: broker_ids(&live),
            offline: broker_ids(&dead),
        }
    }
}

/// Waiting for what is under way.
impl Cluster {
    /// Makes sure that the nodes that count as alive still are, at most `within`.
    pub(crate) async fn confirm_alive(&self, within: Duration) {
        let image = self.image();
        self.transport.probe(self.live_nodes(&image).map(|node| node.id), within).await;
    }

    /// Waits until this node knows the topics and all their leaders, at most `within`.
    pub(crate) async fn await_topics(&self, names: &[String], within: Duration) {
        if names.is_empty() {
            return;
        }
        let (mut images, mut leaders) = (self.controller.images(), self.controller.leaders().changes());
        let arrived = async {
            while !self.are_led(names) {
                let closed = tokio::select! {
                    changed = images.changed() => changed.is_err(),
                    changed = leaders.changed() => changed.is_err(),
                };
                if closed {
                    return;
                }
            }
        };
        // Those that have not arrived by then are answered as they are.
        let _elapsed = tokio::time::timeout(within, arrived).await;
    }

    fn are_led(&self, names: &[String]) -> bool {
        let image = self.image();
        let is_led = |topic: &Arc<TopicImage>| topic.partitions.iter().all(|p| self.leader(&image, p.group).is_some());
        names.iter().all(|name| image.topic(name).is_some_and(is_led))
    }
}

fn broker_ids(nodes: &[NodeId]) -> Vec<BrokerId> {
    nodes.iter().map(|node| BrokerId(node.as_kafka())).collect()
}

/// How a request names a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicRef {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(TopicId),
}

impl TopicRef {
    /// The topic, in requests whose newer versions name it by id.
    pub(crate) fn new(by_id: bool, name: &str, id: uuid::Uuid) -> Self {
        if by_id { Self::Id(TopicId(id)) } else { Self::Name(name.into()) }
    }

    pub(crate) fn find<'a>(&self, image: &'a ClusterImage) -> Result<&'a Arc<TopicImage>, ErrorCode> {
        match self {
            Self::Name(name) => image.topic(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            Self::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
        }
    }

    /// Where a partition of the topic is.
    pub(crate) fn locate(&self, image: &ClusterImage, partitions: &Partitions, partition: i32) -> Place {
        let topic = match self.find(image) {
            Ok(topic) => topic,
            Err(code) => return Place::Nowhere(code),
        };
        let Some(group) = partition_of(topic, partition) else {
            return Place::Nowhere(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        };
        match partitions.get(topic.id, partition) {
            Some(found) => Place::Here(Arc::clone(topic), found),
            None => Place::Elsewhere(group.group),
        }
    }
}

/// The Raft group of a partition, if the topic has that many.
pub(crate) fn partition_of(topic: &TopicImage, partition: i32) -> Option<&RaftGroupImage> {
    usize::try_from(partition).ok().and_then(|index| topic.partitions.get(index))
}
