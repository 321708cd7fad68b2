//! What a batch costs a cluster in fsyncs and in messages between the nodes. These are counts, so that no machine is too slow for them: a second
//! fsync or a further round trip per batch fails here.

use std::time::Duration;

use caudal_tests::metrics::Metrics;
use caudal_tests::raw::{Raw, batch};
use caudal_tests::{Cluster, until_some};

const BATCHES: u32 = 200;
const SOON: Duration = Duration::from_secs(60);

fn leader(cluster: &Cluster) -> u32 {
    until_some(SOON, "the partition's leader", || {
        let status = cluster.status()?;
        let topic = status["topics"].as_array()?.iter().find(|topic| topic["name"] == "costs")?.clone();
        u32::try_from(topic["partitions"][0]["leader"].as_u64()?).ok()
    })
}

/// The counters of all nodes, once nothing but liveness goes on any more.
fn settled(cluster: &Cluster) -> Vec<Metrics> {
    let work = |name: &str| name.starts_with("caudal_log_") || name.contains("kind=\"append\"");
    let look = || cluster.nodes().map(|node| Metrics::of(cluster, node)).collect::<Vec<_>>();
    let mut last = look();
    until_some(SOON, "quiet", || {
        let now = look();
        let quiet = now.iter().zip(&last).all(|(now, last)| now.since(last, work).values().all(|grown| *grown == 0.0));
        last = now;
        quiet.then(|| last.clone())
    })
}

/// What all the cluster's counters whose name begins so grew by, per batch.
fn per_batch(before: &[Metrics], after: &[Metrics], name: &str) -> f64 {
    let grown = after.iter().zip(before).map(|(after, before)| after.since(before, |found| found.starts_with(name)));
    grown.map(|grown| grown.values().sum::<f64>()).sum::<f64>() / f64::from(BATCHES)
}

fn print(node: &str, before: &Metrics, after: &Metrics) {
    println!("{node}, per batch:");
    let shown = |name: &str| name.starts_with("caudal_log_") || name.starts_with("caudal_peer_messages");
    for (name, grown) in after.since(before, shown).into_iter().filter(|(_, grown)| *grown > 0.0) {
        println!("  {:8.3}  {name}", grown / f64::from(BATCHES));
    }
}

#[test]
fn a_batch_costs_each_node_an_fsync_and_each_follower_a_message() {
    let cluster = Cluster::start(3, &[]);
    cluster.must(&["topic", "create", "costs", "--partitions", "1", "--replication-factor", "3"]);
    let leader = leader(&cluster);
    let mut client = Raw::connect(cluster.address(leader));
    let record = batch(b"a record");
    let mut produce = |count: u32| {
        for _ in 0..count {
            assert_eq!(client.produce("costs", record.clone()).0, 0);
        }
    };
    produce(20);
    let before = settled(&cluster);
    produce(BATCHES);
    let after = settled(&cluster);

    for ((node, after), before) in cluster.nodes().zip(&after).zip(&before) {
        print(&format!("node {node}{}", if node == leader { " (leader)" } else { "" }), before, after);
        let own = |name| per_batch(std::slice::from_ref(before), std::slice::from_ref(after), name);
        assert_at_most("appends of a node", own("caudal_log_appends_total"), 1.0);
        assert_at_most("fsyncs of a node", own("caudal_log_syncs_total"), 1.0);
        let overhead = own("caudal_log_written_bytes_total") - record.len() as f64;
        assert_at_most("bytes written beside the batch", overhead, 80.0);
    }
    let sent = |kind| per_batch(&before, &after, &format!("caudal_peer_messages_sent_total{{kind=\"{kind}\""));
    // To each of two followers the entry, which takes along that the one before is committed, and its answer. Where the machine lets more than
    // COMMIT_WITHIN pass between two batches, that is a message of its own; one per batch would make eight.
    assert_at_most("appends and their answers", sent("append"), 5.0);
    for kind in ["call", "vote", "transfer_leader", "heartbeats", "snapshot", "canvass", "refusal"] {
        assert_at_most(kind, sent(kind), 0.0);
    }
}

/// Allows for what else a cluster does now and then.
fn assert_at_most(what: &str, per_batch: f64, bound: f64) {
    assert!(per_batch <= bound + 0.05, "{what}: {per_batch} per batch, where {bound} are enough");
}
