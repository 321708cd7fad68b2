//! Nodes that come back without their data.

use std::sync::Arc;

use caudal_storage::MemEngine;
use caudal_types::{NodeId, RaftGroupId};

use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, soon, text};
use crate::wire::{Lane, Request, Response, WireLogId, WireVote};

const METADATA: u64 = RaftGroupId::METADATA.0;

fn lose_disk(cluster: &mut Cluster, node: u32) {
    cluster.engines.insert(NodeId(node), Arc::new(MemEngine::new()));
}

/// Starts a node, and opens the metadata group on it.
async fn start(cluster: &mut Cluster, node: u32) {
    cluster.start_node(node).await;
    cluster.open_on(node, METADATA, &members([1, 2, 3]), ON_REQUEST).await;
}

async fn ask(cluster: &Cluster, from: u32, to: u32, request: Request) -> Response {
    let peer = cluster.node(from).transport.peer(NodeId(to)).unwrap();
    soon(peer.lane(Lane::Control).request(&request, Vec::new())).await.unwrap().await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_its_disk_does_not_help_to_undo_what_it_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(METADATA, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(METADATA).await, 1);
    cluster.crash(2).await;
    for number in 0..20 {
        cluster.propose(METADATA, text(number)).await.unwrap();
    }
    // Nodes 1 and 3 have it all; of these only 1 keeps it.
    cluster.crash(3).await;
    cluster.crash(1).await;
    lose_disk(&mut cluster, 3);
    cluster.start_node(2).await;
    cluster.open_on(2, METADATA, &members([1, 2, 3]), ON_REQUEST).await;
    start(&mut cluster, 3).await;
    cluster.all_see_each_other().await;
    assert!(cluster.replica(3, METADATA).status().doubtful);
    let last = Some(WireLogId { term: 90, index: 1000 });
    let vote = WireVote { term: 99, node: 2, committed: false };
    let vote = Request::Vote { group: METADATA, vote, last, transfer: true };
    assert!(matches!(ask(&cluster, 2, 3, vote).await, Response::Vote { granted: false, .. }));
    let canvass = Request::Canvass { group: METADATA, last };
    assert_eq!(ask(&cluster, 2, 3, canvass).await, Response::Canvass { granted: false });
    let recalled = ask(&cluster, 2, 3, Request::Recall { group: METADATA }).await;
    assert!(matches!(recalled, Response::RecallDoubtful { lost: true, .. }), "{recalled:?}");

    start(&mut cluster, 1).await;
    let replica = cluster.replica(3, METADATA);
    soon(replica.caught_up()).await.unwrap();
    assert_eq!(cluster.agreed(METADATA, 20).await, (0..20).map(text).collect::<Vec<_>>());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_its_disk_catches_up_and_votes_again() {
    let mut cluster = Cluster::start(3).await;
    let (old, new) = (1, 2);
    for group in [METADATA, old] {
        cluster.open(group, &members([1, 2, 3]), ON_REQUEST).await;
        assert_eq!(cluster.leader(group).await, 1);
    }
    for number in 0..50 {
        cluster.propose(old, text(number)).await.unwrap();
    }
    cluster.crash(3).await;
    lose_disk(&mut cluster, 3);
    start(&mut cluster, 3).await;
    let groups = cluster.node(3).groups.clone();
    assert!(groups.has_forgotten());
    let voters = members([1, 2, 3]);
    let opening = cluster.open_on(3, old, &voters, ON_REQUEST);
    let remembering = async {
        soon(cluster.replica(3, METADATA).caught_up()).await.unwrap();
        groups.remember(RaftGroupId(new)).await.unwrap();
    };
    let (replica, ()) = tokio::join!(opening, remembering);
    soon(replica.caught_up()).await.unwrap();
    assert_eq!(cluster.agreed(old, 50).await.len(), 50);
    // A group that is made later is not doubted, though the node restarts.
    cluster.crash(3).await;
    start(&mut cluster, 3).await;
    cluster.open_on(3, old, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.open(new, &members([3, 1, 2]), ON_REQUEST).await;
    assert_eq!(cluster.leader(new).await, 3);
    // It counts for a majority.
    cluster.crash(1).await;
    assert_ne!(cluster.leader(old).await, 1);
    cluster.propose(old, text(50)).await.unwrap();
    assert_eq!(cluster.agreed(old, 51).await, (0..51).map(text).collect::<Vec<_>>());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_goes_on_with_a_follower_whose_log_is_gone() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(METADATA, &members([1, 2, 3]), ON_REQUEST).await;
    assert_eq!(cluster.leader(METADATA).await, 1);
    for round in 0..3 {
        for number in 0..10 {
            cluster.propose(METADATA, text(round * 10 + number)).await.unwrap();
        }
        cluster.crash(2).await;
        lose_disk(&mut cluster, 2);
        start(&mut cluster, 2).await;
        soon(cluster.replica(2, METADATA).caught_up()).await.unwrap();
        let commands = || cluster.commands(2, METADATA).len();
        eventually("the lost follower has all again", || commands() == 10 * (round + 1)).await;
    }
    cluster.stop().await;
}
