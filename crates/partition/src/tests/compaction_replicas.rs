//! Log compaction on several replicas: each cleans for itself, and all end with the same log.

use bytes::Bytes;
use caudal_protocol::batch::{BatchBuilder, Codec, Record};
use caudal_raft::{CommittedEntry, Members};
use caudal_storage::Engine;
use caudal_types::NodeId;

use crate::state::rows::RowKind;
use crate::testing::cleaning::{clean_all, clean_some, compacted, entries_behind, order, workshop};
use crate::testing::{DEADLINE, TestNode, dump};
use crate::{Acks, Partition};

async fn fill(partition: &Partition, batches: i32) {
    for number in 0..batches {
        let record = |delta: i32| Record {
            timestamp: i64::from(number),
            key: Some(format!("key {}", (number * 3 + delta) % 17).into()),
            value: (number % 5 != delta).then(|| format!("value {number} {delta}").into()),
            headers: vec![],
        };
        let codec = Codec::ALL[number as usize % Codec::ALL.len()];
        let batch =
            BatchBuilder::new().codec(codec).producer(7, 0, 3 * number).build(&[record(0), record(1), record(2)]);
        partition.append(batch.unwrap().bytes().clone(), None, Acks::InSync).await.unwrap().await.unwrap();
    }
}

/// Waits until a replica has applied what `leader` has.
async fn applies_as_much_as(leader: &Partition, other: &Partition) {
    let index = *leader.raft.applied().borrow();
    let mut applied = other.raft.applied();
    let reached = applied.wait_for(|applied| *applied >= index);
    tokio::time::timeout(DEADLINE, reached).await.expect("the replica does not catch up").unwrap();
    // What is applied is shown a little later.
    other.raft.caught_up().await.unwrap();
}

fn log(partition: &Partition) -> Vec<(u64, u64, Bytes)> {
    let entry = |entry: CommittedEntry| (entry.index, entry.term, entry.payload);
    entries_behind(partition, 0).into_iter().map(entry).collect()
}

fn rows(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    let mut rows = dump(engine, TestNode::GROUP);
    rows.retain(|(key, _)| *key != RowKind::Cleaned.key(TestNode::GROUP, 0));
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_each_replica_gets_there_all_end_with_the_same_log() {
    let nodes = TestNode::start_many(3).await;
    let everyone: Vec<_> = (1..=3).map(NodeId).collect();
    let mut partitions = Vec::new();
    for (node, _) in &nodes {
        partitions.push(node.replica(&everyone, compacted()).await);
    }
    let leader = &partitions[0];
    nodes[0].0.serves(leader).await;
    let shop = workshop(1 << 20, None);
    fill(leader, 60).await;
    order(leader, i64::MAX).await.unwrap();
    applies_as_much_as(leader, &partitions[1]).await;
    // The first one cleans with every order; the second one now and then; the third one once, and in small parts.
    clean_all(leader, &shop).await;
    clean_some(&partitions[1], 900).await;
    for _ in 0..3 {
        for (number, key) in (0..40).zip(0..) {
            let record = Record {
                timestamp: number,
                key: Some(format!("key {}", key % 17).into()),
                value: None,
                headers: vec![],
            };
            let batch = BatchBuilder::new().build(&[record]).unwrap();
            leader.append(batch.bytes().clone(), None, Acks::InSync).await.unwrap().await.unwrap();
        }
        nodes[0].0.clock.advance(1000);
        order(leader, 1500).await.unwrap();
        clean_all(leader, &shop).await;
    }
    for partition in &partitions {
        applies_as_much_as(leader, partition).await;
    }
    clean_all(&partitions[1], &shop).await;
    clean_all(&partitions[2], &workshop(0, None)).await;
    assert!(shop.counters.read().removed_records > 200, "{:?}", shop.counters.read());
    for other in 1..3 {
        assert_eq!(log(&partitions[0]), log(&partitions[other]));
        assert_eq!(rows(nodes[0].1.as_ref()), rows(nodes[other].1.as_ref()));
    }
    drop(partitions);
    for (node, _) in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_replica_is_fed_what_was_cleaned() {
    let nodes = TestNode::start_many(2).await;
    let one = nodes[0].0.partition(compacted()).await;
    fill(&one, 120).await;
    order(&one, 0).await.unwrap();
    let shop = workshop(1 << 20, None);
    clean_all(&one, &shop).await;
    let late = nodes[1].0.replica(&[], compacted()).await;
    one.raft.change_members(Members { voters: vec![NodeId(1)], learners: vec![NodeId(2)] }).await.unwrap();
    applies_as_much_as(&one, &late).await;
    assert_eq!(log(&one), log(&late), "before it has done anything itself");
    assert_eq!(rows(nodes[0].1.as_ref()), rows(nodes[1].1.as_ref()));
    clean_all(&late, &shop).await;
    assert_eq!(log(&one), log(&late));
    drop((one, late));
    for (node, _) in nodes {
        node.stop().await;
    }
}
