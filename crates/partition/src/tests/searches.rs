//! Finding offsets, against a search by hand.

use std::sync::Arc;

use caudal_protocol::batch::Codec;
use caudal_storage::MemEngine;
use caudal_types::topic_config::TopicConfig;
use caudal_types::{Offset, TimestampMs};

use crate::state::segments::TIME_BLOCK_BATCHES;
use crate::testing::{BatchSpec, TestNode, advance, append, from, topic_config};
use crate::{Acks, EndMarker, Enlistment, FoundOffset, OffsetQuery, Partition, ReadError};

/// A sequence of numbers that looks random and is the same every time.
fn scattered(at: i64, below: i64) -> i64 {
    (at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33).rem_euclid(below)
}

/// Appends batches whose timestamps rise on the whole, but jump; answers the timestamp of every record.
async fn fill(partition: &Partition, count: i64) -> Vec<TimestampMs> {
    let mut times = Vec::new();
    let mut pending = Vec::new();
    for at in 0..count {
        let records = 1 + scattered(at, 3);
        let stamps: Vec<_> = (0..records).map(|record| 2 * at + scattered(7 * at + record, 400)).collect();
        let codec = if at % 3 == 0 { Codec::Lz4 } else { Codec::None };
        let spec = BatchSpec { times: stamps.clone(), codec, ..BatchSpec::plain(1) };
        pending.push(partition.append(spec.build().bytes().clone(), None, Acks::InSync).await.unwrap());
        times.extend(stamps);
    }
    for outcome in pending {
        outcome.await.unwrap();
    }
    times
}

async fn find(partition: &Partition, query: OffsetQuery) -> Option<(Offset, TimestampMs)> {
    partition.find_offset(query, -1).await.unwrap().map(|found| (found.offset, found.timestamp))
}

async fn check(partition: &Partition, times: &[TimestampMs], log_start: Offset) {
    let largest = *times.iter().max().unwrap();
    let records = || (0..).zip(times).skip(usize::try_from(log_start).unwrap());
    for target in (0..largest + 20).step_by(17) {
        let expected = records().find(|&(_, &time)| time >= target).map(|(offset, &time)| (offset, time));
        assert_eq!(
            find(partition, OffsetQuery::Timestamp { at: target, committed_only: true }).await,
            expected,
            "first from {target}"
        );
    }
    let largest = records().map(|(_, &time)| time).max().unwrap();
    let expected = records().find(|&(_, &time)| time == largest).map(|(offset, &time)| (offset, time));
    assert_eq!(find(partition, OffsetQuery::MaxTimestamp { committed_only: false }).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_found_as_by_hand() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    // Segments of several blocks, so that each level of the search is used.
    let config = TopicConfig { segment_bytes: 100 * u64::from(TIME_BLOCK_BATCHES), ..topic_config() };
    let partition = node.partition(config).await;
    assert_eq!(find(&partition, OffsetQuery::Timestamp { at: 0, committed_only: false }).await, None);
    assert_eq!(find(&partition, OffsetQuery::MaxTimestamp { committed_only: false }).await, None);
    let times = fill(&partition, 4 * i64::from(TIME_BLOCK_BATCHES)).await;
    {
        let view = partition.published.view();
        assert!(view.segments.len() >= 2 && view.block.base > 0, "{:?}", view.segments);
    }
    check(&partition, &times, 0).await;
    for log_start in [1, 700, 1500, 3000] {
        advance(&partition, log_start).await;
        check(&partition, &times, log_start).await;
        assert!(matches!(partition.read(from(log_start - 1)).await, Err(ReadError::OutOfRange { .. })));
    }
    node.stop().await;
}

const TRANSACTIONAL: i16 = 16;
/// Later than markers, which have the node's time.
const LATE: TimestampMs = 2_000_000;

/// Kafka looks at the record with the largest timestamp of the whole log, and answers none when the reader may not see that one.
#[tokio::test]
async fn what_is_not_stable_is_not_found_by_who_reads_committed() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    // Each batch closes a segment: those beyond the last stable offset are not the open one only.
    let partition = node.partition(TopicConfig { segment_bytes: 1, ..topic_config() }).await;
    append(&partition, &BatchSpec::plain(1).at(LATE + 10)).await.unwrap();
    let open = BatchSpec { attributes: TRANSACTIONAL, ..BatchSpec::plain(1).at(LATE + 20).from(9, 0, 0) };
    let enlistment = Enlistment { number: 1, version: 1, transactional_id: "t".into() };
    let appended = partition.append(open.build().bytes().clone(), Some(enlistment), Acks::InSync).await.unwrap();
    appended.await.unwrap();
    append(&partition, &BatchSpec::plain(1).at(LATE + 15)).await.unwrap();

    let found = async |committed_only| {
        let from = |at| find(&partition, OffsetQuery::Timestamp { at, committed_only });
        (
            from(LATE + 5).await,
            from(LATE + 15).await,
            find(&partition, OffsetQuery::MaxTimestamp { committed_only }).await,
        )
    };
    assert_eq!(found(true).await, (Some((0, LATE + 10)), None, None));
    assert_eq!(found(false).await, (Some((0, LATE + 10)), Some((1, LATE + 20)), Some((1, LATE + 20))));
    let marker = EndMarker { producer_id: 9, epoch: 0, number: 1, coordinator_epoch: 1, commit: true };
    partition.end_transaction(marker).await.unwrap();
    assert_eq!(found(true).await, (Some((0, LATE + 10)), Some((1, LATE + 20)), Some((1, LATE + 20))));
    node.stop().await;
}

#[tokio::test]
async fn the_ends_are_found_with_their_epoch() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(topic_config()).await;
    append(&partition, &BatchSpec::plain(3)).await.unwrap();
    let leader_epoch = i32::try_from(partition.leadership().borrow().term).unwrap();
    let earliest = partition.find_offset(OffsetQuery::Earliest, leader_epoch).await.unwrap().unwrap();
    assert_eq!(earliest, FoundOffset { offset: 0, timestamp: -1, leader_epoch });
    for committed_only in [false, true] {
        let latest = partition.find_offset(OffsetQuery::Latest { committed_only }, -1).await.unwrap().unwrap();
        assert_eq!(latest, FoundOffset { offset: 3, timestamp: -1, leader_epoch });
    }
    let newer = partition.find_offset(OffsetQuery::Earliest, leader_epoch + 1).await;
    assert!(matches!(newer, Err(ReadError::UnknownEpoch { .. })));
    node.stop().await;
}
