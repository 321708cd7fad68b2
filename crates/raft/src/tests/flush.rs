//! Raft groups whose log is synced later than its entries are acknowledged.

use std::time::Duration;

use bytes::Bytes;

use crate::FlushPolicy;
use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, soon, text};

const GROUP: u64 = 1;
const LONG: Duration = Duration::from_secs(3600);
/// A command that does not wait.
const URGENT: &str = "urgent";

fn policy(records: u64, within: Duration) -> Option<FlushPolicy> {
    fn one(command: &Bytes) -> Option<u64> {
        (command != URGENT).then_some(1)
    }
    Some(FlushPolicy { records, within, count: one })
}

/// Opens the group on a node, relaxed.
async fn open_on(cluster: &Cluster, node: u32) {
    let group = cluster.open_on(node, GROUP, &members([1, 2, 3]), ON_REQUEST).await;
    group.set_flush(policy(u64::MAX, LONG)).await.unwrap();
}

async fn relaxed_cluster() -> Cluster {
    let cluster = Cluster::start(3).await;
    for node in 1..=3 {
        open_on(&cluster, node).await;
    }
    cluster.leader(GROUP).await;
    cluster
}

async fn propose(cluster: &Cluster, numbers: std::ops::Range<usize>) {
    for number in numbers {
        cluster.propose(GROUP, text(number)).await.unwrap();
    }
}

async fn start(cluster: &mut Cluster, node: u32) {
    cluster.start_node(node).await;
    open_on(cluster, node).await;
}

fn texts(count: usize) -> Vec<Bytes> {
    (0..count).map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_acknowledged_unsynced_and_synced_within_their_bounds() {
    let cluster = relaxed_cluster().await;
    let syncs = |cluster: &Cluster| cluster.nodes.values().map(|node| node.writer.stats().syncs).sum::<u64>();
    let unflushed = |node| cluster.replica(node, GROUP).unflushed();
    propose(&cluster, 0..1).await;
    eventually("all have written it, and what the election wrote before", || {
        (1..=3).all(|node| unflushed(node).records == 1)
    })
    .await;
    let before = syncs(&cluster);
    propose(&cluster, 1..20).await;
    eventually("all have written it", || (1..=3).all(|node| unflushed(node).records == 20)).await;
    assert_eq!(syncs(&cluster), before);
    assert!(unflushed(1).relaxed && unflushed(1).bytes > 0);

    // One that does not wait takes all others along.
    cluster.propose(GROUP, URGENT).await.unwrap();
    eventually("all have synced it", || (1..=3).all(|node| unflushed(node).records == 0)).await;
    propose(&cluster, 20..21).await;

    // By time.
    for node in 1..=3 {
        cluster.replica(node, GROUP).set_flush(policy(u64::MAX, Duration::from_millis(50))).await.unwrap();
    }
    propose(&cluster, 21..22).await;
    eventually("all have synced it", || (1..=3).all(|node| unflushed(node).records == 0)).await;
    assert_eq!(unflushed(1).oldest, Duration::ZERO);

    // By number.
    for node in 1..=3 {
        cluster.replica(node, GROUP).set_flush(policy(5, LONG)).await.unwrap();
    }
    for number in 22..60 {
        propose(&cluster, number..number + 1).await;
        assert!((1..=3).all(|node| unflushed(node).records < 5));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_relaxed_no_more_syncs_before_it_acknowledges() {
    let cluster = relaxed_cluster().await;
    propose(&cluster, 0..20).await;
    for node in 1..=3 {
        let group = cluster.replica(node, GROUP);
        group.set_flush(None).await.unwrap();
        assert_eq!((group.unflushed().records, group.unflushed().relaxed), (0, false));
    }
    let mut cluster = cluster;
    propose(&cluster, 20..40).await;
    for node in 1..=3 {
        cluster.crash(node).await;
    }
    cluster.start_all().await;
    cluster.open(GROUP, &members([1, 2, 3]), ON_REQUEST).await;
    assert!((1..=3).all(|node| !cluster.replica(node, GROUP).status().doubtful), "there is nothing to doubt");
    assert_eq!(cluster.agreed(GROUP, 40).await, texts(40));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_all_processes_loses_nothing() {
    let mut cluster = relaxed_cluster().await;
    for round in 0..3 {
        propose(&cluster, round * 20..(round + 1) * 20).await;
        for node in 1..=3 {
            cluster.kill(node).await;
        }
        for node in 1..=3 {
            start(&mut cluster, node).await;
            assert!(!cluster.replica(node, GROUP).status().doubtful);
        }
        assert_eq!(cluster.agreed(GROUP, (round + 1) * 20).await, texts((round + 1) * 20));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_its_power_does_not_help_to_undo_what_another_has() {
    let mut cluster = relaxed_cluster().await;
    cluster.crash(2).await;
    propose(&cluster, 0..20).await;
    // Nodes 1 and 3 have it all; of these only 1 keeps it, and is not there at first.
    cluster.crash(3).await;
    cluster.kill(1).await;
    start(&mut cluster, 2).await;
    start(&mut cluster, 3).await;
    assert!(cluster.replica(3, GROUP).status().doubtful);
    start(&mut cluster, 1).await;
    for node in 2..=3 {
        soon(cluster.replica(node, GROUP).caught_up()).await.unwrap();
    }
    assert_eq!(cluster.agreed(GROUP, 20).await, texts(20));
    propose(&cluster, 20..21).await;
    assert_eq!(cluster.agreed(GROUP, 21).await, texts(21));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_lost_their_power_what_any_has_kept_is_kept() {
    for keeper in 1..=3 {
        let mut cluster = relaxed_cluster().await;
        propose(&cluster, 0..20).await;
        eventually("all have it", || (1..=3).all(|node| cluster.commands(node, GROUP).len() == 20)).await;
        for node in 1..=3 {
            cluster.crash_keeping(node, if node == keeper { usize::MAX } else { 0 }).await;
        }
        // The one that has kept it comes last.
        for node in (1..=3).filter(|node| *node != keeper).chain([keeper]) {
            start(&mut cluster, node).await;
        }
        assert_eq!(cluster.agreed(GROUP, 20).await, texts(20), "node {keeper} has kept it");
        propose(&cluster, 20..25).await;
        assert_eq!(cluster.agreed(GROUP, 25).await, texts(25));
        for node in 1..=3 {
            soon(cluster.replica(node, GROUP).caught_up()).await.unwrap();
        }
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost_disk_and_one_power_cut_do_not_wait_for_each_other() {
    let mut cluster = relaxed_cluster().await;
    propose(&cluster, 0..20).await;
    eventually("all have it", || (1..=3).all(|node| cluster.commands(node, GROUP).len() == 20)).await;
    let kept = cluster.kill(1).await;
    cluster.crash(2).await;
    cluster.crash(3).await;
    // As after damage to the whole disk, though its metadata is of no interest here.
    cluster.start_node(3).await;
    cluster.node(3).groups.doubt_all().await.unwrap();
    cluster.node(3).groups.remember(caudal_types::RaftGroupId(100)).await.unwrap();
    open_on(&cluster, 3).await;
    start(&mut cluster, 2).await;
    assert!((2..=3).all(|node| cluster.replica(node, GROUP).status().doubtful));
    drop(kept);
    start(&mut cluster, 1).await;
    assert_eq!(cluster.agreed(GROUP, 20).await, texts(20));
    for node in 1..=3 {
        soon(cluster.replica(node, GROUP).caught_up()).await.unwrap();
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_lost_their_power_and_all_that_was_unsynced_they_go_on() {
    let mut cluster = relaxed_cluster().await;
    propose(&cluster, 0..20).await;
    for node in 1..=3 {
        cluster.crash(node).await;
    }
    for node in 1..=3 {
        start(&mut cluster, node).await;
    }
    cluster.leader(GROUP).await;
    cluster.propose(GROUP, text(99)).await.unwrap();
    let agreed = cluster.agreed(GROUP, 1).await;
    // What is left has no gap: some first of the entries, and then what came later.
    let left = agreed.len() - 1;
    assert_eq!(agreed[..left], texts(20)[..left]);
    assert_eq!(agreed[left], text(99));
    for node in 1..=3 {
        soon(cluster.replica(node, GROUP).caught_up()).await.unwrap();
    }
    cluster.stop().await;
}
