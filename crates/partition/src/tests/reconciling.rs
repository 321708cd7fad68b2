//! Local replicas follow the cluster image.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal_metadata::quotas::QuotaWindows;
use caudal_metadata::{Controller, ControllerConfig, CreateTopic, NodeRegistration};
use caudal_storage::{ColumnFamily, Engine, MemEngine, ScanLimit, keys};
use caudal_types::{RaftGroupId, TopicId};

use crate::testing::{BatchSpec, DEADLINE, TestNode, append};
use crate::{Partitions, PartitionsConfig};

struct Cluster {
    node: TestNode,
    controller: Controller,
    partitions: Partitions,
}

impl Cluster {
    async fn start(engine: Arc<MemEngine>) -> Self {
        let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
        let config = ControllerConfig {
            node_id: TestNode::ID,
            nodes: vec![TestNode::ID],
            cluster_id: "test".to_owned(),
            registration: NodeRegistration { host: "localhost".to_owned(), port: 9092, rack: None },
            coordinator_shards: 1,
            num_partitions: 1,
            default_replication_factor: None,
            topic_defaults: BTreeMap::new(),
            mutation_windows: QuotaWindows::default(),
        };
        let (parts, clock) = (Arc::clone(&node.parts), Arc::clone(&node.parts.clock));
        let controller = Controller::start(
            config,
            parts.groups.clone(),
            node.transport.clone(),
            Arc::clone(&parts.engine),
            Arc::clone(&clock),
        )
        .await
        .unwrap();
        let mut images = controller.images();
        let registered = images.wait_for(|image| image.nodes.contains_key(&TestNode::ID));
        tokio::time::timeout(DEADLINE, registered).await.expect("the node does not register").unwrap();
        let config = PartitionsConfig {
            node_id: TestNode::ID,
            topic_defaults: BTreeMap::new(),
            producer_expiration_ms: 86_400_000,
            retention_check_interval: Duration::from_secs(300),
            compaction: Default::default(),
        };
        let (groups, liveness) = (parts.groups.clone(), parts.liveness.clone());
        let engine = Arc::clone(&parts.engine);
        let partitions = Partitions::start(config, controller.clone(), groups, liveness, engine, clock).unwrap();
        Self { node, controller, partitions }
    }

    async fn create(&self, name: &str, partitions: i32) -> TopicId {
        let topic = CreateTopic { name: name.to_owned(), partitions, replication_factor: 1, ..CreateTopic::default() };
        let id = self.controller.create_topics(vec![topic], false, DEADLINE).await.remove(0).unwrap().id;
        // The Raft groups have leaders a moment before their partitions are in the list.
        until("the partitions are open", || (0..partitions).all(|at| self.partitions.get(id, at).is_some())).await;
        id
    }

    async fn stop(self) {
        self.partitions.shutdown().await;
        self.controller.shutdown().await;
        self.node.stop().await;
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn rows_of(engine: &dyn Engine, group: RaftGroupId) -> usize {
    let count = |cf, (from, to): (bytes::Bytes, bytes::Bytes)| {
        engine.scan(cf, from.as_ref()..to.as_ref(), ScanLimit::NONE).unwrap().len()
    };
    count(ColumnFamily::State, keys::state::group_range(group))
        + count(ColumnFamily::Index, keys::index::group_range(group))
        + count(ColumnFamily::Raft, keys::raft::group_range(group))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_come_and_go() {
    let engine = Arc::new(MemEngine::new());
    let cluster = Cluster::start(Arc::clone(&engine)).await;
    let kept = cluster.create("kept", 2).await;
    let gone = cluster.create("gone", 3).await;
    assert_eq!(cluster.partitions.all().len(), 5);
    let partition = cluster.partitions.get(gone, 2).unwrap();
    assert_eq!(partition.name().to_string(), "gone-2");
    append(&partition, &BatchSpec::plain(1)).await.unwrap();
    let groups: Vec<_> = (0..3).map(|at| cluster.partitions.get(gone, at).unwrap().group()).collect();
    drop(partition);

    assert_eq!(cluster.controller.delete_topics(vec![gone], DEADLINE).await, [Ok(())]);
    until("the replicas are closed", || cluster.partitions.all().len() == 2).await;
    assert!(cluster.partitions.get(gone, 0).is_none() && cluster.partitions.get_by_name("gone", 0).is_none());
    for group in groups {
        until("the data is gone", || rows_of(engine.as_ref(), group) == 0).await;
    }
    let again = cluster.create("gone", 1).await;
    assert_ne!(again, gone);
    let partition = cluster.partitions.get_by_name("gone", 0).unwrap();
    assert_eq!(append(&partition, &BatchSpec::plain(1)).await.unwrap().base_offset, 0);
    let kept = cluster.partitions.get(kept, 1).unwrap();
    append(&kept, &BatchSpec::plain(4)).await.unwrap();
    drop((kept, partition));
    cluster.stop().await;

    let cluster = Cluster::start(engine).await;
    until("all replicas are open again", || cluster.partitions.all().len() == 3).await;
    let kept = cluster.partitions.get_by_name("kept", 1).unwrap();
    until("it serves again", || kept.leadership().borrow().serving).await;
    assert_eq!(append(&kept, &BatchSpec::plain(1)).await.unwrap().base_offset, 4);
    drop(kept);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_partitions_are_up_soon() {
    let cluster = Cluster::start(Arc::new(MemEngine::new())).await;
    let start = Instant::now();
    cluster.create("wide", 1000).await;
    until("all partitions serve", || {
        let all = cluster.partitions.all();
        all.len() == 1000 && all.iter().all(|partition| partition.leadership().borrow().serving)
    })
    .await;
    eprintln!("a thousand partitions in {:?}", start.elapsed());
    cluster.stop().await;
}
