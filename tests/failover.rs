//! Nodes die under load. With a client's default settings nothing acknowledged is lost, duplicated or reordered, and no partition goes without an
//! acknowledgement for long.

use std::time::{Duration, Instant};

use caudal_tests::load::Load;
use caudal_tests::raw::Raw;
use caudal_tests::{Cluster, Driver, until, until_some};

const PARTITIONS: i32 = 6;
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// `before`, in Base64.
const BEFORE: &str = "YmVmb3Jl";
const SOON: Duration = Duration::from_secs(60);

fn cluster_with_topic(topic: &str) -> Cluster {
    let cluster = Cluster::start(3, &[]);
    cluster.must(&["topic", "create", topic, "--partitions", "6", "--replication-factor", "3"]);
    cluster
}

/// How many partitions of `topic` each node leads, by what the cluster says.
fn led(cluster: &Cluster, topic: &str) -> Option<Vec<(u32, usize)>> {
    let status = cluster.status()?;
    let topics = status["topics"].as_array()?;
    let partitions = topics.iter().find(|one| one["name"] == topic)?["partitions"].as_array()?;
    let leaders: Vec<_> = partitions.iter().map(|partition| partition["leader"].as_u64()).collect();
    Some(cluster.nodes().map(|node| (node, leaders.iter().filter(|led| **led == Some(node.into())).count())).collect())
}

fn leader_of_most(cluster: &Cluster, topic: &str) -> u32 {
    let counts = until_some(SOON, "the cluster's status", || led(cluster, topic));
    counts.into_iter().max_by_key(|(_, count)| *count).expect("there are nodes").0
}

fn leads_again(cluster: &Cluster, topic: &str, node: u32) {
    until(SOON, "the node to lead partitions again", || {
        led(cluster, topic).is_some_and(|counts| counts.iter().any(|(one, count)| *one == node && *count > 0))
    });
}

fn wait_for_load(load: &Load, more: usize) {
    let wanted = load.acknowledged() + more;
    until(SOON, "more acknowledgements", || load.acknowledged() >= wanted);
}

fn wait_for_every_partition(load: &Load) {
    let now = Instant::now();
    until(SOON, "an acknowledgement from every partition", || load.all_acknowledged_since(now));
}

#[test]
fn each_leader_in_turn_is_killed() {
    kill_each_leader(Load::start);
}

#[test]
fn each_leader_in_turn_is_killed_under_the_java_client() {
    kill_each_leader(Load::start_java);
}

fn kill_each_leader(start: fn(&str, &str, i32) -> Load) {
    let cluster = cluster_with_topic("killed");
    let load = start(cluster.bootstrap(), "killed", PARTITIONS);
    wait_for_load(&load, 600);
    let first = leader_of_most(&cluster, "killed");
    for victim in (first..=3).chain(1..first) {
        load.note(&format!("killing node {victim}"));
        cluster.signal(victim, "KILL");
        wait_for_every_partition(&load);
        wait_for_load(&load, 600);
        load.note("starting it again");
        cluster.start_node(victim);
        load.note("it serves");
        leads_again(&cluster, "killed", victim);
        load.note("it leads");
        wait_for_load(&load, 600);
    }
    let report = load.finish();
    println!("{report:?}");
    assert!(
        report.longest_gap < LONGEST_GAP,
        "a partition went without an acknowledgement for {:?}",
        report.longest_gap
    );
}

#[test]
fn a_leader_is_stopped_and_continued() {
    let cluster = cluster_with_topic("paused");
    let load = Load::start(cluster.bootstrap(), "paused", PARTITIONS);
    wait_for_load(&load, 600);
    let victim = leader_of_most(&cluster, "paused");
    cluster.signal(victim, "STOP");
    // A client waits for the answers of a node that stands still as long as its own time-outs say (librdkafka: a minute); the others' leaders need not.
    until(LONGEST_GAP * 2, "the others to lead", || {
        led(&cluster, "paused").is_some_and(|counts| {
            counts.iter().map(|(node, count)| if *node == victim { 0 } else { *count }).sum::<usize>() == 6
        })
    });
    cluster.signal(victim, "CONT");
    wait_for_every_partition(&load);
    leads_again(&cluster, "paused", victim);
    wait_for_load(&load, 600);
    let report = load.finish();
    println!("{report:?}");
}

#[test]
fn all_nodes_are_killed_at_once() {
    let cluster = cluster_with_topic("blackout");
    let load = Load::start(cluster.bootstrap(), "blackout", PARTITIONS);
    wait_for_load(&load, 1200);
    for node in cluster.nodes() {
        cluster.signal(node, "KILL");
    }
    cluster.start_all_nodes();
    wait_for_every_partition(&load);
    let report = load.finish();
    println!("{report:?}");
}

#[test]
fn a_minority_alone_does_not_acknowledge() {
    let cluster = cluster_with_topic("minority");
    let batch: Vec<_> = (0..PARTITIONS).map(|partition| record(partition, BEFORE)).collect();
    Driver::Librdkafka.produce(cluster.bootstrap(), "minority", "none", &batch);
    cluster.signal(1, "KILL");
    cluster.signal(2, "KILL");
    let output =
        cluster.caudal(&["produce", "minority", "--partition", "0", "--timeout-ms", "3000", "--value", "after"]);
    assert!(!output.status.success(), "one node of three acknowledged: {}", String::from_utf8_lossy(&output.stdout));
    cluster.start_node(1);
    cluster.start_node(2);
    let read = Driver::Librdkafka.consume(cluster.bootstrap(), "minority", "reader", batch.len());
    assert_eq!(read.iter().filter(|record| record.key.as_deref() == Some(BEFORE)).count(), batch.len());
}

fn record(partition: i32, key: &str) -> caudal_tests::Record {
    caudal_tests::Record {
        partition,
        offset: None,
        key: Some(key.into()),
        value: Some("eA==".into()),
        headers: vec![],
        timestamp: 1,
    }
}

/// Each node is killed in turn; on a busy machine a single time says little.
#[test]
fn a_thousand_quiet_partitions_have_leaders_within_a_second_and_a_half() {
    const QUIET: usize = 1000;
    const WITHIN: Duration = Duration::from_millis(1500);
    let cluster = Cluster::start(3, &["raft.rebalance.after.ms=0"]);
    cluster.must(&["topic", "create", "quiet", "--partitions", &QUIET.to_string()]);
    let mut times = Vec::new();
    for victim in cluster.nodes() {
        leads_again(&cluster, "quiet", victim);
        let mut survivor = connect(&cluster, victim % 3 + 1);
        until(SOON, "leaders of all partitions", || leaders(&mut survivor).iter().all(|leader| *leader >= 0));
        cluster.signal(victim, "KILL");
        let killed = Instant::now();
        until(SOON, "new leaders of all partitions", || {
            let leaders = leaders(&mut survivor);
            leaders.len() == QUIET && leaders.iter().all(|leader| *leader >= 0 && *leader != victim as i32)
        });
        times.push(killed.elapsed());
        cluster.start_node(victim);
    }
    println!("new leaders after {times:?}");
    assert!(times.iter().min().is_some_and(|best| *best <= WITHIN), "it took {times:?}");
}

fn connect(cluster: &Cluster, node: u32) -> Raw {
    Raw::connect(cluster.bootstrap().split(',').nth(node as usize - 1).expect("an address per node"))
}

/// The leader of each partition of each topic, as a node tells it; -1 where there is none.
fn leaders(node: &mut Raw) -> Vec<i32> {
    let metadata = node.metadata();
    let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| *partition.leader_id).collect()
}
