//! What is wished for, and what comes of it.

use std::collections::BTreeMap;

use caudal_types::{NodeId, TopicId};

use crate::quotas::{QuotaValue, QuotaWindows};

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
    /// Over how long changes of the cluster are measured (`controller.quota.window.num`, `controller.quota.window.size.seconds`).
    pub mutation_windows: QuotaWindows,
}

impl ControllerConfig {
    /// The cluster's nodes, sorted, each once, this node among them.
    pub(crate) fn all_nodes(&self) -> Vec<NodeId> {
        let mut nodes = self.nodes.clone();
        nodes.push(self.node_id);
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The replication factor of topics that ask for none.
    pub fn replication_factor(&self) -> i16 {
        let nodes = i16::try_from(self.all_nodes().len()).unwrap_or(i16::MAX);
        self.default_replication_factor.unwrap_or(nodes.min(3))
    }
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
    /// Settings by topic-level name. A missing value is refused, as by Kafka; whoever wants the default leaves the key out.
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
    /// Adds items to a list. A topic without a value of its own starts from the default.
    Append(String, String),
    /// Removes items from a list. A topic without a value of its own starts from the default.
    Subtract(String, String),
}

impl ConfigOp {
    /// The key that is changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Delete(key) | Self::Append(key, _) | Self::Subtract(key, _) => key,
        }
    }
}

/// Changes of a topic's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTopicConfigs {
    /// The topic.
    pub topic: String,
    /// Whether the changes replace all of the topic's own settings (AlterConfigs) or amend them (IncrementalAlterConfigs).
    pub replace: bool,
    /// The changes, in order; each key once.
    pub ops: Vec<ConfigOp>,
}

/// Changes of one consumer group's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterGroupConfigs {
    /// The group.
    pub group: String,
    /// Whether the changes replace all of the group's own settings or amend them.
    pub replace: bool,
    /// The changes, in order; each key once.
    pub ops: Vec<ConfigOp>,
}

/// Changes of one entity's quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterClientQuotas {
    /// The entity by its parts: types with names; without a name it is the default of the type.
    pub entity: Vec<(String, Option<String>)>,
    /// The changes: quotas by Kafka's names with their new values, or without one to take them away.
    pub ops: Vec<(String, Option<QuotaValue>)>,
}
