//! What the broker is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use caudal_coordinator::Coordinator;
use caudal_metadata::Controller;
use caudal_metadata::config_defs::ConfigType;
use caudal_metadata::quotas::QuotaWindows;
use caudal_partition::Partitions;
use caudal_raft::{RaftGroups, Transport};
use caudal_types::{Clock, Network, NodeId};

use crate::log_levels::LogLevels;

/// What the broker needs to know. Names and defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// This node.
    pub node_id: NodeId,
    /// Where to listen for clients, host and port.
    pub listen: String,
    /// The data directory, absolute (`log.dirs`).
    pub folder: PathBuf,
    /// `max.connections`.
    pub max_connections: usize,
    /// `socket.request.max.bytes`.
    pub request_max_bytes: usize,
    /// The most bytes of requests being served at once over all connections (`queued.max.request.bytes`).
    pub request_memory_bytes: usize,
    /// The most bytes of records in answers to Fetch that are not written yet (`queued.max.response.bytes`).
    pub fetch_memory_bytes: usize,
    /// `connections.max.idle.ms`.
    pub idle_timeout: Duration,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_sessions_max: usize,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// Over how long the use of what quotas limit is measured (`quota.window.num`, `quota.window.size.seconds`).
    pub quota_windows: QuotaWindows,
    /// How many connections may come from where.
    pub connections: ConnectionLimits,
    /// The most bytes of metrics that a client may push at once (`telemetry.max.bytes`, KIP-714).
    pub telemetry_max_bytes: usize,
    /// `replica.selector.class`.
    pub replica_selector: Option<ReplicaSelector>,
    /// What clients that ask for the node's own settings are shown.
    pub shown: Arc<[NodeSetting]>,
    /// The levels of the node's log lines.
    pub log_levels: LogLevels,
    /// The network.
    pub network: Network,
}

/// How many connections may come from where. What is `None` is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `max.connections.per.ip`: open at once from one address.
    pub per_ip: Option<usize>,
    /// `max.connections.per.ip.overrides`: the same for some, by address or name.
    pub per_ip_overrides: Vec<(String, usize)>,
    /// `max.connection.creation.rate`: new ones a second, from anywhere.
    pub creation_rate: Option<u32>,
}

/// How a leader finds the replica that a consumer should read from (KIP-392).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaSelector {
    /// One in the consumer's rack.
    RackAware,
}

impl ReplicaSelector {
    /// Kafka's class that does the same.
    const RACK_AWARE: &'static str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

    /// The selector that a class of Kafka stands for.
    pub fn of_class(name: &str) -> Option<Self> {
        (name == Self::RACK_AWARE).then_some(Self::RackAware)
    }
}

/// One of the node's own settings, as clients are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSetting {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// What it is for.
    pub documentation: &'static str,
    /// What the node was given.
    pub given: Option<String>,
    /// What it has when it is given nothing.
    pub default: Option<String>,
    /// It is shown only where it was set.
    pub internal: bool,
}

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct BrokerParts {
    /// The cluster's truth and its wishes.
    pub controller: Controller,
    /// The partitions on this node.
    pub partitions: Partitions,
    /// Consumer groups.
    pub coordinator: Coordinator,
    /// The Raft groups, for status.
    pub groups: RaftGroups,
    /// The other nodes.
    pub transport: Transport,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
