//! What appends answer.

use std::sync::Arc;

use caudal_storage::MemEngine;
use caudal_types::topic_config::{TimestampType, TopicConfig};

use crate::config::PartitionConfig;
use crate::testing::{BatchSpec, DEADLINE, TestNode, append, batches, from, topic_config};
use crate::{AppendError, PartitionOffsets};

async fn node() -> TestNode {
    TestNode::start(Arc::new(MemEngine::new())).await
}

#[tokio::test]
async fn offsets_are_published_before_the_answer() {
    let node = node().await;
    let partition = node.partition(topic_config()).await;
    let offsets = partition.offsets();
    let appended = append(&partition, &BatchSpec::plain(3)).await.unwrap();
    assert_eq!((appended.base_offset, appended.log_append_time, appended.duplicate), (0, -1, false));
    let expected = PartitionOffsets { log_start: 0, high_watermark: 3, last_stable: 3 };
    assert_eq!(*offsets.borrow(), expected);
    node.stop().await;
}

#[tokio::test]
async fn the_idempotent_producers_errors_come_from_what_is_committed() {
    let node = node().await;
    let partition = node.partition(topic_config()).await;
    let from = |epoch, sequence| BatchSpec::plain(1).from(3, epoch, sequence);
    assert_eq!(append(&partition, &from(1, 0)).await.unwrap().base_offset, 0);
    assert!(append(&partition, &from(1, 0)).await.unwrap().duplicate);
    let gap = append(&partition, &from(1, 2)).await;
    assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { got: 2, last: 0 })));
    let fenced = append(&partition, &from(0, 1)).await;
    assert!(matches!(fenced, Err(AppendError::FencedProducer { got: 0, current: 1 })));
    node.stop().await;
}

#[tokio::test]
async fn log_append_time_is_the_leaders_and_never_goes_back() {
    let node = node().await;
    let config = TopicConfig { timestamp_type: TimestampType::LogAppendTime, ..topic_config() };
    let partition = node.partition(config).await;
    let mut times = Vec::new();
    for now in [5_000, 4_000, 6_000] {
        node.clock.set(now);
        times.push(append(&partition, &BatchSpec::plain(2).at(1)).await.unwrap().log_append_time);
    }
    assert_eq!(times, [5_000, 5_000, 6_000]);
    let read = partition.read(from(0)).await.unwrap();
    let stamped: Vec<_> =
        batches(&read).iter().map(|batch| (batch.is_log_append_time(), batch.max_timestamp())).collect();
    assert_eq!(stamped, [(true, 5_000), (true, 5_000), (true, 6_000)]);
    node.stop().await;
}

#[tokio::test]
async fn settings_are_followed_as_they_change() {
    let node = node().await;
    let partition = node.partition(topic_config()).await;
    let spec = BatchSpec::plain(1);
    append(&partition, &spec).await.unwrap();
    assert_eq!(partition.published.view().settings.segment_bytes, 1 << 30);
    let config = TopicConfig { max_message_bytes: 100, segment_bytes: 90, ..topic_config() };
    partition.update(&[TestNode::ID], &Arc::new(PartitionConfig::new(config, 5)));
    let large = BatchSpec { value_len: 200, ..BatchSpec::plain(1) };
    assert!(matches!(append(&partition, &large).await, Err(AppendError::TooLarge { max: 100, .. })));
    append(&partition, &spec).await.unwrap();
    append(&partition, &spec).await.unwrap();
    {
        let view = partition.published.view();
        assert_eq!((view.settings.segment_bytes, view.settings.producer_expiration_ms), (90, 5));
        assert_eq!(view.segments.len(), 2, "the log was told, and closes segments by the new size");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_broken_disk_refuses_and_never_acknowledges() {
    let engine = Arc::new(MemEngine::new());
    let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
    let partition = node.partition(topic_config()).await;
    append(&partition, &BatchSpec::plain(1)).await.unwrap();
    engine.fail_writes(Some("the cable is out".to_owned()));
    let refused = tokio::time::timeout(DEADLINE, append(&partition, &BatchSpec::plain(1))).await.unwrap();
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(partition.offsets().borrow().high_watermark, 1);
    node.stop().await;
}
