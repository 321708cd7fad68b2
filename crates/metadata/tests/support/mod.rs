//! A cluster of nodes in one process, over real connections: everything below the partitions, which are played by Raft groups that do nothing.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_metadata::quotas::QuotaWindows;
use caudal_metadata::{ClusterImage, Controller, ControllerConfig, CreateTopic, NodeRegistration};
use caudal_raft::{
    ApplyError, CommittedEntry, GroupOptions, Members, PeerAddress, PurgePolicy, RaftGroups, RaftGroupsConfig,
    SnapshotContent, StateMachine, Transport, TransportConfig,
};
use caudal_storage::{LogWriter, MemEngine, WriteBatch};
use caudal_types::{Network, NodeId, RaftGroupId, SystemClock, Tasks};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it did not happen in time")
}

/// Waits until an image of the node is as wished.
pub(crate) async fn image_when(node: &Node, wished: impl Fn(&ClusterImage) -> bool) -> Arc<ClusterImage> {
    let mut images = node.controller.images();
    let image = soon(images.wait_for(|image| wished(image))).await.expect("the controller stopped");
    Arc::clone(&image)
}

/// Waits until the node's leader table is as wished.
pub(crate) async fn leaders_when(node: &Node, wished: impl Fn(&Node) -> bool) {
    let mut changes = node.controller.leaders().changes();
    soon(async {
        loop {
            changes.borrow_and_update();
            if wished(node) {
                return;
            }
            changes.changed().await.expect("the controller stopped");
        }
    })
    .await;
}

/// A Raft group that stands for a partition.
struct Idle;

impl StateMachine for Idle {
    fn apply(&mut self, entries: &[CommittedEntry], _batch: &mut WriteBatch) -> Result<Vec<Bytes>, ApplyError> {
        Ok(vec![Bytes::new(); entries.len()])
    }

    fn snapshot(&mut self) -> Result<SnapshotContent, ApplyError> {
        Ok(SnapshotContent { index: 0, data: Bytes::new() })
    }

    fn install(&mut self, _snapshot: &SnapshotContent, _batch: &mut WriteBatch) -> Result<(), ApplyError> {
        Ok(())
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) controller: Controller,
    pub(crate) groups: RaftGroups,
    transport: Transport,
    tasks: Tasks,
}

impl Node {
    /// The nodes that lead the partitions of a topic, as this node knows.
    pub(crate) fn leaders_of(&self, topic: &str) -> Vec<Option<NodeId>> {
        let image = self.controller.image();
        let partitions = image.topic(topic).map(|topic| topic.partitions.clone()).unwrap_or_default();
        let leader = |group: RaftGroupId| self.controller.leaders().leader(group).map(|leader| leader.node);
        partitions.iter().map(|partition| leader(partition.group)).collect()
    }

    /// Whether this node knows a leader for each of so many partitions.
    pub(crate) fn knows_all(&self, topic: &str, partitions: usize) -> bool {
        let leaders = self.leaders_of(topic);
        leaders.len() == partitions && leaders.iter().all(Option::is_some)
    }

    pub(crate) async fn stop(self) {
        self.tasks.shutdown().await;
        self.controller.shutdown().await;
        self.groups.shutdown().await;
        self.transport.shutdown().await;
    }
}

/// The nodes of a cluster, with what stays when one stops.
pub(crate) struct Cluster {
    peers: Vec<PeerAddress>,
    engines: BTreeMap<NodeId, Arc<MemEngine>>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
}

impl Cluster {
    /// Starts `count` nodes that know of each other, and waits until the cluster is formed and all are registered.
    pub(crate) async fn start(count: u32) -> Self {
        let peers: Vec<PeerAddress> =
            (1..=count).map(NodeId).zip(caudal_testing::addresses(count as usize)).map(peer).collect();
        let engines = peers.iter().map(|peer| (peer.node, Arc::default())).collect();
        let mut cluster = Self { peers, engines, nodes: BTreeMap::new() };
        // A new cluster needs a majority to know that it is one.
        let started = futures::future::join_all((1..=count).map(|id| cluster.run_node(NodeId(id)))).await;
        cluster.nodes.extend(started.into_iter().map(|node| (node.id, node)));
        for node in cluster.nodes.values() {
            image_when(node, |image| image.is_formed() && image.nodes.len() == count as usize).await;
        }
        cluster
    }

    pub(crate) fn node(&self, id: u32) -> &Node {
        &self.nodes[&NodeId(id)]
    }

    /// A node that does not lead the metadata group.
    pub(crate) async fn follower(&self) -> &Node {
        let node = self.node(1);
        leaders_when(node, |node| node.controller.controller_id().is_some()).await;
        let controller = node.controller.controller_id().expect("it was there");
        self.nodes.values().find(|node| node.id != controller).expect("there are others")
    }

    pub(crate) async fn start_node(&mut self, id: u32) {
        let node = self.run_node(NodeId(id)).await;
        self.nodes.insert(node.id, node);
    }

    async fn run_node(&self, id: NodeId) -> Node {
        let transport = Transport::start(TransportConfig {
            node_id: id,
            cluster_id: "test".into(),
            listen: self.peers.iter().find(|peer| peer.node == id).expect("a known node").address.clone(),
            peers: self.peers.clone(),
            ping_interval: Duration::from_millis(50),
            suspect_after: Duration::from_millis(500),
            network: Network::Tcp,
        })
        .await
        .expect("the port is free");
        let engine = Arc::clone(&self.engines[&id]);
        let config = RaftGroupsConfig {
            node_id: id,
            election_timeout: Duration::from_millis(1500),
            rebalance_after: Duration::ZERO,
            disk_stall_after: Duration::from_secs(2),
            log_cache_bytes: 16 << 20,
        };
        let groups = RaftGroups::new(config, engine.clone(), LogWriter::start(engine.clone()), transport.clone())
            .expect("an empty disk can be read");
        let config = ControllerConfig {
            node_id: id,
            nodes: self.peers.iter().map(|peer| peer.node).collect(),
            cluster_id: "test".into(),
            registration: NodeRegistration { host: "127.0.0.1".into(), port: 9000 + id.0 as u16, rack: None },
            coordinator_shards: 4,
            num_partitions: 1,
            default_replication_factor: None,
            topic_defaults: BTreeMap::new(),
            mutation_windows: QuotaWindows::default(),
        };
        let controller =
            Controller::start(config, groups.clone(), transport.clone(), engine, Arc::new(SystemClock)).await;
        let controller = controller.expect("the controller starts");
        let tasks = Tasks::new();
        tasks.spawn("test-reconciler", reconcile(id, controller.images(), groups.clone()));
        Node { id, controller, groups, transport, tasks }
    }

    /// What the nodes think of the partitions that lack a leader.
    pub(crate) fn explain(&self, topic: &str) -> String {
        let mut text = String::new();
        let image = self.nodes.values().next().map(|node| node.controller.image()).unwrap_or_default();
        let partitions = image.topic(topic).map(|topic| topic.partitions.clone()).unwrap_or_default();
        for partition in partitions {
            let known = |node: &Node| node.controller.leaders().leader(partition.group);
            if self.nodes.values().all(|node| known(node).is_some()) {
                continue;
            }
            text += &format!("\n{} on {:?}:", partition.group, partition.replicas);
            for node in self.nodes.values() {
                let status = node.groups.get(partition.group).map(|group| group.status());
                text += &format!(" [node {} knows {:?}, is {status:?}]", node.id, known(node));
            }
        }
        text
    }

    pub(crate) async fn stop_node(&mut self, id: u32) {
        let node = self.nodes.remove(&NodeId(id)).expect("it runs");
        soon(node.stop()).await;
    }

    pub(crate) async fn stop(self) {
        soon(join_all(self.nodes.into_values().map(Node::stop))).await;
    }
}

fn peer((node, address): (NodeId, String)) -> PeerAddress {
    PeerAddress { node, address }
}

/// Opens this node's replicas as the image says, and removes those of deleted topics.
async fn reconcile(id: NodeId, mut images: watch::Receiver<Arc<ClusterImage>>, groups: RaftGroups) {
    let mut open = HashSet::new();
    loop {
        let image = Arc::clone(&images.borrow_and_update());
        let mine = image.groups().filter(|partition| partition.replicas.contains(&id));
        let wished: Vec<_> = mine.cloned().collect();
        let opening = wished.iter().filter(|partition| !open.contains(&partition.group)).map(|partition| {
            let members = Members { voters: partition.replicas.clone(), learners: Vec::new() };
            let options = GroupOptions {
                purge: PurgePolicy::OnRequest,
                commit_within: Duration::ZERO,
                spare_sync_within: Duration::ZERO,
            };
            groups.open(partition.group, members, Box::new(Idle), options)
        });
        for opened in join_all(opening).await {
            opened.expect("a replica opens");
        }
        let wished: HashSet<RaftGroupId> = wished.into_iter().map(|partition| partition.group).collect();
        for gone in open.difference(&wished) {
            groups.remove(*gone).await.expect("a replica goes");
        }
        open = wished;
        if images.changed().await.is_err() {
            return;
        }
    }
}

/// A topic wished for.
pub(crate) fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic { name: name.into(), partitions, replication_factor, ..CreateTopic::default() }
}
