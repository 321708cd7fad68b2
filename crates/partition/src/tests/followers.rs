//! Reading from replicas that do not lead (KIP-392).

use std::sync::Arc;

use caudal_storage::MemEngine;
use caudal_types::{NodeId, Offset};

use crate::testing::{BatchSpec, DEADLINE, TestNode, advance, append, batches, from, topic_config};
use crate::{Partition, ReadError, ReadRequest};

/// What a client asks that may read anywhere.
fn anywhere(offset: Offset) -> ReadRequest {
    ReadRequest { leader_only: false, ..from(offset) }
}

async fn reaches(partition: &Partition, log_start: Offset, high_watermark: Offset) {
    let mut offsets = partition.offsets();
    let reached =
        offsets.wait_for(|offsets| offsets.log_start == log_start && offsets.high_watermark == high_watermark);
    tokio::time::timeout(DEADLINE, reached).await.expect("the replica does not catch up").unwrap();
}

/// Waits until the leader would send readers at `offset` to these nodes.
async fn names(leader: &Partition, offset: Offset, nodes: &[u32]) {
    let named = async {
        loop {
            let mut named: Vec<_> = leader.followers_at(offset).iter().map(|(node, _)| node.0).collect();
            named.sort_unstable();
            if named == nodes {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, named).await.expect("other followers are named");
}

async fn three() -> (Vec<(TestNode, Arc<MemEngine>)>, Vec<Arc<Partition>>) {
    let nodes = TestNode::start_many(3).await;
    let everyone: Vec<_> = (1..=3).map(NodeId).collect();
    let mut partitions = Vec::new();
    for (node, _) in &nodes {
        partitions.push(node.replica(&everyone, topic_config()).await);
    }
    nodes[0].0.serves(&partitions[0]).await;
    (nodes, partitions)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_serves_what_it_has_applied() {
    let (nodes, partitions) = three().await;
    let [leader, follower, _] = &partitions[..] else { panic!("three replicas") };
    for _ in 0..20 {
        append(leader, &BatchSpec::plain(2)).await.unwrap();
    }
    advance(leader, 10).await;
    for partition in &partitions {
        reaches(partition, 10, 40).await;
    }
    let read = follower.read(anywhere(13)).await.unwrap();
    assert_eq!(batches(&read), batches(&leader.read(from(13)).await.unwrap()));
    assert_eq!(read.offsets, *leader.offsets().borrow());
    assert!(follower.read(anywhere(40)).await.unwrap().is_empty());

    assert!(matches!(follower.read(from(13)).await, Err(ReadError::NotLeader { leader: Some(NodeId(1)) })));
    assert!(matches!(follower.read(anywhere(9)).await, Err(ReadError::OutOfRange { start: 10, end: 40, .. })));
    assert!(matches!(follower.read(anywhere(41)).await, Err(ReadError::NotYet { offset: 41, end: 40 })));
    assert!(matches!(leader.read(anywhere(41)).await, Err(ReadError::OutOfRange { start: 10, end: 40, .. })));
    let epoch = i32::try_from(leader.leadership().borrow().term).unwrap();
    let believing = |epoch| ReadRequest { current_leader_epoch: epoch, ..anywhere(13) };
    assert_eq!(follower.read(believing(epoch)).await.unwrap().len(), read.len());
    assert!(matches!(follower.read(believing(epoch + 1)).await, Err(ReadError::UnknownEpoch { .. })));
    assert!(matches!(follower.offsets_in(epoch + 1), Err(ReadError::UnknownEpoch { .. })));
    assert_eq!(follower.offsets_in(epoch).unwrap(), read.offsets);

    leader.raft.transfer_leadership(NodeId(3)).await.unwrap();
    nodes[2].0.serves(&partitions[2]).await;
    let mut leadership = follower.leadership();
    let newer = leadership.wait_for(|now| now.term > u64::from(epoch.unsigned_abs()));
    tokio::time::timeout(DEADLINE, newer).await.unwrap().unwrap();
    assert!(matches!(follower.read(believing(epoch)).await, Err(ReadError::FencedEpoch { .. })));
    drop(partitions);
    for (node, _) in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_names_the_followers_that_have_what_is_asked_for() {
    let (mut nodes, partitions) = three().await;
    let [leader, follower, _] = &partitions[..] else { panic!("three replicas") };
    for _ in 0..20 {
        append(leader, &BatchSpec::plain(2)).await.unwrap();
    }
    names(leader, 40, &[2, 3]).await;
    assert!(leader.followers_at(41).is_empty() && leader.followers_at(-1).is_empty());
    assert!(follower.followers_at(3).is_empty(), "it does not lead");

    // What comes while a follower is away it does not have.
    let (third, _) = nodes.pop().unwrap();
    third.parts.groups.close(TestNode::GROUP).await;
    append(leader, &BatchSpec::plain(2)).await.unwrap();
    names(leader, 42, &[2]).await;
    assert_eq!(leader.followers_at(40).len(), 2, "what came before it has");
    third.stop().await;
    names(leader, 3, &[2]).await;
    drop(partitions);
    for (node, _) in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_cut_off_sends_its_readers_away() {
    let (mut nodes, mut partitions) = three().await;
    append(&partitions[0], &BatchSpec::plain(2)).await.unwrap();
    let last = partitions.pop().unwrap();
    reaches(&last, 0, 2).await;
    let (third, _) = nodes.pop().unwrap();
    drop(partitions);
    for (node, _) in nodes {
        node.stop().await;
    }
    let cut_off = async {
        while last.read(anywhere(2)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, cut_off).await.expect("it notices");
    assert!(matches!(last.read(anywhere(2)).await, Err(ReadError::CutOff)));
    assert_eq!(batches(&last.read(anywhere(0)).await.unwrap()).len(), 1, "what it has it serves");
    drop(last);
    third.stop().await;
}
