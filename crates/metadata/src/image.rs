//! The cluster's truth as everyone reads it: immutable, swapped whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_types::{NodeId, RaftGroupId, TopicId};

use crate::quotas::ClientQuotas;
use crate::resources::{Configs, Resources};

/// A Raft group and where its replicas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftGroupImage {
    /// Which one.
    pub group: RaftGroupId,
    /// The nodes that hold it; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
}

/// A node that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeImage {
    /// Which node.
    pub id: NodeId,
    /// Where clients reach it: the host of its advertised listener.
    pub host: String,
    /// Where clients reach it: the port of its advertised listener.
    pub port: u16,
    /// Its rack, if it has one (`broker.rack`).
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Its own settings, by Kafka's topic-level names; what is absent has its default.
    pub configs: BTreeMap<String, String>,
    /// Its partitions, in order of their numbers.
    pub partitions: Vec<RaftGroupImage>,
}

/// The cluster's truth at one moment.
#[derive(Clone, Debug, Default)]
pub struct ClusterImage {
    /// The index of the last metadata command in it.
    pub version: u64,
    /// The cluster's id.
    pub cluster_id: String,
    /// The registered nodes.
    pub nodes: BTreeMap<NodeId, Arc<NodeImage>>,
    /// All topics, by name.
    pub topics: BTreeMap<Arc<str>, Arc<TopicImage>>,
    /// The names of topics, by id.
    pub topic_names: BTreeMap<TopicId, Arc<str>>,
    /// The own settings of consumer groups, by group; what is absent has its default.
    pub group_configs: BTreeMap<Arc<str>, BTreeMap<String, String>>,
    /// The own settings of nodes and of subscriptions to clients' metrics.
    pub resources: Resources,
    /// What clients may use.
    pub client_quotas: Arc<ClientQuotas>,
    /// The coordinator shards, in order of their numbers; fixed when the cluster is formed.
    pub coordinator_shards: Vec<RaftGroupImage>,
}

impl ClusterImage {
    /// Whether the cluster has been formed: it has its id and its coordinator shards.
    pub fn is_formed(&self) -> bool {
        !self.coordinator_shards.is_empty()
    }

    /// Every Raft group in it: the coordinator shards, then the partitions of all topics.
    pub fn groups(&self) -> impl Iterator<Item = &RaftGroupImage> {
        self.coordinator_shards.iter().chain(self.topics.values().flat_map(|topic| &topic.partitions))
    }

    /// Above every Raft group in it. A group that is allotted later is not below.
    pub fn groups_end(&self) -> RaftGroupId {
        self.groups().map(|image| image.group).max().map_or(RaftGroupId(1), |last| RaftGroupId(last.0 + 1))
    }

    /// The subscriptions to clients' metrics (KIP-714), by name, with their own settings; what is absent has its default, see
    /// [`CLIENT_METRICS_CONFIG_DEFS`](crate::config_defs::CLIENT_METRICS_CONFIG_DEFS).
    pub fn client_metrics(&self) -> &BTreeMap<String, BTreeMap<String, String>> {
        &self.resources.client_metrics
    }

    /// The node-level values of topic settings on a node, by their node-level names: what was set for the node while it runs, over what was set for all,
    /// over what it was `configured` with.
    pub fn topic_defaults<'a>(&self, node: NodeId, configured: &'a Configs) -> Cow<'a, Configs> {
        let (all, own) = (&self.resources.all_nodes, self.resources.nodes.get(&node));
        if all.is_empty() && own.is_none() {
            return Cow::Borrowed(configured);
        }
        let mut values = configured.clone();
        values.extend(all.iter().chain(own.into_iter().flatten()).map(|(name, value)| (name.clone(), value.clone())));
        Cow::Owned(values)
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topic_names.get(&id).and_then(|name| self.topics.get(name))
    }
}
