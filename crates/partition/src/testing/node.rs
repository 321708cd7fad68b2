//! Nodes with real Raft groups.

use std::sync::Arc;
use std::time::Duration;

use caudal_raft::{PeerAddress, RaftGroups, RaftGroupsConfig, Transport, TransportConfig};
use caudal_storage::{Engine, LogWriter, MemEngine};
use caudal_types::clock::ManualClock;
use caudal_types::topic_config::TopicConfig;
use caudal_types::{Network, NodeId, RaftGroupId, TopicId, TopicPartition};

use crate::Partition;
use crate::config::PartitionConfig;
use crate::disk::DiskReads;
use crate::partition::{NodeParts, PartitionSpec};
use crate::read::ahead::ReadAheads;
use crate::recompress::Recompressions;

/// The longest that a test waits for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One node.
#[derive(Debug)]
pub(crate) struct TestNode {
    pub(crate) parts: Arc<NodeParts>,
    pub(crate) transport: Transport,
    pub(crate) clock: ManualClock,
    writer: LogWriter,
}

impl TestNode {
    pub(crate) const ID: NodeId = NodeId(1);
    pub(crate) const GROUP: RaftGroupId = RaftGroupId(5);

    /// The only node.
    pub(crate) async fn start(engine: Arc<dyn Engine>) -> Self {
        Self::start_as(Self::ID, "127.0.0.1:0".to_owned(), vec![], engine).await
    }

    /// Nodes 1 to `count`, which know each other.
    pub(crate) async fn start_many(count: u32) -> Vec<(Self, Arc<MemEngine>)> {
        let address = |(node, address)| PeerAddress { node: NodeId(node), address };
        let peers: Vec<_> = (1..=count).zip(caudal_testing::addresses(count as usize)).map(address).collect();
        let mut nodes = Vec::new();
        for peer in &peers {
            let engine = Arc::new(MemEngine::new());
            let shared = Arc::<MemEngine>::clone(&engine);
            nodes.push((Self::start_as(peer.node, peer.address.clone(), peers.clone(), shared).await, engine));
        }
        nodes
    }

    async fn start_as(node_id: NodeId, listen: String, peers: Vec<PeerAddress>, engine: Arc<dyn Engine>) -> Self {
        let transport = Transport::start(TransportConfig {
            node_id,
            cluster_id: "test".to_owned(),
            listen,
            peers,
            ping_interval: Duration::from_millis(100),
            suspect_after: Duration::from_millis(500),
            network: Network::Tcp,
        })
        .await
        .unwrap();
        let config = RaftGroupsConfig {
            node_id,
            election_timeout: Duration::from_millis(300),
            rebalance_after: Duration::ZERO,
            disk_stall_after: Duration::from_secs(2),
            log_cache_bytes: 32 << 20,
        };
        let writer = LogWriter::start(Arc::clone(&engine));
        let groups = RaftGroups::new(config, Arc::clone(&engine), writer.clone(), transport.clone()).unwrap();
        let clock = ManualClock::new(1_000_000);
        let parts = NodeParts {
            node_id,
            groups,
            liveness: transport.liveness(),
            engine,
            clock: Arc::new(clock.clone()),
            disk: DiskReads::new().unwrap(),
            aheads: ReadAheads::default(),
            chores: Arc::default(),
            recompressions: Recompressions::default(),
        };
        Self { parts: Arc::new(parts), transport, clock, writer }
    }

    /// Opens a partition of this node alone and waits until it serves.
    pub(crate) async fn partition(&self, config: TopicConfig) -> Arc<Partition> {
        let partition = self.replica(&[self.parts.node_id], config).await;
        self.serves(&partition).await;
        partition
    }

    /// Opens a replica.
    pub(crate) async fn replica(&self, replicas: &[NodeId], config: TopicConfig) -> Arc<Partition> {
        self.open(Self::GROUP, 0, replicas, config).await
    }

    /// Opens a replica of a partition beside it.
    pub(crate) async fn open(
        &self,
        group: RaftGroupId,
        partition: i32,
        replicas: &[NodeId],
        config: TopicConfig,
    ) -> Arc<Partition> {
        let spec = PartitionSpec {
            name: TopicPartition { topic: "t".into(), partition },
            topic_id: TopicId::NIL,
            group,
            replicas: replicas.to_vec(),
            config: Arc::new(PartitionConfig::new(config, 86_400_000)),
        };
        Arc::new(Partition::open(Arc::clone(&self.parts), spec).await.unwrap())
    }

    /// Waits until this node leads.
    pub(crate) async fn serves(&self, partition: &Partition) {
        let mut leadership = partition.leadership();
        let serving = leadership.wait_for(|leadership| leadership.serving);
        tokio::time::timeout(DEADLINE, serving).await.expect("the partition has no leader").unwrap();
    }

    pub(crate) async fn stop(self) {
        self.parts.groups.shutdown().await;
        self.transport.shutdown().await;
        self.writer.close().await;
    }
}
