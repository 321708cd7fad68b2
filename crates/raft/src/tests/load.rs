//! Steady writes, while nodes are lost and come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_types::{RaftGroupId, Tasks};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::tests::proxy::Proxy;
use crate::tests::support::{Cluster, ON_REQUEST, eventually, members};
use crate::{ProposeError, RaftGroups};

const GROUPS: u64 = 6;
/// Proposals of one writer without an outcome.
const AHEAD: usize = 16;

/// What a writer has seen.
#[derive(Debug)]
struct Seen {
    acknowledged: Vec<Bytes>,
    last: Instant,
    longest_pause: Duration,
}

impl Default for Seen {
    fn default() -> Self {
        Self { acknowledged: Vec::new(), last: Instant::now(), longest_pause: Duration::ZERO }
    }
}

/// One writer per group, each with some proposals under way.
struct Writers {
    nodes: Arc<RwLock<Vec<RaftGroups>>>,
    seen: HashMap<u64, Arc<Mutex<Seen>>>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

impl Writers {
    fn start(cluster: &Cluster) -> Self {
        let writers = Self {
            nodes: Arc::default(),
            seen: (0..GROUPS).map(|group| (group, Arc::default())).collect(),
            stop: watch::Sender::new(false),
            tasks: Tasks::new(),
        };
        writers.use_nodes(cluster);
        for (group, seen) in &writers.seen {
            let (nodes, stop) = (writers.nodes.clone(), writers.stop.subscribe());
            writers.tasks.spawn_to_end("test writer", write(*group, seen.clone(), nodes, stop));
        }
        writers
    }

    fn use_nodes(&self, cluster: &Cluster) {
        *self.nodes.write() = cluster.nodes.values().map(|node| node.groups.clone()).collect();
    }

    /// Waits until every writer has this many acknowledgements more.
    async fn progress(&self, more: usize) {
        let counts: HashMap<_, _> =
            self.seen.iter().map(|(group, seen)| (*group, seen.lock().acknowledged.len())).collect();
        eventually("every writer goes on", || {
            self.seen.iter().all(|(group, seen)| seen.lock().acknowledged.len() >= counts[group] + more)
        })
        .await;
    }

    fn longest_pause(&self) -> Duration {
        self.seen.values().map(|seen| std::mem::take(&mut seen.lock().longest_pause)).max().unwrap()
    }

    /// Stops the writers and checks that what they were told is true.
    async fn check(self, cluster: &Cluster) {
        self.stop.send_replace(true);
        self.tasks.shutdown().await;
        for (group, seen) in &self.seen {
            let acknowledged = seen.lock().acknowledged.clone();
            let stored = cluster.agreed(*group, acknowledged.len()).await;
            let mut at: HashMap<_, usize> = HashMap::new();
            for (place, command) in stored.iter().enumerate() {
                assert!(at.insert(command.clone(), place).is_none(), "{command:?} is there twice");
            }
            let places: Vec<_> = acknowledged.iter().map(|command| at.get(command)).collect();
            assert!(places.iter().all(Option::is_some), "an acknowledged command is lost in group {group}");
            assert!(places.is_sorted(), "acknowledged commands of group {group} are out of order");
        }
    }
}

/// Proposes numbered commands, each once, at whoever leads.
async fn write(group: u64, seen: Arc<Mutex<Seen>>, nodes: Arc<RwLock<Vec<RaftGroups>>>, stop: watch::Receiver<bool>) {
    let mut number = 0u64;
    while !*stop.borrow() {
        let leader = nodes
            .read()
            .iter()
            .filter_map(|node| node.get(RaftGroupId(group)))
            .find(|replica| replica.leadership().borrow().serving);
        let mut pending = Vec::new();
        for _ in 0..AHEAD {
            let Some(leader) = &leader else { break };
            number += 1;
            let command = Bytes::from(format!("{group}/{number}"));
            if let Ok(outcome) = leader.enqueue(command.clone()).await {
                pending.push((command, outcome));
            }
        }
        if pending.is_empty() {
            // Nobody leads, or a node that is being crashed still seems to: looks again soon, and lets the others run. A test that failed
            // drops the sender without a word.
            if let Ok(Err(_)) = tokio::time::timeout(Duration::from_millis(1), stop.clone().changed()).await {
                return;
            }
        }
        for (command, outcome) in pending {
            match tokio::time::timeout(Duration::from_secs(10), outcome).await {
                Ok(Ok(_)) => {
                    let mut seen = seen.lock();
                    seen.longest_pause = seen.longest_pause.max(seen.last.elapsed());
                    seen.last = Instant::now();
                    seen.acknowledged.push(command);
                }
                Ok(Err(ProposeError::Unknown | ProposeError::NotLeader { .. } | ProposeError::Storage(_))) | Err(_) => {
                }
                Ok(Err(other)) => panic!("{other}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_the_loss_of_each_node_in_turn() {
    let orders = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    let mut cluster = Cluster::start(3).await;
    for group in 0..GROUPS {
        cluster.open(group, &members(orders[(group % 3) as usize]), ON_REQUEST).await;
    }
    let writers = Writers::start(&cluster);
    writers.progress(200).await;
    println!("without faults, the longest pause was {:?}", writers.longest_pause());
    for victim in [1, 2, 3, 1] {
        cluster.crash(victim).await;
        writers.use_nodes(&cluster);
        writers.progress(200).await;
        println!("node {victim} lost: the longest pause was {:?}", writers.longest_pause());
        cluster.start_node(victim).await;
        for group in 0..GROUPS {
            cluster.open_on(victim, group, &members(orders[(group % 3) as usize]), ON_REQUEST).await;
        }
        writers.use_nodes(&cluster);
        for group in 0..GROUPS {
            let preferred = orders[(group % 3) as usize][0];
            eventually("the preferred leader leads again", || {
                cluster.replica(preferred, group).leadership().borrow().serving
            })
            .await;
        }
        println!("node {victim} back: the longest pause was {:?}", writers.longest_pause());
    }
    writers.check(&cluster).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_is_replaced_and_its_old_leadership_does_no_harm() {
    let mut cluster = Cluster::of(3);
    let mut proxies = Vec::new();
    for (from, to) in [(1, 2), (1, 3), (2, 1), (3, 1)] {
        let (from, to) = (caudal_types::NodeId(from), caudal_types::NodeId(to));
        let target = cluster.addresses.iter().find(|peer| peer.node == to).unwrap().address.clone();
        let proxy = Proxy::start(target).await;
        cluster.detours.insert((from, to), proxy.address.clone());
        proxies.push(proxy);
    }
    for node in 1..=3 {
        cluster.start_node(node).await;
    }
    cluster.all_see_each_other().await;
    for group in 0..GROUPS {
        cluster.open(group, &members([1, 2, 3]), ON_REQUEST).await;
        assert_eq!(cluster.leader(group).await, 1);
    }
    let writers = Writers::start(&cluster);
    writers.progress(100).await;
    writers.longest_pause();
    for proxy in &proxies {
        proxy.freeze(true);
    }
    // The writers must not ask the frozen node, which believes that it leads.
    *writers.nodes.write() = [2, 3].map(|node| cluster.node(node).groups.clone()).into();
    let began = Instant::now();
    let replicas: Vec<_> =
        (0..GROUPS).flat_map(|group| [cluster.replica(2, group), cluster.replica(3, group)]).collect();
    eventually("the others lead all groups", || {
        replicas.iter().filter(|replica| replica.leadership().borrow().serving).count() == GROUPS as usize
    })
    .await;
    println!("a frozen leader was replaced after {:?}", began.elapsed());
    for group in 0..GROUPS {
        let old = cluster.replica(1, group);
        let outcome = tokio::time::timeout(Duration::from_millis(100), old.read_barrier()).await;
        assert!(!matches!(outcome, Ok(Ok(()))), "the old leader cannot confirm that it leads");
    }
    writers.use_nodes(&cluster);
    for proxy in &proxies {
        proxy.freeze(false);
    }
    for group in 0..GROUPS {
        eventually("the preferred leader leads again", || cluster.replica(1, group).leadership().borrow().serving)
            .await;
    }
    writers.progress(100).await;
    writers.check(&cluster).await;
    cluster.stop().await;
    for proxy in proxies {
        proxy.stop().await;
    }
}
