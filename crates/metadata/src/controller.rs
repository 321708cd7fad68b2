//! Takes wishes, turns them into commands, proposes them. On a node that does not lead the metadata group, forwards them to the one that does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_raft::{RaftGroups, Transport};
use caudal_storage::Engine;
use caudal_types::{Clock, NodeId, ProducerId, TopicId};
use tokio::sync::watch;

use crate::{ClusterImage, LeaderTable, MetadataError};

/// What the controller needs to know.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// This node.
    pub node_id: NodeId,
    /// The nodes of the cluster, from the configuration. The first up to five (an odd number) are the metadata group's voters, the others learners.
    pub nodes: Vec<NodeId>,
    /// The cluster's id, fixed when the cluster is formed.
    pub cluster_id: String,
    /// How this node registers.
    pub registration: NodeRegistration,
    /// How many coordinator shards a new cluster gets.
    pub coordinator_shards: usize,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`; `None` is min(3, nodes).
    pub default_replication_factor: Option<i16>,
    /// Node-level values of topic settings by their broker-level names (`log.segment.bytes` ...).
    pub topic_defaults: BTreeMap<String, String>,
}

/// How a node shows itself to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRegistration {
    /// The host of the advertised listener.
    pub host: String,
    /// The port of the advertised listener.
    pub port: u16,
    /// The rack.
    pub rack: Option<String>,
}

/// A topic wished for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CreateTopic {
    /// The name.
    pub name: String,
    /// The number of partitions; -1 means the default.
    pub partitions: i32,
    /// The replication factor; -1 means the default.
    pub replication_factor: i16,
    /// Replicas by partition, when the client chooses them itself (then the two numbers above are -1).
    pub assignments: BTreeMap<i32, Vec<NodeId>>,
    /// Settings by topic-level name; `None` as value means the default.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic made (or, when only validated, as it would be made).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; nil when only validated.
    pub id: TopicId,
    /// The number of partitions.
    pub partitions: i32,
    /// The replication factor.
    pub replication_factor: i16,
    /// Its own settings.
    pub configs: BTreeMap<String, String>,
}

/// More partitions for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topic.
    pub topic: String,
    /// How many partitions it shall have in all.
    pub count: i32,
    /// Replicas of the new partitions, when the client chooses them.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// One change of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Gives the key a value.
    Set(String, String),
    /// Takes the topic's own value away.
    Delete(String),
    /// Adds items to a list.
    Append(String, String),
    /// Removes items from a list.
    Subtract(String, String),
}

/// Changes of a topic's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTopicConfigs {
    /// The topic.
    pub topic: String,
    /// Whether the changes replace all of the topic's own settings (AlterConfigs) or amend them (IncrementalAlterConfigs).
    pub replace: bool,
    /// The changes, in order.
    pub ops: Vec<ConfigOp>,
}

/// The controller; a cheap handle, present on every node.
#[derive(Clone, Debug)]
pub struct Controller {}

impl Controller {
    /// Opens this node's replica of the metadata group, forms the cluster if it is new, and keeps this node registered.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn start(
        _config: ControllerConfig,
        _groups: RaftGroups,
        _transport: Transport,
        _engine: Arc<dyn Engine>,
        _clock: Arc<dyn Clock>,
    ) -> Result<Self, caudal_storage::StorageError> {
        todo!()
    }

    /// The truth now, as this node knows it.
    pub fn image(&self) -> Arc<ClusterImage> {
        todo!()
    }

    /// The truth, as it changes.
    pub fn images(&self) -> watch::Receiver<Arc<ClusterImage>> {
        todo!()
    }

    /// Who leads what.
    pub fn leaders(&self) -> &LeaderTable {
        todo!()
    }

    /// The node that leads the metadata group: Kafka's controller.
    pub fn controller_id(&self) -> Option<NodeId> {
        todo!()
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &ControllerConfig {
        todo!()
    }

    /// Creates topics, each for itself; answers when this node has them in its image and every new partition has a leader, or `within` has passed
    /// (then the topic exists, and the answer is [`MetadataError::TimedOut`]).
    pub async fn create_topics(
        &self,
        _topics: Vec<CreateTopic>,
        _validate_only: bool,
        _within: Duration,
    ) -> Vec<Result<CreatedTopic, MetadataError>> {
        todo!()
    }

    /// Deletes topics by id, each for itself; answers when this node's image is without them.
    pub async fn delete_topics(&self, _topics: Vec<TopicId>, _within: Duration) -> Vec<Result<(), MetadataError>> {
        todo!()
    }

    /// Adds partitions, each topic for itself; answers when they have leaders.
    pub async fn create_partitions(
        &self,
        _topics: Vec<CreatePartitions>,
        _validate_only: bool,
        _within: Duration,
    ) -> Vec<Result<(), MetadataError>> {
        todo!()
    }

    /// Changes topics' settings, each topic for itself; answers when this node's image has them.
    pub async fn alter_topic_configs(
        &self,
        _changes: Vec<AlterTopicConfigs>,
        _validate_only: bool,
        _within: Duration,
    ) -> Vec<Result<(), MetadataError>> {
        todo!()
    }

    /// A producer id that no one else has or will get (blocks of ids come from the metadata group).
    ///
    /// # Errors
    /// When no controller can be reached.
    pub async fn next_producer_id(&self) -> Result<ProducerId, MetadataError> {
        todo!()
    }

    /// Stops the background tasks.
    pub async fn shutdown(&self) {
        todo!()
    }
}
