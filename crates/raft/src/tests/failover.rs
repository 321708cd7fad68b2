//! Leaders that are lost, and leaderships that move.

use std::time::{Duration, Instant};

use caudal_types::NodeId;
use futures::future::join_all;

use crate::ProposeError;
use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, soon, text};

/// How often a time is taken: on a busy machine a single one says little.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_lost_another_serves_within_the_second() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    let (mut best, mut commands) = (Duration::MAX, Vec::new());
    for round in 0..ROUNDS {
        eventually("the preferred leader leads", || cluster.replica(1, 1).leadership().borrow().serving).await;
        for number in 0..10 {
            commands.push(text(round * 100 + number));
            cluster.propose(1, text(round * 100 + number)).await.unwrap();
        }
        cluster.crash(1).await;
        let began = Instant::now();
        commands.push(text(round * 100 + 10));
        cluster.propose(1, text(round * 100 + 10)).await.unwrap();
        println!("served again after {:?}", began.elapsed());
        best = best.min(began.elapsed());
        cluster.start_node(1).await;
        cluster.open_on(1, 1, &members([1, 2, 3]), ON_REQUEST).await;
        assert_eq!(cluster.agreed(1, commands.len()).await, commands);
    }
    assert!(best < Duration::from_secs(1), "it took {best:?} at best");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_groups_fail_over_within_the_second() {
    let mut cluster = Cluster::start(3).await;
    for group in 0..200u64 {
        cluster.open(group, &members([1, 2, 3]), ON_REQUEST).await;
    }
    for group in 0..200 {
        assert_eq!(cluster.leader(group).await, 1);
    }
    cluster.crash(1).await;
    let began = Instant::now();
    for group in 0..200 {
        assert_ne!(cluster.leader(group).await, 1);
    }
    println!("200 groups failed over in {:?}", began.elapsed());
    let led = |node: u32| {
        let all = cluster.node(node).groups.all();
        all.iter().filter(|group| group.leadership().borrow().leader == Some(NodeId(node))).count()
    };
    assert!(led(2) >= 20 && led(3) >= 20, "node 2 leads {}, node 3 leads {}", led(2), led(3));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_answer_is_replaced() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    // The process lives on, but answers nobody: what SIGSTOP or a cut cable looks like to the others.
    cluster.node(1).transport.shutdown().await;
    let began = Instant::now();
    let other = cluster.replica(2, 1);
    let mut leadership = other.leadership();
    soon(leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != NodeId(1)))).await.unwrap();
    println!("replaced after {:?}", began.elapsed());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_hangs_is_replaced() {
    let cluster = Cluster::start(3).await;
    for group in 0..30u64 {
        cluster.open(group, &members([1, 2, 3]), ON_REQUEST).await;
    }
    for group in 0..30 {
        assert_eq!(cluster.leader(group).await, 1);
    }
    cluster.node(1).engine.hang_writes(true);
    let began = Instant::now();
    // One write shows that the disk hangs; the groups that are at rest move as well.
    let hanging = cluster.replica(1, 0).enqueue(text(0)).await.unwrap();
    for group in 0..30 {
        let mut leadership = cluster.replica(2, group).leadership();
        soon(leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != NodeId(1)))).await.unwrap();
        cluster.propose_elsewhere(1, group, text(1)).await;
    }
    println!("replaced after {:?}", began.elapsed());
    cluster.node(1).engine.hang_writes(false);
    eventually("the node is fit again", || cluster.node(2).transport.liveness().is_alive(NodeId(1))).await;
    // The others may have committed what it had sent them, or not.
    let _ = soon(hanging).await;
    for group in 0..30 {
        assert!(cluster.agreed(group, 1).await.contains(&text(1)));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_quickly() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    cluster.propose(1, text(0)).await.unwrap();
    let began = Instant::now();
    soon(cluster.replica(1, 1).transfer_leadership(NodeId(3))).await.unwrap();
    println!("handed over in {:?}", began.elapsed());
    cluster.propose(1, text(1)).await.unwrap();
    assert_eq!(cluster.agreed(1, 2).await.len(), 2);
    cluster.stop().await;
}

/// Several at once would each ask heirs of their own, and nobody would stay in office.
#[tokio::test(flavor = "multi_thread")]
async fn a_leadership_is_handed_over_once_however_many_ask_for_it() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 1);
    let leader = cluster.replica(1, 1);
    let asked = join_all([2, 3, 2, 3].map(|to| leader.transfer_leadership(NodeId(to))));
    let outcomes = soon(asked).await;
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    assert!(outcomes[1..].iter().all(|other| matches!(other, Err(ProposeError::NotLeader { .. }))), "{outcomes:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_hands_everything_over() {
    let cluster = Cluster::start(3).await;
    for group in 0..30u64 {
        cluster.open(group, &members([1, 2, 3]), ON_REQUEST).await;
    }
    for group in 0..30 {
        cluster.leader(group).await;
    }
    let began = Instant::now();
    cluster.node(1).groups.transfer_all(Duration::from_secs(5)).await;
    println!("30 groups handed over in {:?}", began.elapsed());
    let led = || cluster.node(1).groups.all().into_iter().filter(|g| g.leadership().borrow().leader == Some(NodeId(1)));
    assert_eq!(led().count(), 0);
    // The others do not give the leaderships back, though the node is alive and preferred.
    let mut leadership = cluster.replica(1, 7).leadership();
    let given_back = leadership.wait_for(|now| now.leader == Some(NodeId(1)));
    assert!(tokio::time::timeout(Duration::from_secs(3), given_back).await.is_err());
    let began = Instant::now();
    cluster.stop().await;
    println!("stopped in {:?}", began.elapsed());
}
