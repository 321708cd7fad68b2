//! Three nodes without Kafka listeners, in the test's process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_coordinator::{Coordinator, CoordinatorConfig, CoordinatorParts, GroupError};
use caudal_metadata::quotas::QuotaWindows;
use caudal_metadata::{Controller, ControllerConfig, CreateTopic, NodeRegistration};
use caudal_partition::{Partitions, PartitionsConfig};
use caudal_raft::{PeerAddress, RaftGroups, RaftGroupsConfig, Transport, TransportConfig};
use caudal_storage::{Engine, LogWriter, MemEngine};
use caudal_types::{Clock, Network, NodeId, SystemClock};
use tokio::time::{Instant, sleep};

/// Generous: the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const POLL: Duration = Duration::from_millis(10);
pub(crate) const GROUP: &str = "faturas";
pub(crate) const TOPIC: &str = "compras";

/// A node without a Kafka listener.
pub(crate) struct Node {
    pub(crate) engine: Arc<MemEngine>,
    transport: Transport,
    pub(crate) groups: RaftGroups,
    pub(crate) controller: Controller,
    pub(crate) partitions: Partitions,
    pub(crate) coordinator: Coordinator,
}

impl Node {
    async fn start(id: NodeId, addresses: &[PeerAddress], clock: Arc<dyn Clock>) -> Self {
        let disk = Arc::new(MemEngine::new());
        let engine: Arc<dyn Engine> = disk.clone();
        let listen = addresses.iter().find(|peer| peer.node == id).unwrap().address.clone();
        let transport = Transport::start(TransportConfig {
            node_id: id,
            cluster_id: "test".to_owned(),
            listen,
            peers: addresses.to_vec(),
            ping_interval: Duration::from_millis(100),
            suspect_after: Duration::from_millis(500),
            network: Network::Tcp,
        })
        .await
        .unwrap();
        let raft = RaftGroupsConfig {
            node_id: id,
            election_timeout: Duration::from_millis(500),
            rebalance_after: Duration::ZERO,
            disk_stall_after: Duration::from_secs(2),
            log_cache_bytes: 1 << 20,
        };
        let groups =
            RaftGroups::new(raft, engine.clone(), LogWriter::start(engine.clone()), transport.clone()).unwrap();
        let config = ControllerConfig {
            node_id: id,
            nodes: addresses.iter().map(|peer| peer.node).collect(),
            cluster_id: "test".to_owned(),
            registration: NodeRegistration { host: "127.0.0.1".to_owned(), port: 9092, rack: None },
            coordinator_shards: 4,
            num_partitions: 1,
            default_replication_factor: None,
            topic_defaults: BTreeMap::new(),
            mutation_windows: QuotaWindows::default(),
        };
        let controller =
            Controller::start(config, groups.clone(), transport.clone(), engine.clone(), clock.clone()).await.unwrap();
        let config = CoordinatorConfig { initial_rebalance_delay_ms: 0, ..CoordinatorConfig::new(id) };
        let partitions = PartitionsConfig {
            node_id: id,
            topic_defaults: BTreeMap::new(),
            producer_expiration_ms: 86_400_000,
            retention_check_interval: Duration::from_secs(300),
            compaction: Default::default(),
        };
        let (engine_, clock_) = (engine.clone(), clock.clone());
        let partitions =
            Partitions::start(partitions, controller.clone(), groups.clone(), transport.liveness(), engine_, clock_)
                .unwrap();
        let parts = CoordinatorParts {
            controller: controller.clone(),
            partitions: partitions.clone(),
            groups: groups.clone(),
            transport: transport.clone(),
            engine,
            clock,
        };
        let coordinator = Coordinator::start(config, parts);
        Self { engine: disk, transport, groups, controller, partitions, coordinator }
    }

    /// Takes the node off the network first, so that nothing of what follows is heard.
    pub(crate) async fn kill(self) {
        self.transport.shutdown().await;
        self.coordinator.shutdown().await;
        self.partitions.shutdown().await;
        self.controller.shutdown().await;
        self.groups.shutdown().await;
    }
}

pub(crate) struct Cluster(pub(crate) BTreeMap<NodeId, Node>);

impl Cluster {
    /// Three nodes and a topic.
    pub(crate) async fn start() -> Self {
        Self::start_by(Arc::new(SystemClock)).await
    }

    /// With a clock that all nodes go by.
    pub(crate) async fn start_by(clock: Arc<dyn Clock>) -> Self {
        let address = |(node, address)| PeerAddress { node: NodeId(node), address };
        let addresses: Vec<PeerAddress> = (1..).zip(caudal_testing::addresses(3)).map(address).collect();
        // Side by side: a new cluster needs a majority to know that it is one.
        let starting = addresses.iter().map(|peer| async {
            let clock = Arc::clone(&clock);
            (peer.node, Node::start(peer.node, &addresses, clock).await)
        });
        let cluster = Self(futures::future::join_all(starting).await.into_iter().collect());
        let topic =
            CreateTopic { name: TOPIC.to_owned(), partitions: 1, replication_factor: 3, ..CreateTopic::default() };
        let controller = &cluster.0[&NodeId(1)].controller;
        let begun = Instant::now();
        while controller.image().topic(TOPIC).is_none() {
            assert!(begun.elapsed() < DEADLINE, "the topic is made");
            controller.create_topics(vec![topic.clone()], false, Duration::from_millis(200)).await;
        }
        cluster.until("the topic is known", |node| node.controller.image().topic(TOPIC).is_some()).await;
        cluster
    }

    /// Waits until `condition` holds on every node.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Node) -> bool) {
        let begun = Instant::now();
        while !self.0.values().all(&condition) {
            assert!(begun.elapsed() < DEADLINE, "it took too long until {what}");
            sleep(POLL).await;
        }
    }

    /// The node that coordinates the group and serves it.
    pub(crate) async fn coordinator(&self) -> (NodeId, &Coordinator) {
        let begun = Instant::now();
        loop {
            for (id, node) in &self.0 {
                if !matches!(node.coordinator.describe_group(GROUP), Err(GroupError::NotCoordinator { .. })) {
                    return (*id, &node.coordinator);
                }
            }
            assert!(begun.elapsed() < DEADLINE, "no node has become the coordinator");
            sleep(POLL).await;
        }
    }

    pub(crate) async fn stop(self) {
        for node in self.0.into_values() {
            node.kill().await;
        }
    }
}
