//! Logs become shorter: by retention, and where somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{ColumnFamily, Engine, MemEngine, ScanLimit, keys};
use caudal_types::Tasks;
use caudal_types::topic_config::TopicConfig;

use crate::config::PartitionConfig;
use crate::directory::Directory;
use crate::retention::{Keeper, Purger};
use crate::testing::{BatchSpec, DEADLINE, TestNode, append, from, read_all, topic_config};
use crate::{DeleteRecordsError, EpochEnd, OffsetQuery, Partition, ReadError};

/// Segments of a few batches.
fn small_segments() -> TopicConfig {
    TopicConfig { segment_bytes: 1000, retention_ms: -1, ..topic_config() }
}

async fn fill(partition: &Partition, batches: i64) {
    for _ in 0..batches {
        append(partition, &BatchSpec::plain(1).at(1_000_000)).await.unwrap();
    }
}

/// The entries of the partition's Raft log on the disk.
fn entries(engine: &MemEngine) -> usize {
    let (from, to) = keys::log::group_range(TestNode::GROUP);
    engine.scan(ColumnFamily::Log, from.as_ref()..to.as_ref(), ScanLimit::NONE).unwrap().len()
}

/// What a node runs for its partitions, with a look every few milliseconds.
fn start_tasks(node: &TestNode, partition: &Arc<Partition>) -> Tasks {
    let (directory, tasks) = (Arc::new(Directory::default()), Tasks::new());
    directory.insert(Arc::clone(partition));
    let keeper = Keeper {
        directory: Arc::clone(&directory),
        chores: Arc::clone(&node.parts.chores),
        clock: Arc::new(node.clock.clone()),
        every: Duration::from_millis(5),
    };
    tasks.spawn("retention", keeper.run());
    tasks.spawn("log purger", Purger { directory, chores: Arc::clone(&node.parts.chores) }.run());
    tasks
}

async fn begins_at(partition: &Partition, log_start: i64) {
    let mut offsets = partition.offsets();
    let reached = offsets.wait_for(|offsets| offsets.log_start >= log_start);
    let offsets = *tokio::time::timeout(DEADLINE, reached).await.expect("the log's start does not advance").unwrap();
    assert_eq!(offsets.log_start, log_start);
}

async fn purged(partition: &Partition) {
    let purged = async {
        while partition.is_longer_than_needed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, purged).await.expect("the Raft log is not purged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_follows_the_settings_as_they_change() {
    let engine = Arc::new(MemEngine::new());
    let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
    let partition = node.partition(small_segments()).await;
    fill(&partition, 100).await;
    let tasks = start_tasks(&node, &partition);
    let (segments, all) = (partition.published.view().segments.clone(), entries(&engine));
    assert!(segments.len() > 5, "{segments:?}");

    let set = |config: TopicConfig| {
        partition.update(&partition.replicas(), &Arc::new(PartitionConfig::new(config, 86_400_000)));
    };
    let kept = partition.log_bytes() - segments[0].bytes - segments[1].bytes;
    set(TopicConfig { retention_bytes: i64::try_from(kept).unwrap(), ..small_segments() });
    begins_at(&partition, segments[1].end).await;
    purged(&partition).await;
    assert_eq!(partition.log_bytes(), kept);
    assert!(entries(&engine) < all, "the entries went too");
    assert_eq!(read_all(&partition, 500).await[0].base_offset(), segments[1].end);

    // The records are of the clock's time: all of them get old, those of the open segment too.
    set(TopicConfig { retention_ms: 1000, ..small_segments() });
    node.clock.set(1_001_001);
    begins_at(&partition, 100).await;
    purged(&partition).await;
    assert!(entries(&engine) <= 3, "{} entries are left of {all}", entries(&engine));
    assert_eq!(append(&partition, &BatchSpec::plain(1)).await.unwrap().base_offset, 100);
    tasks.shutdown().await;
    drop(partition);
    node.stop().await;

    let node = TestNode::start(engine).await;
    let partition = node.partition(small_segments()).await;
    let offsets = *partition.offsets().borrow();
    assert_eq!((offsets.log_start, offsets.high_watermark), (100, 101), "as before the restart");
    assert_eq!(read_all(&partition, 500).await.len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_are_hidden_at_once() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(small_segments()).await;
    fill(&partition, 50).await;
    let epoch = partition.leadership().borrow().term as i32;
    assert_eq!(partition.delete_records(Some(17)).await.unwrap(), 17);
    assert!(matches!(partition.read(from(16)).await, Err(ReadError::OutOfRange { start: 17, .. })));
    assert_eq!(read_all(&partition, 500).await[0].base_offset(), 17, "in the middle of a segment");
    let earliest = partition.find_offset(OffsetQuery::Earliest, -1).await.unwrap().unwrap();
    assert_eq!((earliest.offset, earliest.leader_epoch), (17, epoch));
    let at = partition.find_offset(OffsetQuery::Timestamp { at: 0, committed_only: false }, -1).await.unwrap().unwrap();
    assert_eq!(at.offset, 17);
    assert_eq!(append(&partition, &BatchSpec::plain(1)).await.unwrap().log_start, 17);
    assert_eq!(partition.epoch_end(epoch - 1, -1).await.unwrap(), EpochEnd { epoch: epoch - 1, end_offset: 17 });

    assert_eq!(partition.delete_records(Some(5)).await.unwrap(), 17, "it never goes back");
    for offset in [-2, -7, 52] {
        let refused = partition.delete_records(Some(offset)).await;
        assert!(matches!(refused, Err(DeleteRecordsError::OutOfRange { end: 51, .. })), "{offset}");
    }
    assert_eq!(partition.delete_records(None).await.unwrap(), 51);
    assert_eq!(partition.log_bytes(), 0, "the open segment ended");
    assert!(read_all(&partition, 500).await.is_empty());
    assert_eq!(partition.find_offset(OffsetQuery::MaxTimestamp { committed_only: false }, -1).await.unwrap(), None);
    assert_eq!(append(&partition, &BatchSpec::plain(2)).await.unwrap().base_offset, 51);
    assert_eq!(read_all(&partition, 500).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn only_what_is_compacted_alone_refuses_deletions() {
    let node = TestNode::start(Arc::new(MemEngine::new())).await;
    let partition = node.partition(small_segments()).await;
    fill(&partition, 3).await;
    for (compact, delete, refuses) in [(true, false, true), (true, true, false), (false, false, false)] {
        let config = PartitionConfig::new(TopicConfig { compact, delete, ..small_segments() }, 86_400_000);
        partition.update(&partition.replicas(), &Arc::new(config));
        let deleted = partition.delete_records(Some(1)).await;
        assert_eq!(matches!(deleted, Err(DeleteRecordsError::Policy)), refuses, "{deleted:?}");
    }
    node.parts.groups.close(partition.group()).await;
    assert!(matches!(partition.delete_records(None).await, Err(DeleteRecordsError::NotLeader { .. })));
    node.stop().await;
}

/// Readers at the start of a log that runs away from under them are told so, and never that the log is damaged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_what_goes_see_no_damage() {
    let engine = Arc::new(MemEngine::new());
    let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
    let partition = node.partition(small_segments()).await;
    let (tasks, background) = (Tasks::new(), start_tasks(&node, &partition));
    for _ in 0..3 {
        let reader = Arc::clone(&partition);
        tasks.spawn("reader", async move {
            loop {
                let start = reader.offsets().borrow().log_start;
                match reader.read(from(start)).await {
                    Ok(_) | Err(ReadError::OutOfRange { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                reader.find_offset(OffsetQuery::Timestamp { at: 1, committed_only: false }, -1).await.unwrap();
                reader.find_offset(OffsetQuery::MaxTimestamp { committed_only: false }, -1).await.unwrap();
            }
        });
    }
    for round in 1..=40 {
        fill(&partition, 40).await;
        partition.delete_records(Some(40 * round - 5)).await.unwrap();
    }
    purged(&partition).await;
    assert!(node.parts.groups.damaged().borrow().is_empty(), "what went is taken for damage");
    tasks.shutdown().await;
    background.shutdown().await;
    node.stop().await;
}
