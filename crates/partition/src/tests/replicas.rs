//! Several nodes: what one leader wrote the next one knows, and a new replica catches up from a checkpoint.

use std::sync::Arc;

use caudal_raft::Members;
use caudal_storage::{Engine, MemEngine};
use caudal_types::topic_config::TopicConfig;
use caudal_types::{NodeId, Offset};

use crate::testing::{BatchSpec, DEADLINE, TestNode, advance, append, dump, from, read_all, topic_config};
use crate::{AppendError, EpochEnd, Partition, ReadError};

async fn reaches(partition: &Partition, high_watermark: Offset) {
    let mut offsets = partition.offsets();
    let reached = offsets.wait_for(|offsets| offsets.high_watermark == high_watermark);
    tokio::time::timeout(DEADLINE, reached).await.expect("the replica does not catch up").unwrap();
}

/// Waits until a replica has applied what `leader` has: rows can only then be compared.
async fn applies_as_much_as(leader: &Partition, other: &Partition) {
    let index = *leader.raft.applied().borrow();
    let mut applied = other.raft.applied();
    let reached = applied.wait_for(|applied| *applied >= index);
    tokio::time::timeout(DEADLINE, reached).await.expect("the replica does not catch up").unwrap();
}

fn rows(engine: &Arc<MemEngine>) -> Vec<(bytes::Bytes, bytes::Bytes)> {
    let engine: &dyn Engine = engine.as_ref();
    dump(engine, TestNode::GROUP)
}

fn small_segments() -> TopicConfig {
    TopicConfig { segment_bytes: 1000, ..topic_config() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_knows_what_the_last_one_wrote() {
    let nodes = TestNode::start_many(3).await;
    let everyone: Vec<_> = (1..=3).map(NodeId).collect();
    let mut partitions = Vec::new();
    for (node, _) in &nodes {
        partitions.push(node.replica(&everyone, small_segments()).await);
    }
    let [first, second, _] = &partitions[..] else { panic!("three replicas") };
    nodes[0].0.serves(first).await;
    let mine = |sequence| BatchSpec::plain(2).from(8, 0, sequence);
    for at in 0..50 {
        assert_eq!(append(first, &mine(2 * at)).await.unwrap().base_offset, i64::from(2 * at));
    }
    let epoch = first.leadership().borrow().term as i32;
    assert!(matches!(append(second, &mine(100)).await, Err(AppendError::NotLeader { leader: Some(NodeId(1)) })));
    assert!(matches!(second.read(from(0)).await, Err(ReadError::NotLeader { leader: Some(NodeId(1)) })));

    first.raft.transfer_leadership(NodeId(2)).await.unwrap();
    nodes[1].0.serves(second).await;
    let again = append(second, &mine(98)).await.unwrap();
    assert_eq!((again.base_offset, again.duplicate), (98, true));
    assert_eq!(append(second, &mine(100)).await.unwrap().base_offset, 100);
    assert_eq!(second.epoch_end(epoch, -1).await.unwrap(), EpochEnd { epoch, end_offset: 100 });
    let newer = second.leadership().borrow().term as i32;
    let read = read_all(second, 500).await;
    assert_eq!(read.iter().map(|batch| batch.leader_epoch()).filter(|&of| of == newer).count(), 1);
    for partition in &partitions {
        reaches(partition, 102).await;
        applies_as_much_as(second, partition).await;
    }
    assert_eq!(rows(&nodes[0].1), rows(&nodes[1].1));
    assert_eq!(rows(&nodes[0].1), rows(&nodes[2].1));
    drop(partitions);
    for (node, _) in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_replica_starts_from_a_checkpoint() {
    let mut nodes = TestNode::start_many(2).await;
    let one = nodes[0].0.partition(small_segments()).await;
    one.raft.purge().await.unwrap();
    let mine = |sequence| BatchSpec::plain(1).from(8, 0, sequence);
    for sequence in 0..200 {
        append(&one, &mine(sequence)).await.unwrap();
    }
    assert_eq!(read_all(&one, 1000).await.len(), 200, "nothing was purged while all of the log is needed");
    advance(&one, 105).await;
    one.raft.purge().await.unwrap();
    for sequence in 200..220 {
        append(&one, &mine(sequence)).await.unwrap();
    }
    let oldest = one.published.view().segments[0];
    assert!(oldest.base <= 105 && oldest.end > 105, "{oldest:?}");
    let purged = one.raft.read(1, oldest.last_index, usize::MAX).unwrap_or_default();
    assert!(purged.first().is_none_or(|entry| entry.index > 1), "the log before the checkpoint is gone");

    let late = nodes[1].0.replica(&[], small_segments()).await;
    one.raft.change_members(Members { voters: vec![NodeId(1)], learners: vec![NodeId(2)] }).await.unwrap();
    reaches(&late, 220).await;
    applies_as_much_as(&one, &late).await;
    assert_eq!(*one.offsets().borrow(), *late.offsets().borrow());
    assert_eq!(rows(&nodes[0].1), rows(&nodes[1].1));
    let read = read_all(&one, 1000).await;
    assert_eq!(read[0].base_offset(), 105);
    assert_eq!(read.len(), 115);
    drop((one, late));

    // A restart after a purge finds everything again.
    let (second, _) = nodes.pop().unwrap();
    second.stop().await;
    let (first, engine) = nodes.pop().unwrap();
    first.stop().await;
    engine.crash();
    let node = TestNode::start(engine).await;
    let one = node.partition(small_segments()).await;
    assert_eq!(read_all(&one, 1000).await, read);
    assert!(append(&one, &mine(219)).await.unwrap().duplicate);
    drop(one);
    node.stop().await;
}
