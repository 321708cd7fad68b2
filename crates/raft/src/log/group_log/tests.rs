use caudal_storage::MemEngine;
use openraft::EntryPayload;

use super::*;
use crate::types::Command;

fn entries(range: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<LogEntry> {
    let payload = |index: u64| EntryPayload::Normal(Command(vec![index.to_le_bytes()[0]; bytes].into()));
    range.map(|index| LogEntry { log_id: log_id(1, index), payload: payload(index) }).collect()
}

fn open(engine: &Arc<MemEngine>, group: u64, cache: &Arc<LogCache>) -> Arc<GroupLog> {
    let engine: Arc<dyn Engine> = engine.clone();
    GroupLog::open(RaftGroupId(group), engine.clone(), LogWriter::start(engine), cache.clone(), Damage::default())
        .unwrap()
}

async fn append(log: &Arc<GroupLog>, entries: Vec<LogEntry>) {
    let (batch, last) = log.push(entries);
    log.writer.write(batch).await.unwrap();
    log.flushed(last, true);
}

#[tokio::test]
async fn the_cache_takes_the_oldest_away_but_nothing_that_is_not_durable() {
    let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(10_000));
    let (one, two) = (open(&engine, 1, &cache), open(&engine, 2, &cache));
    append(&one, entries(0..=4, 1000)).await;
    append(&two, entries(0..=7, 1000)).await;
    assert!(cache.used() <= 10_000, "{} bytes are used", cache.used());
    assert!(one.cached(0, 5, usize::MAX).is_none(), "the oldest entries are gone");
    assert_eq!(two.cached(0, 8, usize::MAX).unwrap().len(), 8);
    assert_eq!(one.read(0, 5, usize::MAX).unwrap(), entries(0..=4, 1000), "they are read from the disk");
    let (_, last) = two.push(entries(8..=30, 1000));
    assert!(cache.used() > 20_000, "what is not durable stays");
    assert_eq!(two.cached(8, 31, usize::MAX).unwrap().len(), 23);
    two.flushed(last, true);
    append(&one, entries(5..=5, 1000)).await;
    assert!(cache.used() <= 10_000, "{} bytes are used", cache.used());
    drop(two);
    drop(one);
    assert_eq!(cache.used(), 0);
}

#[tokio::test]
async fn what_is_committed_is_not_taken_away_in_silence() {
    let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(10_000));
    let log = open(&engine, 1, &cache);
    append(&log, entries(0..=9, 10)).await;
    log.check_truncation(None).unwrap();
    log.set_committed(Some(log_id(1, 6)));
    log.check_truncation(Some(log_id(1, 6))).unwrap();
    assert!(!log.is_damaged());
    let refused = log.check_truncation(Some(log_id(1, 5)));
    assert!(matches!(refused, Err(StorageError::Corrupt(_))), "{refused:?}");
    assert!(log.is_damaged());
}

#[tokio::test]
async fn reads_join_disk_and_memory() {
    let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(3_000));
    let log = open(&engine, 1, &cache);
    append(&log, entries(0..=9, 500)).await;
    assert_eq!(log.read(0, 10, usize::MAX).unwrap(), entries(0..=9, 500));
    assert_eq!(log.read(2, 9, 1200).unwrap(), entries(2..=4, 500), "up to the entry that reaches the limit");
    assert_eq!(log.read(5, 5, usize::MAX).unwrap(), []);
    log.purge(log_id(1, 3));
    assert_eq!(log.read(0, 100, usize::MAX).unwrap(), entries(4..=9, 500));
    log.truncate_after(Some(log_id(1, 6)));
    assert_eq!(log.read(0, 100, usize::MAX).unwrap(), entries(4..=6, 500));
    assert_eq!(log.last(), Some(log_id(1, 6)));
}

#[tokio::test]
async fn what_went_while_it_was_read_is_no_damage() {
    let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(0));
    let log = open(&engine, 1, &cache);
    append(&log, entries(0..=9, 500)).await;
    append(&log, entries(10..=10, 500)).await;
    let truncated = log.truncate_after(Some(log_id(1, 6)));
    log.writer.write(truncated).await.unwrap();
    log.truncated(Some(log_id(1, 6)));
    assert_eq!(log.read_disk(5, 10, usize::MAX).unwrap(), entries(5..=6, 500));
    log.push(entries(7..=8, 500));
    assert_eq!(log.read_disk(5, 10, usize::MAX).unwrap(), entries(5..=6, 500), "what is new is not written yet");
    let purged = log.purge(log_id(1, 3));
    log.writer.write(purged).await.unwrap();
    assert_eq!(log.read_disk(2, 6, usize::MAX).unwrap(), []);
}

#[test]
fn as_many_entries_are_read_as_fill_the_bytes() {
    assert_eq!(entries_for(usize::MAX, 0, 0), ENTRIES_AT_ONCE as u64);
    assert_eq!(entries_for(16 << 10, 0, 0), FIRST_ENTRIES as u64);
    assert_eq!(entries_for(100, 40, 4), 6);
    assert_eq!(entries_for(100, 99, 4), 1);
    assert_eq!(entries_for(1 << 20, 0, 4), ENTRIES_AT_ONCE as u64, "of empty ones");
}

#[tokio::test]
async fn a_damaged_or_missing_entry_is_noticed() {
    let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(0));
    let log = open(&engine, 1, &cache);
    append(&log, entries(0..=9, 10)).await;
    // The cache is full now, and takes the entries away, since they are durable.
    append(&log, entries(10..=10, 10)).await;
    assert!(log.cached(4, 7, usize::MAX).is_none());
    let key = log_keys::key(RaftGroupId(1), 5);
    let mut value = engine.get(ColumnFamily::Log, &key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    let mut batch = WriteBatch::new();
    batch.put(ColumnFamily::Log, key.clone(), value);
    engine.write(batch, caudal_storage::Durability::Synced).unwrap();
    assert!(matches!(log.read(4, 7, usize::MAX), Err(StorageError::Corrupt(_))));
    let mut batch = WriteBatch::new();
    batch.delete(ColumnFamily::Log, key);
    engine.write(batch, caudal_storage::Durability::Synced).unwrap();
    assert!(matches!(log.read(4, 7, usize::MAX), Err(StorageError::Corrupt(_))));
}
