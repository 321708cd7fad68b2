//! Nodes for tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_storage::{Engine, LogWriter, MemEngine};
use caudal_types::{Network, NodeId, RaftGroupId};

use crate::tests::machine::{self, ListMachine};
use crate::{
    GroupOptions, Leadership, Members, PeerAddress, ProposeError, PurgePolicy, RaftGroup, RaftGroups, RaftGroupsConfig,
    Transport, TransportConfig,
};

/// No test waits longer for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// How often a condition is looked at that cannot be waited for.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) const ON_REQUEST: GroupOptions = GroupOptions {
    purge: PurgePolicy::OnRequest,
    commit_within: Duration::from_millis(10),
    spare_sync_within: Duration::ZERO,
};

/// One node.
pub(crate) struct TestNode {
    pub(crate) engine: Arc<MemEngine>,
    pub(crate) transport: Transport,
    pub(crate) groups: RaftGroups,
    pub(crate) writer: LogWriter,
}

/// Nodes 1 to n; those that are down have only an engine.
pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<NodeId, TestNode>,
    pub(crate) engines: BTreeMap<NodeId, Arc<MemEngine>>,
    pub(crate) addresses: Vec<PeerAddress>,
    pub(crate) cluster_id: String,
    /// Detours from one node to another.
    pub(crate) detours: BTreeMap<(NodeId, NodeId), String>,
}

pub(crate) fn members(voters: impl IntoIterator<Item = u32>) -> Members {
    Members { voters: voters.into_iter().map(NodeId).collect(), learners: Vec::new() }
}

impl Cluster {
    pub(crate) async fn start(nodes: u32) -> Self {
        let mut cluster = Self::of(nodes);
        cluster.start_all().await;
        cluster
    }

    pub(crate) async fn start_all(&mut self) {
        let ids: Vec<_> = self.engines.keys().copied().collect();
        for node in ids {
            self.start_node(node.0).await;
        }
        self.all_see_each_other().await;
    }

    /// A cluster whose nodes are all down.
    pub(crate) fn of(nodes: u32) -> Self {
        let ids = (1..=nodes).map(NodeId);
        let addresses = caudal_testing::addresses(nodes as usize);
        let addresses = ids.clone().zip(addresses).map(|(node, address)| PeerAddress { node, address }).collect();
        let engines = ids.map(|node| (node, Arc::new(MemEngine::new()))).collect();
        Self { nodes: BTreeMap::new(), engines, addresses, cluster_id: "test".to_owned(), detours: BTreeMap::new() }
    }

    pub(crate) async fn start_node(&mut self, node: u32) {
        let node_id = NodeId(node);
        let listen = self.addresses.iter().find(|peer| peer.node == node_id).unwrap().address.clone();
        let address = |peer: &PeerAddress| {
            let detour = self.detours.get(&(node_id, peer.node)).cloned();
            PeerAddress { node: peer.node, address: detour.unwrap_or_else(|| peer.address.clone()) }
        };
        let transport = Transport::start(TransportConfig {
            node_id,
            cluster_id: self.cluster_id.clone(),
            listen,
            peers: self.addresses.iter().map(address).collect(),
            ping_interval: Duration::from_millis(50),
            suspect_after: Duration::from_millis(500),
            network: Network::Tcp,
        });
        let transport = transport.await.unwrap();
        let engine = self.engines[&node_id].clone();
        let writer = LogWriter::start(engine.clone());
        let config = RaftGroupsConfig {
            node_id,
            election_timeout: Duration::from_secs(1),
            rebalance_after: Duration::ZERO,
            disk_stall_after: Duration::from_secs(1),
            log_cache_bytes: 16 << 20,
        };
        let groups = RaftGroups::new(config, engine.clone(), writer.clone(), transport.clone()).unwrap();
        self.nodes.insert(node_id, TestNode { engine, transport, groups, writer });
    }

    /// Cuts a node's power: no farewell, nothing more reaches its disk, and what was not synced is lost.
    pub(crate) async fn crash(&mut self, node: u32) {
        let down = self.nodes.remove(&NodeId(node)).unwrap();
        down.engine.fail_writes(Some("the power is off".to_owned()));
        down.transport.shutdown().await;
        down.groups.shutdown().await;
        down.writer.close().await;
        down.engine.crash();
        down.engine.fail_writes(None);
    }

    /// The same, but the first `kept` of the writes that were not synced had reached the disk.
    pub(crate) async fn crash_keeping(&mut self, node: u32, kept: usize) {
        let engine = self.kill(node).await;
        engine.crash_keeping(kept);
    }

    /// Ends a node's process without farewell: the operating system keeps what was written.
    pub(crate) async fn kill(&mut self, node: u32) -> Arc<MemEngine> {
        let down = self.nodes.remove(&NodeId(node)).unwrap();
        down.engine.fail_writes(Some("the process is gone".to_owned()));
        down.transport.shutdown().await;
        down.groups.shutdown().await;
        down.writer.close().await;
        down.engine.fail_writes(None);
        down.engine
    }

    pub(crate) fn node(&self, node: u32) -> &TestNode {
        &self.nodes[&NodeId(node)]
    }

    pub(crate) async fn all_see_each_other(&self) {
        eventually("all nodes see each other", || {
            let ids: Vec<_> = self.nodes.keys().copied().collect();
            self.nodes.values().all(|node| ids.iter().all(|id| node.transport.liveness().is_alive(*id)))
        })
        .await;
    }

    pub(crate) async fn open_on(
        &self,
        node: u32,
        group: u64,
        members: &Members,
        options: GroupOptions,
    ) -> Arc<RaftGroup> {
        let (node, group) = (self.node(node), RaftGroupId(group));
        let machine = ListMachine::boxed(group, node.engine.clone());
        node.groups.open(group, members.clone(), machine, options).await.unwrap()
    }

    /// Opens a group on all of its voters that are up.
    pub(crate) async fn open(&self, group: u64, members: &Members, options: GroupOptions) {
        for node in &members.voters {
            if self.nodes.contains_key(node) {
                self.open_on(node.0, group, members, options).await;
            }
        }
    }

    /// The replica of a group on a node.
    pub(crate) fn replica(&self, node: u32, group: u64) -> Arc<RaftGroup> {
        self.node(node).groups.get(RaftGroupId(group)).unwrap()
    }

    /// Waits until some node serves the group, and all nodes that are up agree.
    pub(crate) async fn leader(&self, group: u64) -> u32 {
        let mut leader = 0;
        eventually("a group has a leader that all know", || {
            let views = self.views(group);
            let served: Vec<_> = views.iter().filter(|view| view.serving).collect();
            let Some(first) = served.first() else { return false };
            leader = first.leader.unwrap().0;
            views.iter().all(|view| view.term == first.term && view.leader == first.leader)
        })
        .await;
        leader
    }

    fn views(&self, group: u64) -> Vec<Leadership> {
        let replicas = self.nodes.values().filter_map(|node| node.groups.get(RaftGroupId(group)));
        replicas.map(|replica| *replica.leadership().borrow()).collect()
    }

    /// Proposes at whatever node leads, until it succeeds; a proposal whose outcome is unknown is not repeated.
    pub(crate) async fn propose(&self, group: u64, command: impl Into<Bytes>) -> Result<u64, ProposeError> {
        let command = command.into();
        let began = tokio::time::Instant::now();
        loop {
            for node in self.nodes.values() {
                let Some(replica) = node.groups.get(RaftGroupId(group)) else { continue };
                match replica.propose(command.clone()).await {
                    Ok(applied) => return Ok(applied.index),
                    Err(ProposeError::NotLeader { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            assert!(began.elapsed() < DEADLINE, "nobody takes a proposal for group {group}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Proposes at whatever node leads, but for one.
    pub(crate) async fn propose_elsewhere(&self, but: u32, group: u64, command: Bytes) {
        let began = tokio::time::Instant::now();
        loop {
            for (_, node) in self.nodes.iter().filter(|(node, _)| node.0 != but) {
                let replica = node.groups.get(RaftGroupId(group)).unwrap();
                if replica.propose(command.clone()).await.is_ok() {
                    return;
                }
            }
            assert!(began.elapsed() < DEADLINE, "nobody else takes a proposal for group {group}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The commands that a node has applied.
    pub(crate) fn commands(&self, node: u32, group: u64) -> Vec<Bytes> {
        let rows = machine::rows(RaftGroupId(group), self.node(node).engine.as_ref() as &dyn Engine);
        rows.into_iter().map(|(_, command)| command).collect()
    }

    /// Waits until all nodes that are up have applied the same commands, and answers them.
    pub(crate) async fn agreed(&self, group: u64, at_least: usize) -> Vec<Bytes> {
        let mut agreed = Vec::new();
        eventually("all replicas have applied the same", || {
            let nodes = self.nodes.keys().filter(|node| self.nodes[node].groups.get(RaftGroupId(group)).is_some());
            let mut all = nodes.map(|node| self.commands(node.0, group));
            agreed = all.next().unwrap();
            agreed.len() >= at_least && all.all(|other| other == agreed)
        })
        .await;
        agreed
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes.values() {
            node.groups.shutdown().await;
            node.transport.shutdown().await;
            node.writer.close().await;
        }
    }
}

/// Waits for a condition, and fails when it does not come true before the deadline.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "it did not come true that {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for a future, and fails when it takes too long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it takes too long")
}

pub(crate) fn text(number: usize) -> Bytes {
    Bytes::from(format!("command {number}"))
}
