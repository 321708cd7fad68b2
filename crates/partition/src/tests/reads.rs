//! Reads at every offset, from memory and from disk.

use std::sync::Arc;

use caudal_storage::MemEngine;
use caudal_types::limits::PARTITION_TAIL_BATCHES;
use caudal_types::{Offset, Tasks};

use crate::testing::{BatchSpec, DEADLINE, TestNode, append, batches, from, topic_config};
use crate::{EpochEnd, Partition, ReadError, ReadRequest};

/// Batches of one to four records, with duplicates and gaps of a producer between them.
async fn fill(partition: &Partition, count: usize) -> Vec<(Offset, Offset)> {
    let mut spans = Vec::new();
    for at in 0..count {
        let records = 1 + at as i32 % 4;
        let appended = append(partition, &BatchSpec::plain(records)).await.unwrap();
        spans.push((appended.base_offset, appended.base_offset + i64::from(records)));
        if at % 5 == 0 {
            let mine = append(partition, &BatchSpec::plain(1).from(1, 0, 0)).await.unwrap();
            if !mine.duplicate {
                spans.push((mine.base_offset, mine.base_offset + 1));
            }
            append(partition, &BatchSpec::plain(1).from(1, 0, 9)).await.unwrap_err();
        }
    }
    spans
}

async fn check_every_offset(partition: &Partition, spans: &[(Offset, Offset)]) {
    let end = spans.last().unwrap().1;
    for offset in 0..end {
        let at = spans.partition_point(|&(_, end)| end <= offset);
        let small = partition.read(ReadRequest { max_bytes: 1, ..from(offset) }).await.unwrap();
        let bases: Vec<_> = batches(&small).iter().map(|batch| batch.base_offset()).collect();
        assert_eq!(bases, [spans[at].0], "the batch that holds offset {offset}, whole");
        let rest = partition.read(ReadRequest { max_bytes: 1000, ..from(offset) }).await.unwrap();
        assert!(rest.len() <= 1000);
        let bases: Vec<_> = batches(&rest).iter().map(|batch| batch.base_offset()).collect();
        let expected: Vec<_> = spans[at..].iter().take(bases.len()).map(|span| span.0).collect();
        assert_eq!(bases, expected);
        assert!(bases.len() > 5 || at + bases.len() == spans.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_offset_is_found_in_memory_and_on_disk() {
    let engine = Arc::new(MemEngine::new());
    let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
    let partition = node.partition(topic_config()).await;
    let spans = fill(&partition, PARTITION_TAIL_BATCHES + 100).await;
    check_every_offset(&partition, &spans).await;
    drop(partition);
    node.stop().await;
    let node = TestNode::start(engine).await;
    let partition = node.partition(topic_config()).await;
    check_every_offset(&partition, &spans).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tailing_reader_gets_each_batch_as_it_comes() {
    const BATCHES: i64 = 3000;
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(topic_config()).await;
    let tasks = Tasks::new();
    let writer = Arc::clone(&partition);
    tasks.spawn("writer", async move {
        for _ in 0..BATCHES {
            append(&writer, &BatchSpec::plain(1)).await.unwrap();
        }
    });
    let mut offsets = partition.offsets();
    let mut next = 0;
    while next < BATCHES {
        let grown = offsets.wait_for(|offsets| offsets.high_watermark > next);
        let end = tokio::time::timeout(DEADLINE, grown).await.unwrap().unwrap().high_watermark;
        // Read at once: the offsets were published a moment ago.
        let outcome = partition.read(from(next)).await.unwrap();
        let read = batches(&outcome);
        let expected: Vec<_> = (next..).take(read.len()).collect();
        assert_eq!(read.iter().map(|batch| batch.base_offset()).collect::<Vec<_>>(), expected);
        next += read.len() as i64;
        assert!(next >= end, "what is published can be read");
    }
    tasks.shutdown().await;
    node.stop().await;
}

#[tokio::test]
async fn a_read_says_where_it_cannot_read() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(topic_config()).await;
    append(&partition, &BatchSpec::plain(3)).await.unwrap();
    let end = partition.read(from(3)).await.unwrap();
    assert!(end.is_empty());
    assert_eq!(end.offsets.high_watermark, 3);
    for offset in [-1, 4] {
        let error = partition.read(from(offset)).await.unwrap_err();
        assert!(matches!(error, ReadError::OutOfRange { start: 0, end: 3, .. }), "{error}");
    }
    let nothing = ReadRequest { max_bytes: 0, at_least_one: false, ..from(0) };
    assert!(partition.read(nothing).await.unwrap().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn epochs_are_checked_and_their_ends_known() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(topic_config()).await;
    append(&partition, &BatchSpec::plain(3)).await.unwrap();
    let epoch = i32::try_from(partition.leadership().borrow().term).unwrap();
    let read = partition.read(ReadRequest { current_leader_epoch: epoch, ..from(0) }).await.unwrap();
    assert_eq!(batches(&read)[0].leader_epoch(), epoch);
    let newer = ReadRequest { current_leader_epoch: epoch + 1, ..from(0) };
    assert!(matches!(partition.read(newer).await, Err(ReadError::UnknownEpoch { current }) if current == epoch));
    if epoch > 0 {
        let older = ReadRequest { current_leader_epoch: epoch - 1, ..from(0) };
        assert!(matches!(partition.read(older).await, Err(ReadError::FencedEpoch { current }) if current == epoch));
    }
    assert_eq!(partition.epoch_end(epoch, epoch).await.unwrap(), EpochEnd { epoch, end_offset: 3 });
    assert_eq!(partition.epoch_end(epoch + 1, -1).await.unwrap(), EpochEnd { epoch: -1, end_offset: -1 });
    assert!(matches!(partition.epoch_end(0, epoch + 1).await, Err(ReadError::UnknownEpoch { .. })));
    node.stop().await;
}

#[tokio::test]
async fn a_stopped_replica_serves_nobody() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(topic_config()).await;
    append(&partition, &BatchSpec::plain(3)).await.unwrap();
    node.parts.groups.close(partition.group()).await;
    assert!(append(&partition, &BatchSpec::plain(1)).await.is_err());
    assert!(matches!(
        partition.find_offset(crate::OffsetQuery::Latest { committed_only: false }, -1).await,
        Err(ReadError::NotLeader { .. })
    ));
    node.stop().await;
}
