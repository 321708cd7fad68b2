//! The Kafka API on the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use caudal_coordinator::Coordinator;
use caudal_metadata::Controller;
use caudal_partition::Partitions;
use caudal_raft::{RaftGroups, Transport};
use caudal_types::{Clock, NodeId};

/// What the broker needs to know. Names and defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// This node.
    pub node_id: NodeId,
    /// Where to listen for clients, host and port.
    pub listen: String,
    /// `max.connections`.
    pub max_connections: usize,
    /// `socket.request.max.bytes`.
    pub request_max_bytes: usize,
    /// The most bytes of requests being served at once over all connections (`queued.max.request.bytes`).
    pub request_memory_bytes: usize,
    /// `connections.max.idle.ms`.
    pub idle_timeout: Duration,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_sessions_max: usize,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
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

/// Counters of one API.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiStats {
    /// Kafka's name of the API.
    pub name: &'static str,
    /// Requests answered.
    pub requests: u64,
    /// Requests answered with an error code at the top level or in any part.
    pub errors: u64,
    /// Time from a request's arrival to its answer, summed, in seconds.
    pub seconds: f64,
}

/// Counters of the listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerStats {
    /// By API.
    pub apis: Vec<ApiStats>,
    /// Connections open now.
    pub connections: u64,
    /// Connections refused since the start: more than `max.connections`.
    pub connections_refused: u64,
    /// Bytes received since the start.
    pub bytes_in: u64,
    /// Bytes sent since the start.
    pub bytes_out: u64,
    /// By topic: (name, bytes produced, bytes fetched) since the start.
    pub topics: Vec<(String, u64, u64)>,
}

/// The listener with its connections; a cheap handle.
#[derive(Clone, Debug)]
pub struct Broker {}

impl Broker {
    /// Listens for clients.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(_config: BrokerConfig, _parts: BrokerParts) -> std::io::Result<Self> {
        todo!()
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Counters for metrics.
    pub fn stats(&self) -> BrokerStats {
        todo!()
    }

    /// Takes no more connections and requests, answers what is under way (at most `within`), and closes.
    pub async fn shutdown(&self, _within: Duration) {
        todo!()
    }
}
