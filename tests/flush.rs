//! Topics that set `flush.messages` or `flush.ms`: records are acknowledged when a majority has written them, and synced a little later. Other topics on the
//! same nodes keep their own promise.

use std::time::Duration;

use caudal_tests::metrics::Metrics;
use caudal_tests::raw::{Raw, batch};
use caudal_tests::{Cluster, reader, until, until_some};

const SOON: Duration = Duration::from_secs(60);
/// So long that nothing is synced for it while a test looks.
const LONG: &str = "flush.ms=60000";

fn leader(cluster: &Cluster, topic: &str) -> u32 {
    until_some(SOON, "the partition's leader", || {
        let status = cluster.status()?;
        let topic = status["topics"].as_array()?.iter().find(|found| found["name"] == topic)?.clone();
        u32::try_from(topic["partitions"][0]["leader"].as_u64()?).ok()
    })
}

fn create(cluster: &Cluster, topic: &str, config: &[&str]) {
    let mut args = vec!["topic", "create", topic, "--partitions", "1", "--replication-factor", "3"];
    for entry in config {
        args.extend(["--config", *entry]);
    }
    cluster.must(&args);
}

/// Produces records one by one, each acknowledged before the next.
fn produce(cluster: &Cluster, topic: &str, count: u32) {
    let mut client = Raw::connect(cluster.address(leader(cluster, topic)));
    for _ in 0..count {
        assert_eq!(client.produce(topic, batch(b"a record")).0, 0);
    }
}

fn sum(cluster: &Cluster, name: &str) -> f64 {
    cluster.nodes().map(|node| Metrics::of(cluster, node).get(name)).sum()
}

fn unflushed(cluster: &Cluster, topic: &str) -> f64 {
    sum(cluster, &format!("caudal_partition_acked_unflushed_records{{topic=\"{topic}\",partition=\"0\"}}"))
}

#[test]
fn a_relaxed_topic_acknowledges_before_it_syncs_and_others_do_not() {
    const BATCHES: u32 = 200;
    let cluster = Cluster::start(3, &[]);
    create(&cluster, "relaxed", &[LONG]);
    create(&cluster, "strict", &[]);
    for topic in ["relaxed", "strict"] {
        produce(&cluster, topic, 1);
    }
    let syncs = || sum(&cluster, "caudal_log_syncs_total");
    let before = syncs();
    produce(&cluster, "relaxed", BATCHES);
    // Three nodes would need 600, and a majority 400.
    let grown = syncs() - before;
    assert!(grown < f64::from(BATCHES) / 2.0, "{grown} fsyncs for {BATCHES} batches that need none");
    assert!(unflushed(&cluster, "relaxed") > 0.0);

    let before = syncs();
    produce(&cluster, "strict", BATCHES);
    let grown = syncs() - before;
    assert!(grown >= 2.0 * f64::from(BATCHES), "{grown} fsyncs for {BATCHES} batches, each on a majority");
    assert!(unflushed(&cluster, "strict") == 0.0);
    until(SOON, "a sync serves all topics of a node", || unflushed(&cluster, "relaxed") == 0.0);
}

#[test]
fn what_was_acknowledged_is_synced_in_time() {
    let cluster = Cluster::start(3, &[]);
    create(&cluster, "relaxed", &["flush.ms=1000"]);
    until_some(SOON, "records that are acknowledged and not synced", || {
        produce(&cluster, "relaxed", 50);
        (unflushed(&cluster, "relaxed") > 0.0).then_some(())
    });
    until(SOON, "everything is synced", || unflushed(&cluster, "relaxed") == 0.0);
}

#[test]
fn the_death_of_all_processes_loses_nothing_acknowledged() {
    let cluster = Cluster::start(3, &[]);
    create(&cluster, "relaxed", &[LONG]);
    produce(&cluster, "relaxed", 300);
    for node in cluster.nodes() {
        cluster.signal(node, "KILL");
    }
    cluster.start_all_nodes();
    leader(&cluster, "relaxed");
    until(SOON, "all records are there again", || {
        reader::read_partition(cluster.bootstrap(), "relaxed", 0).len() == 300
    });
}

#[test]
fn a_topic_may_be_relaxed_and_strict_again_at_run_time() {
    let cluster = Cluster::start(3, &[]);
    create(&cluster, "purchases", &[]);
    produce(&cluster, "purchases", 5);
    let relaxed = || sum(&cluster, "caudal_partition_flush_relaxed{topic=\"purchases\",partition=\"0\"}");
    assert!(relaxed() == 0.0);
    cluster.must(&["config", "set", "--topic", "purchases", LONG]);
    until(SOON, "all replicas are relaxed", || relaxed() == 3.0);
    produce(&cluster, "purchases", 50);
    assert!(unflushed(&cluster, "purchases") > 0.0);
    cluster.must(&["config", "unset", "--topic", "purchases", "flush.ms"]);
    until(SOON, "all replicas are strict", || relaxed() == 0.0);
    assert!(unflushed(&cluster, "purchases") == 0.0, "what was written before is synced");
    let before = sum(&cluster, "caudal_log_syncs_total");
    produce(&cluster, "purchases", 50);
    assert!(sum(&cluster, "caudal_log_syncs_total") - before >= 100.0);
}
