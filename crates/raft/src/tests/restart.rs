//! Nodes that come back.

use crate::tests::support::{Cluster, ON_REQUEST, members, text};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_all_nodes_lose_their_power() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        for number in 0..40 {
            let command = text(round * 100 + number);
            cluster.propose(1, command.clone()).await.unwrap();
            acknowledged.push(command);
        }
        for node in 1..=3 {
            cluster.crash(node).await;
        }
        for node in 1..=3 {
            cluster.start_node(node).await;
        }
        cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
        cluster.leader(1).await;
    }
    assert_eq!(cluster.agreed(1, acknowledged.len()).await, acknowledged);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_is_never_ahead_of_its_log() {
    // What a majority has made durable may be applied before it is durable here; a crash must not find the effect without the entry.
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    for round in 0..5 {
        for number in 0..20 {
            cluster.propose(1, text(round * 100 + number)).await.unwrap();
        }
        let victim = u32::try_from(round % 3).unwrap() + 1;
        cluster.crash(victim).await;
        cluster.start_node(victim).await;
        let group = cluster.open_on(victim, 1, &members([1, 2, 3]), ON_REQUEST).await;
        assert!(group.status().applied_index <= group.status().last_log_index);
        assert_eq!(group.log.purged(), None, "the log is as long as it was");
    }
    assert_eq!(cluster.agreed(1, 100).await.len(), 100);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_does_not_disturb_the_leader() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    let term = cluster.replica(1, 1).leadership().borrow().term;
    cluster.crash(3).await;
    for number in 0..100 {
        cluster.propose(1, text(number)).await.unwrap();
    }
    cluster.start_node(3).await;
    cluster.open_on(3, 1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.agreed(1, 100).await;
    assert_eq!(cluster.replica(1, 1).leadership().borrow().term, term);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_come_back_is_replaced_by_those_who_knew_it_before_they_were_restarted() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    cluster.propose(1, text(0)).await.unwrap();
    cluster.agreed(1, 1).await;
    for node in [1, 2, 3] {
        cluster.crash(node).await;
    }
    // Their disks say that node 1 leads, and they never see it alive.
    for node in [2, 3] {
        cluster.start_node(node).await;
    }
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_ne!(cluster.leader(1).await, 1);
    cluster.propose(1, text(1)).await.unwrap();
    assert_eq!(cluster.agreed(1, 2).await, [text(0), text(1)]);
    cluster.stop().await;
}
