//! What travels between nodes.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use openraft::RaftLogReader;
use openraft::raft::AppendEntriesRequest;

use crate::GroupOptions;
use crate::log::reader::LogReader;
use crate::net::append::Appender;
use crate::net::heartbeats::WINDOW;
use crate::tests::support::{Cluster, ON_REQUEST, eventually, members, soon, text};
use crate::types::{Vote, raft_id};
use crate::wire::Lane;

#[tokio::test(flavor = "multi_thread")]
async fn groups_at_rest_send_nothing() {
    let cluster = Cluster::start(3).await;
    for group in 0..100u64 {
        cluster.open(group, &members([1, 2, 3]), ON_REQUEST).await;
    }
    for group in 0..100 {
        cluster.leader(group).await;
        cluster.propose(group, text(1)).await.unwrap();
        cluster.agreed(group, 1).await;
    }
    let sent = || {
        let nodes = cluster.nodes.values();
        let routes = nodes.flat_map(|node| node.groups.shared.routes.values());
        routes.map(|route| (route.peer.lane(Lane::Append).requests(), route.heartbeats.counts().1)).collect::<Vec<_>>()
    };
    let before = sent();
    let rounds = || cluster.node(1).transport.peer(caudal_types::NodeId(2)).unwrap().lane(Lane::Control).requests();
    let pings = rounds();
    eventually("a hundred pings were sent", || rounds() > pings + 100).await;
    assert_eq!(sent(), before);
    for group in 0..100 {
        cluster.propose(group, text(2)).await.unwrap();
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn word_of_a_commit_goes_along_with_the_next_entry() {
    const ENTRIES: u64 = 100;
    let cluster = Cluster::start(3).await;
    let options = GroupOptions { commit_within: Duration::from_secs(1), ..ON_REQUEST };
    cluster.open(1, &members([1, 2, 3]), options).await;
    cluster.leader(1).await;
    cluster.propose(1, text(0)).await.unwrap();
    cluster.agreed(1, 1).await;
    let before = appends(&cluster);
    for _ in 0..ENTRIES {
        cluster.propose(1, text(1)).await.unwrap();
    }
    // Two followers. A message of its own for each word would make twice as many; some are sent where the machine halts for a second.
    let sent = appends(&cluster) - before;
    assert!(sent < 3 * ENTRIES, "{sent} messages for {ENTRIES} entries");
    cluster.agreed(1, 1 + ENTRIES as usize).await;
    cluster.stop().await;
}

/// How many requests to append all nodes have sent.
fn appends(cluster: &Cluster) -> u64 {
    let routes = cluster.nodes.values().flat_map(|node| node.groups.shared.routes.values());
    routes.map(|route| route.peer.lane(Lane::Append).requests()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_does_not_wait_for_the_company_of_heartbeats() {
    let cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    let group = cluster.replica(1, 1);
    let began = std::time::Instant::now();
    for _ in 0..100 {
        soon(group.read_barrier()).await.unwrap();
    }
    println!("a hundred read barriers took {:?}", began.elapsed());
    assert!(began.elapsed() < WINDOW * 100, "a hundred read barriers took {:?}", began.elapsed());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_appends_ends_when_its_input_has_ended() {
    let cluster = Cluster::start(2).await;
    cluster.open(1, &members([1, 2]), ON_REQUEST).await;
    cluster.leader(1).await;
    cluster.propose(1, text(1)).await.unwrap();
    let term = cluster.replica(1, 1).leadership().borrow().term;
    let peer = cluster.node(1).transport.peer(caudal_types::NodeId(2));
    let appender = Appender { group: 1, me: 1, target: 2, commit_within: Duration::ZERO, spares: Arc::default(), peer };
    let last = cluster.replica(2, 1).log.last();
    let probe = move |prev| AppendEntriesRequest {
        vote: Vote::new_committed(term, raft_id(caudal_types::NodeId(1))),
        prev_log_id: prev,
        entries: Vec::new(),
        leader_commit: None,
    };
    let ttl = Duration::from_secs(1);
    let answers = appender.clone().stream(stream::iter((0..200).map(move |_| probe(last))).boxed(), ttl);
    let answers: Vec<_> = soon(answers.collect()).await;
    assert_eq!(answers.len(), 200);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(matched)) if *matched == last)));
    let empty: Vec<_> = soon(appender.clone().stream(stream::empty().boxed(), ttl).collect()).await;
    assert!(empty.is_empty());
    let missing = Some(crate::types::log_id(term, 1 << 40));
    let conflict: Vec<_> =
        soon(appender.clone().stream(stream::iter([probe(missing), probe(last)]).boxed(), ttl).collect()).await;
    assert_eq!(conflict.len(), 1, "a conflict ends the stream: {conflict:?}");
    let elsewhere = Appender { group: 99, ..appender };
    let unknown: Vec<_> = soon(elsewhere.stream(stream::iter([probe(last)]).boxed(), ttl).collect()).await;
    assert!(matches!(unknown[..], [Err(_)]), "{unknown:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_entries_reach_a_follower_that_was_away() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(1, &members([1, 2, 3]), ON_REQUEST).await;
    cluster.leader(1).await;
    cluster.propose(1, text(0)).await.unwrap();
    cluster.crash(3).await;
    let group = cluster.replica(1, 1);
    let sends: Vec<_> = (0..40u8).map(|byte| bytes::Bytes::from(vec![byte; 900_000])).collect();
    for command in &sends {
        soon(group.propose(command.clone())).await.unwrap();
    }
    cluster.start_node(3).await;
    cluster.open_on(3, 1, &members([1, 2, 3]), ON_REQUEST).await;
    let agreed = cluster.agreed(1, 41).await;
    assert_eq!(agreed[1..], sends[..]);
    drop(Arc::clone(&group));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_jumps_reads_little_and_one_that_goes_on_reads_more() {
    let cluster = Cluster::start(1).await;
    cluster.open(1, &members([1]), ON_REQUEST).await;
    cluster.leader(1).await;
    for byte in 0..60u8 {
        cluster.propose(1, vec![byte; 8_000]).await.unwrap();
    }
    let log = cluster.replica(1, 1).log.clone();
    let mut reader = LogReader::new(log);
    let mut read = async |from: u64| reader.limited_get_log_entries(from, 60).await.unwrap().len();
    assert_eq!(read(30).await, 3, "a search carries no more than what a question needs");
    assert_eq!(read(33).await, 9, "who goes on from there gets four times as much");
    assert_eq!(read(42).await, 18, "and more, up to what there is");
    assert_eq!(read(10).await, 3);
    cluster.stop().await;
}
