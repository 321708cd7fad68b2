//! An engine in memory, for tests.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::batch::join;
use crate::engine::Row;
use crate::{ColumnFamily, Durability, Engine, ScanLimit, StorageError, WriteBatch, WriteOp};

/// Keeps the contract of [`Engine`] in memory; [`crash`](Self::crash) loses what was not synced.
#[derive(Debug, Default)]
pub struct MemEngine {
    inner: Mutex<Inner>,
    hanging: Mutex<bool>,
    hangs_no_more: Condvar,
    /// Counts the crashes.
    boot: AtomicU64,
}

impl MemEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all writes since the last synced one, as a power cut would.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// The same, but the first `kept` of these writes had reached the disk.
    pub fn crash_keeping(&self, kept: usize) {
        let mut inner = self.inner.lock();
        inner.sync(kept);
        inner.unsynced.clear();
        inner.live = inner.synced.clone();
        self.boot.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets everything, as if it were another disk, and returns what there was.
    #[must_use]
    pub fn replace(&self) -> Self {
        Self { inner: Mutex::new(std::mem::take(&mut *self.inner.lock())), ..Self::default() }
    }

    /// Makes the first `count` of the writes since the last synced one durable.
    ///
    /// # Errors
    /// When writes fail.
    pub fn sync(&self, count: usize) -> Result<(), StorageError> {
        let mut inner = self.inner.lock();
        if let Some(reason) = &inner.write_failure {
            return Err(StorageError::Io(reason.clone()));
        }
        inner.sync(count);
        Ok(())
    }

    /// The value under `key` that a crash would leave.
    pub fn get_synced(&self, cf: ColumnFamily, key: &[u8]) -> Option<Bytes> {
        self.inner.lock().synced.family(cf).get(key).cloned()
    }

    /// How many writes there were since the last synced one.
    pub fn unsynced(&self) -> usize {
        self.inner.lock().unsynced.len()
    }

    /// Lets every later write fail with `reason`, as a broken disk would; `None` mends it.
    pub fn fail_writes(&self, reason: Option<String>) {
        self.inner.lock().write_failure = reason;
    }
}

impl MemEngine {
    /// Lets every later write hang, as on a disk that answers no more; `false` lets them all go on.
    pub fn hang_writes(&self, hanging: bool) {
        *self.hanging.lock() = hanging;
        self.hangs_no_more.notify_all();
    }
}

impl Engine for MemEngine {
    fn get(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.inner.lock().live.family(cf).get(key).cloned())
    }

    fn get_many(&self, cf: ColumnFamily, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let inner = self.inner.lock();
        Ok(keys.iter().map(|key| inner.live.family(cf).get(key).cloned()).collect())
    }

    fn scan(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        Ok(collect(self.inner.lock().live.family(cf).range::<[u8], _>(range_bounds(range)), limit))
    }

    fn scan_back(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        Ok(collect(self.inner.lock().live.family(cf).range::<[u8], _>(range_bounds(range)).rev(), limit))
    }

    fn boot(&self) -> u128 {
        u128::from(self.boot.load(Ordering::Relaxed))
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StorageError> {
        let mut hanging = self.hanging.lock();
        self.hangs_no_more.wait_while(&mut hanging, |hanging| *hanging);
        drop(hanging);
        let mut inner = self.inner.lock();
        if let Some(reason) = &inner.write_failure {
            return Err(StorageError::Io(reason.clone()));
        }
        inner.live.apply(&batch);
        inner.unsynced.push(batch);
        if durability == Durability::Synced {
            inner.sync(usize::MAX);
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// What readers see.
    live: Tables,
    /// What a crash leaves.
    synced: Tables,
    /// What makes `live` out of `synced`, in order.
    unsynced: Vec<WriteBatch>,
    write_failure: Option<String>,
}

impl Inner {
    fn sync(&mut self, count: usize) {
        for batch in self.unsynced.drain(..count.min(self.unsynced.len())) {
            self.synced.apply(&batch);
        }
    }
}

type Table = BTreeMap<Bytes, Bytes>;

#[derive(Clone, Debug, Default)]
struct Tables([Table; ColumnFamily::ALL.len()]);

impl Tables {
    fn family(&self, cf: ColumnFamily) -> &Table {
        &self.0[cf as usize]
    }

    fn apply(&mut self, batch: &WriteBatch) {
        for op in batch.ops() {
            match op {
                WriteOp::Put { cf, key, head, body } => {
                    self.0[*cf as usize].insert(key.clone(), join(head, body));
                }
                WriteOp::Delete { cf, key } => {
                    self.0[*cf as usize].remove(key);
                }
                WriteOp::DeleteRange { from, to, .. } if from >= to => {}
                WriteOp::DeleteRange { cf, from, to } => {
                    self.0[*cf as usize].extract_if(from.clone()..to.clone(), |_, _| true).for_each(drop);
                }
            }
        }
    }
}

fn collect<'a>(items: impl Iterator<Item = (&'a Bytes, &'a Bytes)>, limit: ScanLimit) -> Vec<Row> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for (key, value) in items {
        if limit.reached(rows.len(), bytes) {
            break;
        }
        bytes += key.len() + value.len();
        rows.push((key.clone(), value.clone()));
    }
    rows
}

fn range_bounds(range: Range<&[u8]>) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(range.start), Bound::Excluded(range.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Durability::{Buffered, Synced};

    const CF: ColumnFamily = ColumnFamily::State;

    fn put(engine: &MemEngine, key: &'static str, durability: Durability) -> Result<(), StorageError> {
        let mut batch = WriteBatch::new();
        batch.put(CF, key, key);
        engine.write(batch, durability)
    }

    fn keys(engine: &MemEngine) -> Vec<Bytes> {
        engine.scan(CF, b""..b"z", ScanLimit::NONE).unwrap().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_crash_loses_exactly_what_no_sync_followed() {
        let engine = MemEngine::new();
        put(&engine, "a", Buffered).unwrap();
        put(&engine, "b", Synced).unwrap();
        let mut batch = WriteBatch::new();
        batch.delete(CF, "a");
        batch.delete_range(CF, "b", "c");
        engine.write(batch, Buffered).unwrap();
        put(&engine, "c", Buffered).unwrap();
        assert_eq!(keys(&engine), ["c"]);
        engine.crash();
        assert_eq!(keys(&engine), ["a", "b"]);
        engine.crash();
        engine.write(WriteBatch::new(), Synced).unwrap();
        assert_eq!(keys(&engine), ["a", "b"], "what was lost does not come back");
    }

    #[test]
    fn an_empty_synced_write_syncs_what_came_before() {
        let engine = MemEngine::new();
        put(&engine, "a", Buffered).unwrap();
        engine.write(WriteBatch::new(), Synced).unwrap();
        engine.crash();
        assert_eq!(keys(&engine), ["a"]);
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let engine = MemEngine::new();
        put(&engine, "a", Synced).unwrap();
        engine.fail_writes(Some("broken".to_owned()));
        assert!(matches!(put(&engine, "b", Buffered), Err(StorageError::Io(reason)) if reason == "broken"));
        assert!(put(&engine, "c", Synced).is_err());
        assert_eq!(keys(&engine), ["a"]);
        engine.fail_writes(None);
        put(&engine, "d", Synced).unwrap();
        engine.crash();
        assert_eq!(keys(&engine), ["a", "d"]);
    }
}
