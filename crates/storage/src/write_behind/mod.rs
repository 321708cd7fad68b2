//! Rows that can be made again from the log go to the disk behind it, and many at once.
//!
//! What a state machine writes at apply needs no write of its own: after a crash it comes from the log again. [`WriteBehind`] keeps such
//! rows ([`Durability::Buffered`]) in memory, where readers see them, until a synced write takes them along. A row that changes with every
//! entry is then written once for many entries, and applying never waits for the disk.
//!
//! # Layout
//! - [`overlay`]: the rows that are not in the engine below yet
//! - [`merge`]: one ordered answer from these and the engine's

mod merge;
mod overlay;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_types::limits::WRITE_BEHIND_BYTES;
use parking_lot::{Mutex, RwLock};

use self::merge::{Direction, merge};
use self::overlay::{Change, Overlay};
use crate::engine::{LogSpace, Row};
use crate::{ColumnFamily, Durability, Engine, ScanLimit, StorageError, WriteBatch, WriteOp};

/// An engine that holds buffered writes back.
///
/// - A synced or written write takes them along, before its own writes, when they have waited long enough or are many, or when it could depend on their
///   order: when it writes to a column family that they are in, or deletes anything (log entries go only when their effect is on the disk).
/// - A buffered write writes through, with all that was held back before it, when it deletes a range or when too much is held back.
/// - Dropping the engine writes what is left.
///
/// So what is on the disk is always what some moment's readers saw. A crash loses buffered writes from that moment on, all of them.
#[derive(Debug)]
pub struct WriteBehind<E: Engine> {
    below: E,
    held: RwLock<Held>,
    /// Held by whoever writes to the engine below, so that rows get there in their order.
    writing: Mutex<()>,
}

/// What is not in the engine below, or not known to be.
#[derive(Debug, Default)]
struct Held {
    /// Takes the writes that come.
    newest: Overlay,
    /// On its way to the engine below.
    leaving: Option<Arc<Overlay>>,
    /// How often writes have set out for the engine below, other than such that cannot be in `newest`.
    departures: u64,
}

impl Held {
    fn find(&self, cf: ColumnFamily, key: &[u8]) -> Option<&Change> {
        self.newest.find(cf, key).or_else(|| self.leaving.as_ref()?.find(cf, key))
    }
}

impl<E: Engine> WriteBehind<E> {
    /// Holds back what is written buffered to `below`.
    pub fn new(below: E) -> Self {
        Self { below, held: RwLock::default(), writing: Mutex::new(()) }
    }

    /// Writes `batch`, behind everything that is held back.
    fn write_all(&self, batch: WriteBatch, durability: Durability) -> Result<(), StorageError> {
        let leaving = {
            let mut held = self.held.write();
            held.departures += 1;
            let leaving = Arc::new(std::mem::take(&mut held.newest));
            held.leaving = Some(Arc::clone(&leaving));
            leaving
        };
        let mut all = leaving.to_batch();
        all.extend(batch);
        let result = self.below.write(all, durability);
        let mut held = self.held.write();
        held.leaving = None;
        if result.is_err() {
            // Readers have seen these rows: they stay.
            held.newest.put_under(&leaving);
        }
        result
    }

    fn scan_both(
        &self,
        cf: ColumnFamily,
        range: &Range<&[u8]>,
        limit: ScanLimit,
        direction: Direction,
    ) -> Result<Vec<Row>, StorageError> {
        let attempt = || {
            let (departures, changes) = {
                let held = self.held.read();
                let overlays = [Some(&held.newest), held.leaving.as_deref()];
                (held.departures, overlay::changes(overlays, cf, range, limit, direction))
            };
            let rows = merge(&changes, range, limit, direction, |rest| match direction {
                Direction::Up => self.below.scan(cf, rest, limit),
                Direction::Down => self.below.scan_back(cf, rest, limit),
            })?;
            Ok((rows, self.held.read().departures == departures))
        };
        for _ in 0..OPTIMISTIC_SCANS {
            // What set out while the engine below was read may be in one half of the answer and not in the other.
            if let (rows, true) = attempt()? {
                return Ok(rows);
            }
        }
        let _nothing_departs = self.writing.lock();
        attempt().map(|(rows, _)| rows)
    }
}

impl<E: Engine> Engine for WriteBehind<E> {
    fn get(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if let Some(change) = self.held.read().find(cf, key) {
            return Ok(change.clone());
        }
        self.below.get(cf, key)
    }

    fn get_many(&self, cf: ColumnFamily, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let changes: Vec<_> = {
            let held = self.held.read();
            keys.iter().map(|key| held.find(cf, key).cloned()).collect()
        };
        if changes.iter().all(Option::is_none) {
            return self.below.get_many(cf, keys);
        }
        let one = |(key, change): (&Bytes, Option<_>)| change.map_or_else(|| self.below.get(cf, key), Ok);
        keys.iter().zip(changes).map(one).collect()
    }

    fn scan(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        self.scan_both(cf, &range, limit, Direction::Up)
    }

    fn scan_back(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        self.scan_both(cf, &range, limit, Direction::Down)
    }

    fn sync_written(&self) -> Result<(), StorageError> {
        let _writing = self.writing.lock();
        self.below.sync_written()
    }

    fn boot(&self) -> u128 {
        self.below.boot()
    }

    fn remove_dead_files(&self) -> Result<(), StorageError> {
        self.below.remove_dead_files()
    }

    fn log_space(&self) -> Result<LogSpace, StorageError> {
        self.below.log_space()
    }

    fn reclaim(&self) -> Result<LogSpace, StorageError> {
        self.below.reclaim()
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StorageError> {
        if durability == Durability::Buffered && !batch.ops().iter().any(deletes_range) {
            let mut held = self.held.write();
            held.newest.add(batch);
            if held.newest.bytes() <= WRITE_BEHIND_BYTES {
                return Ok(());
            }
            drop(held);
            let _writing = self.writing.lock();
            return self.write_all(WriteBatch::new(), durability);
        }
        let _writing = self.writing.lock();
        if durability != Durability::Buffered && self.held.read().newest.may_wait(&batch) {
            return self.below.write(batch, durability);
        }
        self.write_all(batch, durability)
    }
}

impl<E: Engine> Drop for WriteBehind<E> {
    fn drop(&mut self) {
        if let Err(error) = self.write_all(WriteBatch::new(), Durability::Buffered) {
            tracing::warn!(%error, "the last buffered writes could not be written while closing; they will be replayed");
        }
    }
}

fn deletes_range(op: &WriteOp) -> bool {
    matches!(op, WriteOp::DeleteRange { .. })
}

/// How often a scan begins again, when writes came between its two halves, before it holds them up.
const OPTIMISTIC_SCANS: usize = 3;

/// Held back rows that are older than this, or more than this many bytes, go along with the next synced write.
const DUE_AFTER: Duration = Duration::from_millis(100);
const DUE_BYTES: usize = 256 << 10;
const _: () = assert!(DUE_BYTES <= WRITE_BEHIND_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Durability::{Buffered, Synced};
    use crate::MemEngine;

    fn put(cf: ColumnFamily, key: &'static str, value: &'static str) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put(cf, key, value);
        batch
    }

    fn state(key: &'static str, value: &'static str) -> WriteBatch {
        put(ColumnFamily::State, key, value)
    }

    fn below(engine: &WriteBehind<MemEngine>, key: &str) -> Option<Bytes> {
        engine.below.get(ColumnFamily::State, key.as_bytes()).unwrap()
    }

    #[test]
    fn rows_wait_for_a_write_that_is_due_or_could_depend_on_them() {
        let engine = WriteBehind::new(MemEngine::new());
        engine.write(state("a", "1"), Buffered).unwrap();
        engine.write(put(ColumnFamily::Log, "entry", "e"), Synced).unwrap();
        assert_eq!(below(&engine, "a"), None, "an append to the log does not depend on what was applied");
        engine.write(state("b", "2"), Synced).unwrap();
        assert_eq!(below(&engine, "a").unwrap(), "1");

        engine.write(state("a", "3"), Buffered).unwrap();
        let mut purge = WriteBatch::new();
        purge.delete_range(ColumnFamily::Log, "a", "z");
        engine.write(purge, Synced).unwrap();
        assert_eq!(below(&engine, "a").unwrap(), "3", "entries go only when what they did is on the disk");

        engine.write(state("a", "4"), Buffered).unwrap();
        engine.held.write().newest.make_due();
        engine.write(put(ColumnFamily::Log, "entry", "e"), Synced).unwrap();
        assert_eq!(below(&engine, "a").unwrap(), "4");
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let engine = WriteBehind::new(MemEngine::new());
        for key in 0..3 * WRITE_BEHIND_BYTES / 1000 {
            let mut batch = WriteBatch::new();
            batch.put(ColumnFamily::Index, key.to_be_bytes().to_vec(), vec![7; 1000]);
            engine.write(batch, Buffered).unwrap();
            assert!(engine.held.read().newest.bytes() <= WRITE_BEHIND_BYTES);
        }
    }

    #[test]
    fn a_row_that_changes_often_is_written_once() {
        let mut overlay = Overlay::default();
        for value in ["1", "2", "3"] {
            overlay.add(state("a", value));
        }
        let mut gone = WriteBatch::new();
        gone.delete(ColumnFamily::State, "b");
        overlay.add(gone);
        let batch = overlay.to_batch();
        assert!(matches!(&batch.ops()[0], WriteOp::Put { body, .. } if body == "3"));
        assert!(matches!(&batch.ops()[1], WriteOp::Delete { key, .. } if key == "b"));
        assert_eq!(batch.ops().len(), 2);
    }

    #[test]
    fn a_failed_write_takes_nothing_away_from_readers() {
        let engine = WriteBehind::new(MemEngine::new());
        let get = |key: &str| engine.get(ColumnFamily::State, key.as_bytes()).unwrap();
        engine.write(state("a", "1"), Buffered).unwrap();
        engine.below.fail_writes(Some("broken".to_owned()));
        engine.write(state("b", "2"), Synced).unwrap_err();
        assert_eq!((get("a"), get("b")), (Some("1".into()), None));
        engine.write(state("a", "3"), Buffered).unwrap();
        engine.below.fail_writes(None);
        engine.write(state("b", "2"), Synced).unwrap();
        assert_eq!(below(&engine, "a").unwrap(), "3");
    }

    #[test]
    fn a_crash_loses_the_newest_buffered_writes_only() {
        let engine = WriteBehind::new(MemEngine::new());
        engine.write(state("a", "1"), Buffered).unwrap();
        engine.write(state("b", "2"), Synced).unwrap();
        engine.write(state("a", "3"), Buffered).unwrap();
        engine.write(state("c", "4"), Buffered).unwrap();
        engine.below.crash();
        assert_eq!(below(&engine, "a").unwrap(), "1");
        assert_eq!(below(&engine, "b").unwrap(), "2");
        assert_eq!(below(&engine, "c"), None);
    }
}
