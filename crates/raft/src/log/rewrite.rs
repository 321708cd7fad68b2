//! Entries whose payloads are written anew, in their places: log compaction.
//!
//! Two things must never happen. An entry that was purged, or whose whole replica was removed, must not come back: under its key another entry may lie by
//! then. And what is read must be one of the two payloads. The second is a matter of the engine's atomic writes. For the first there is an order: who
//! purges or stops a replica, and who writes anew, each looks at what the log has and then puts its write into the writer's queue, without anybody else
//! doing so in between; the queue keeps the order down to the disk. A write that was queued before a purge is undone by it, and one that comes after
//! it has left out what is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use caudal_storage::StorageError;
use tokio::sync::oneshot;

use crate::LogEntry as AppliedEntry;
use crate::log::GroupLog;
use crate::types::{Command, LogEntry, log_id};

impl GroupLog {
    /// Writes entries anew, and returns when that is durable.
    pub(crate) async fn rewrite(
        self: &Arc<Self>,
        entries: impl Iterator<Item = AppliedEntry>,
    ) -> Result<(), StorageError> {
        let (sender, receiver) = oneshot::channel();
        {
            let _first = self.changing.lock().await;
            if self.has_stopped() {
                return Err(StorageError::Closed);
            }
            let batch = self.replace(entries.map(|entry| LogEntry {
                log_id: log_id(entry.term, entry.index),
                payload: openraft::EntryPayload::Normal(Command(entry.payload)),
            }));
            if batch.is_empty() {
                return Ok(());
            }
            let done = move |result| {
                // Whoever waited may have gone.
                let _ = sender.send(result);
            };
            self.writer.append(batch, Box::new(done)).await?;
        }
        receiver.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Writes nothing anew any more: the replica has stopped, and its data may be removed.
    pub(crate) async fn close(&self) {
        let _first = self.changing.lock().await;
        self.stopped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use caudal_storage::{ColumnFamily, Engine, LogWriter, MemEngine, keys::log as log_keys};
    use caudal_types::RaftGroupId;
    use openraft::storage::RaftLogStorage;

    use super::*;
    use crate::log::{Damage, LogCache, LogStore};

    const GROUP: RaftGroupId = RaftGroupId(1);

    fn open(engine: &Arc<MemEngine>, cache: &Arc<LogCache>) -> Arc<GroupLog> {
        let engine: Arc<dyn Engine> = engine.clone();
        let writer = LogWriter::start(engine.clone());
        GroupLog::open(GROUP, engine, writer, cache.clone(), Damage::default()).unwrap()
    }

    fn entry(index: u64, payload: &'static [u8]) -> AppliedEntry {
        AppliedEntry { index, term: 3, payload: payload.into() }
    }

    async fn append(log: &Arc<GroupLog>, count: u64) {
        let payload = || openraft::EntryPayload::Normal(Command(vec![b'x'; 1000].into()));
        let (batch, last) = log.push((0..count).map(|index| LogEntry { log_id: log_id(3, index), payload: payload() }));
        log.writer.write(batch).await.unwrap();
        log.flushed(last, true);
    }

    fn payloads(log: &GroupLog) -> Vec<(u64, u64, usize)> {
        let entries = log.read(0, u64::MAX, usize::MAX).unwrap().into_iter().map(AppliedEntry::from);
        entries.map(|entry| (entry.index, entry.term, entry.payload.len())).collect()
    }

    #[tokio::test]
    async fn what_is_written_anew_is_read_from_memory_and_from_disk() {
        let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(1 << 20));
        let log = open(&engine, &cache);
        append(&log, 4).await;
        let before = cache.used();
        log.rewrite([entry(1, b"new"), entry(3, b""), entry(4, b"there is none")].into_iter()).await.unwrap();
        let expected = [(0, 3, 1000), (1, 3, 3), (2, 3, 1000), (3, 3, 0)];
        assert_eq!(payloads(&log), expected);
        assert_eq!(cache.used(), before - 997 - 1000);
        drop(log);
        assert_eq!(cache.used(), 0);
        engine.crash();
        let log = open(&engine, &cache);
        assert_eq!(payloads(&log), expected, "it was durable");
        assert!(log.cached(0, 4, usize::MAX).is_none());
    }

    #[tokio::test]
    async fn what_was_purged_does_not_come_back() {
        let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(0));
        let log = open(&engine, &cache);
        append(&log, 8).await;
        let mut store = LogStore(log.clone());
        for round in 0..4 {
            // In either order, as they come.
            let purge = async { store.purge(log_id(3, 2 * round)).await.unwrap() };
            let rewrite = log.rewrite((0..8).map(|index| entry(index, b"new")));
            let ((), rewritten) = tokio::join!(purge, rewrite);
            rewritten.unwrap();
            log.writer.write(caudal_storage::WriteBatch::new()).await.unwrap();
            for index in 0..8 {
                let stored = engine.get(ColumnFamily::Log, &log_keys::key(GROUP, index)).unwrap();
                assert_eq!(stored.is_some(), index > 2 * round, "entry {index} after round {round}");
            }
        }
        assert_eq!(payloads(&log), [(7, 3, 3)]);
    }

    #[tokio::test]
    async fn a_replica_that_has_stopped_writes_nothing_anew() {
        let (engine, cache) = (Arc::new(MemEngine::new()), LogCache::new(0));
        let log = open(&engine, &cache);
        append(&log, 2).await;
        log.close().await;
        let refused = log.rewrite([entry(1, b"new")].into_iter()).await;
        assert!(matches!(refused, Err(StorageError::Closed)), "{refused:?}");
        assert_eq!(payloads(&log)[1].2, 1000);
    }
}
