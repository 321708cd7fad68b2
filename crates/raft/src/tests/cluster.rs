//! Electing, replicating, reading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_types::{NodeId, RaftGroupId};

use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, soon, text};
use crate::wire::{Lane, Request, Response, WireLogId, WireVote};
use crate::{CallError, CallHandler, ProposeError, RaftGroup, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_leads_at_once() {
    let cluster = Cluster::start(1).await;
    let began = Instant::now();
    let group = cluster.open_on(1, 1, &members([1]), ON_REQUEST).await;
    let mut leadership = group.leadership();
    soon(leadership.wait_for(|now| now.serving)).await.unwrap();
    println!("a single node leads after {:?}", began.elapsed());
    let applied = group.propose(Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(applied.reply, "cba");
    group.read_barrier().await.unwrap();
    assert_eq!(cluster.commands(1, 1), ["abc"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_voter_leads_and_all_apply_the_same() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([2, 3, 1]), ON_REQUEST).await;
    assert_eq!(cluster.leader(1).await, 2);
    for number in 0..50 {
        cluster.propose(1, text(number)).await.unwrap();
    }
    let agreed = cluster.agreed(1, 50).await;
    assert_eq!(agreed, (0..50).map(text).collect::<Vec<_>>());
    let leader = cluster.replica(2, 1);
    assert_eq!(leader.status().members, members([2, 3, 1]));
    soon(leader.read_barrier()).await.unwrap();
    let error = cluster.replica(1, 1).read_barrier().await.unwrap_err();
    assert!(matches!(error, ProposeError::NotLeader { leader: Some(NodeId(2)) }), "{error}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_groups_are_led_evenly() {
    let cluster = Cluster::start(3).await;
    let began = Instant::now();
    let orders = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    for group in 0..300u64 {
        cluster.open(group, &members(orders[(group % 3) as usize]), ON_REQUEST).await;
    }
    for group in 0..300 {
        cluster.leader(group).await;
    }
    println!("300 groups opened and led after {:?}", began.elapsed());
    for (node, running) in &cluster.nodes {
        let leads = |group: &Arc<RaftGroup>| group.leadership().borrow().leader == Some(*node);
        eventually("each node leads a third", || {
            running.groups.all().iter().filter(|group| leads(group)).count() == 100
        })
        .await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_gets_a_leader_though_its_first_voter_is_down() {
    let mut cluster = Cluster::of(3);
    cluster.start_node(2).await;
    cluster.start_node(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_ne!(cluster.leader(1).await, 1);
    cluster.propose(1, text(1)).await.unwrap();
    cluster.start_node(1).await;
    cluster.open_on(1, 1, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.agreed(1, 1).await, [text(1)]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_gets_a_leader_though_its_first_voter_died_when_it_was_elected() {
    let mut cluster = Cluster::start(3).await;
    cluster.open_on(2, 1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.open_on(3, 1, &members([1, 2, 3]), ON_REQUEST).await;
    // What node 1 would ask if it had the group open; then it is gone, before its first entry.
    let vote = WireVote { term: 1, node: 1, committed: false };
    let last = Some(WireLogId { term: 0, index: 0 });
    let request = Request::Vote { group: 1, vote, last, transfer: false };
    for node in [2, 3] {
        let peer = cluster.node(1).transport.peer(NodeId(node)).unwrap();
        let (answer, _) = peer.lane(Lane::Control).request(&request, Vec::new()).await.unwrap().await.unwrap();
        assert!(matches!(answer, Response::Vote { granted: true, .. }), "{answer:?}");
    }
    cluster.crash(1).await;
    assert_ne!(cluster.leader(1).await, 1);
    cluster.propose(1, text(1)).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_read_from_the_cache_and_from_the_disk() {
    let cluster = Cluster::start(1).await;
    let group = cluster.open_on(1, 1, &members([1]), ON_REQUEST).await;
    let mut last = 0;
    for number in 0..100 {
        last = cluster.propose(1, text(number)).await.unwrap();
    }
    let cached = group.read_cached(last - 9, last + 50, usize::MAX).unwrap();
    let commands: Vec<_> = cached.iter().map(|entry| entry.payload.clone()).collect();
    assert_eq!(commands, (90..100).map(text).collect::<Vec<_>>());
    let bounded = group.read_cached(last - 9, last + 1, 15).unwrap();
    assert_eq!(bounded.len(), 2, "whole entries, up to the one that brings them to the limit");
    cluster.node(1).groups.close(RaftGroupId(1)).await;
    let group = cluster.open_on(1, 1, &members([1]), ON_REQUEST).await;
    assert!(group.read_cached(last - 9, last + 1, usize::MAX).is_none(), "a fresh cache is empty");
    let read = tokio::task::spawn_blocking(move || group.read(last - 9, last + 1, usize::MAX)).await.unwrap().unwrap();
    assert_eq!(read.iter().map(|entry| entry.payload.clone()).collect::<Vec<_>>(), commands);
    cluster.stop().await;
}

struct Echo;

impl CallHandler for Echo {
    fn call(
        &self,
        from: NodeId,
        body: Bytes,
    ) -> std::pin::Pin<Box<dyn std::future::Future<Output = Bytes> + Send + '_>> {
        Box::pin(async move { [Bytes::from(from.to_string()), body].concat().into() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_or_fail_for_a_reason() {
    let mut cluster = Cluster::start(3).await;
    cluster.node(2).transport.serve(Service::Controller, Arc::new(Echo));
    let caller = cluster.node(1).transport.clone();
    let within = Duration::from_secs(5);
    let call =
        |node, service, body: &'static [u8]| caller.call(NodeId(node), service, Bytes::from_static(body), within);
    assert_eq!(call(2, Service::Controller, b"!").await.unwrap(), "1!");
    let large = Bytes::from(vec![7; 3 << 20]);
    let echoed = caller.call(NodeId(2), Service::Controller, large.clone(), within).await.unwrap();
    assert_eq!(echoed.slice(1..), large);
    assert!(matches!(call(2, Service::Leaders, b"").await, Err(CallError::NotServed(NodeId(2)))));
    assert!(matches!(call(3, Service::Controller, b"").await, Err(CallError::NotServed(NodeId(3)))));
    assert!(matches!(call(9, Service::Controller, b"").await, Err(CallError::Unreachable(NodeId(9)))));
    cluster.node(1).transport.serve(Service::Leaders, Arc::new(Echo));
    assert_eq!(call(1, Service::Leaders, b"self").await.unwrap(), "1self");
    cluster.crash(3).await;
    let liveness = caller.liveness();
    eventually("the node is suspect", || !liveness.is_alive(NodeId(3))).await;
    assert!(matches!(call(3, Service::Controller, b"").await, Err(CallError::Unreachable(NodeId(3)))));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_refused() {
    let mut cluster = Cluster::of(2);
    cluster.start_node(1).await;
    cluster.cluster_id = "another".to_owned();
    cluster.start_node(2).await;
    let call = cluster.node(1).transport.call(NodeId(2), Service::Controller, Bytes::new(), Duration::from_millis(300));
    assert!(matches!(call.await, Err(CallError::Unreachable(_))));
    assert!(!cluster.node(1).transport.liveness().is_alive(NodeId(2)));
    assert!(!cluster.node(2).transport.liveness().is_alive(NodeId(1)));
    cluster.stop().await;
}
