//! The engine on disk.
//!
//! # Layout
//! - `direct`: whether the filesystem lets files go around the page cache
//! - `open`: how many databases are open
//! - `options`: how RocksDB is set up, and why
//! - `reclaim`: giving the space of deleted log entries back
//! - `synced`: how far the database is synced, noted beside it
//! - `unsynced`: what was written since the last sync, and in which run of the machine
//! - [`wal`]: whether the write-ahead log has lost what was synced

mod direct;
mod open;
mod options;
mod reclaim;
mod synced;
mod unsynced;
pub mod wal;

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{ColumnFamilyDescriptor, DB, DBRawIterator, ErrorKind, ReadOptions, WriteOptions};

pub use self::open::wait_until_closed;
pub use self::options::RocksOptions;
use self::synced::Synced;
use self::unsynced::Unsynced;
use crate::engine::{LogSpace, Row};
use crate::{ColumnFamily, Durability, Engine, ScanLimit, StorageError, WriteBatch, WriteOp};

/// One RocksDB per data directory.
#[derive(Debug)]
pub struct RocksEngine {
    db: DB,
    synced: Synced,
    unsynced: Unsynced,
    boot: u128,
    has_lost_synced: bool,
    /// Held by the one reclamation that may run.
    reclaiming: Mutex<()>,
    /// The last field, for it must go when the database has gone.
    _open: open::Open,
}

impl RocksEngine {
    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    /// When it cannot be opened, is damaged, or another process has it open.
    pub fn open(path: &Path, options: &RocksOptions) -> Result<Self, StorageError> {
        let options = &RocksOptions { direct_io: options.direct_io && direct::is_possible(path), ..options.clone() };
        let cache = options.block_cache();
        let families =
            ColumnFamily::ALL.map(|cf| ColumnFamilyDescriptor::new(cf.name(), options.column_family(cf, &cache)));
        let open = open::Open::count();
        let db = DB::open_cf_descriptors(&options.database(), path, families)?;
        let unnoted = |error: io::Error| {
            StorageError::Io(format!("cannot open the note of what is synced in '{}': {error}", path.display()))
        };
        let has_lost_synced =
            synced::read(path).map_err(unnoted)?.is_some_and(|noted| noted > db.latest_sequence_number());
        let synced = Synced::open(path).map_err(unnoted)?;
        // What the log still held is in tables now.
        let unsynced = Unsynced::after(db.latest_sequence_number(), path);
        let boot = unsynced::boot(path);
        Ok(Self { db, synced, unsynced, boot, has_lost_synced, reclaiming: Mutex::new(()), _open: open })
    }

    /// Whether the database, as it was opened, lacks writes that had been synced. [`wal::damage`] finds most of that before the traces are gone; a log
    /// that is empty or missing only shows here. A database opened after the next synced write does not lack them any more, as far as anybody can tell.
    pub fn has_lost_synced(&self) -> bool {
        self.has_lost_synced
    }

    fn note_synced(&self, upto: u64) {
        self.synced.note(upto);
        self.unsynced.synced(upto);
    }

    fn family(&self, cf: ColumnFamily) -> Result<&rocksdb::ColumnFamily, StorageError> {
        let missing = || StorageError::Corrupt(format!("column family '{}' is not open", cf.name()));
        self.db.cf_handle(cf.name()).ok_or_else(missing)
    }

    /// An iterator that sees nothing outside `range`.
    fn iterator(&self, cf: ColumnFamily, range: &Range<&[u8]>) -> Result<DBRawIterator<'_>, StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start);
        options.set_iterate_upper_bound(range.end);
        Ok(self.db.raw_iterator_cf_opt(self.family(cf)?, options))
    }

    fn encode(&self, batch: &WriteBatch) -> Result<rocksdb::WriteBatch, StorageError> {
        let mut encoded =
            rocksdb::WriteBatch::with_capacity_bytes(batch.bytes() + batch.ops().len() * OP_OVERHEAD_BYTES);
        // It goes to the log alone, before all else.
        if let Some(synced) = self.unsynced.mark() {
            encoded.put_log_data(wal::mark(synced));
        }
        for op in batch.ops() {
            match op {
                WriteOp::Put { cf, key, head, body } if head.is_empty() => encoded.put_cf(self.family(*cf)?, key, body),
                WriteOp::Put { cf, key, head, body } => {
                    let family = self.family(*cf)?;
                    with_joined(head, body, |value| encoded.put_cf(family, key, value));
                }
                WriteOp::Delete { cf, key } => encoded.delete_cf(self.family(*cf)?, key),
                // RocksDB refuses a whole batch that has a range with its ends swapped.
                WriteOp::DeleteRange { from, to, .. } if from >= to => {}
                WriteOp::DeleteRange { cf, from, to } => encoded.delete_range_cf(self.family(*cf)?, from, to),
            }
        }
        Ok(encoded)
    }
}

impl Engine for RocksEngine {
    fn get(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let value = self.db.get_pinned_cf(self.family(cf)?, key)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn get_many(&self, cf: ColumnFamily, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let values = self.db.batched_multi_get_cf(&self.family(cf)?, keys, true);
        values.into_iter().map(|value| Ok(value?.map(|value| Bytes::copy_from_slice(&value)))).collect()
    }

    fn scan(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut iterator = self.iterator(cf, &range)?;
        iterator.seek(range.start);
        collect(iterator, limit, DBRawIterator::next)
    }

    fn scan_back(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut iterator = self.iterator(cf, &range)?;
        iterator.seek_to_last();
        collect(iterator, limit, DBRawIterator::prev)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StorageError> {
        let is_synced = durability == Durability::Synced;
        let mut options = WriteOptions::default();
        options.set_sync(is_synced);
        let encoded = self.encode(&batch)?;
        // Others write too, so that this batch may come later; then it is noted as if it did not.
        let at_least = self.db.latest_sequence_number() + encoded.len() as u64;
        if !is_synced {
            self.unsynced.begin();
        }
        self.db.write_opt(encoded, &options).inspect_err(|_| self.unsynced.failed())?;
        if is_synced {
            self.note_synced(at_least);
        }
        Ok(())
    }

    fn sync_written(&self) -> Result<(), StorageError> {
        let upto = self.db.latest_sequence_number();
        self.db.flush_wal(true).inspect_err(|_| self.unsynced.failed())?;
        self.note_synced(upto);
        Ok(())
    }

    fn boot(&self) -> u128 {
        self.boot
    }

    fn remove_dead_files(&self) -> Result<(), StorageError> {
        self.rewrite_keys()
    }

    fn log_space(&self) -> Result<LogSpace, StorageError> {
        self.files_of_log()
    }

    fn reclaim(&self) -> Result<LogSpace, StorageError> {
        self.reclaim_log()
    }
}

impl Drop for RocksEngine {
    fn drop(&mut self) {
        if let Err(error) = self.db.flush_wal(true) {
            self.unsynced.failed();
            tracing::warn!(%error, "the last buffered writes could not be synced while closing; they will be replayed");
        }
        self.db.cancel_all_background_work(true);
    }
}

impl From<rocksdb::Error> for StorageError {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            ErrorKind::Corruption => Self::Corrupt(error.into_string()),
            _ => Self::Io(error.into_string()),
        }
    }
}

fn collect<'a>(
    mut iterator: DBRawIterator<'a>,
    limit: ScanLimit,
    step: impl Fn(&mut DBRawIterator<'a>),
) -> Result<Vec<Row>, StorageError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while !limit.reached(rows.len(), bytes)
        && let Some((key, value)) = iterator.item()
    {
        bytes += key.len() + value.len();
        rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        step(&mut iterator);
    }
    // An iterator that meets an error looks like one at its end.
    iterator.status()?;
    Ok(rows)
}

/// Hands `head` and `body` to `put` as one slice, joined in a buffer that the thread keeps.
fn with_joined(head: &[u8], body: &[u8], put: impl FnOnce(&[u8])) {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        scratch.extend_from_slice(head);
        scratch.extend_from_slice(body);
        put(scratch);
        scratch.clear();
        scratch.shrink_to(SCRATCH_KEPT_BYTES);
    });
}

/// What RocksDB puts around a key and a value in a batch: tag, column family, two lengths.
const OP_OVERHEAD_BYTES: usize = 16;

/// The most bytes that a thread keeps for joining values: Kafka's default largest message fits.
const SCRATCH_KEPT_BYTES: usize = 1 << 20 | 1 << 16;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::LogWriter;

    fn open(directory: &TempDir) -> Result<RocksEngine, StorageError> {
        RocksEngine::open(directory.path(), &RocksOptions::default())
    }

    fn large_entry() -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Log, "key", vec![7; 50_000]);
        batch
    }

    #[test]
    fn a_database_in_use_is_refused() {
        let directory = TempDir::new().unwrap();
        let engine = open(&directory).unwrap();
        assert!(matches!(open(&directory), Err(StorageError::Io(text)) if text.contains("lock")));
        drop(engine);
        open(&directory).unwrap();
    }

    #[tokio::test]
    async fn a_closed_writer_lets_the_database_be_opened_again() {
        let directory = TempDir::new().unwrap();
        let writer = LogWriter::start(Arc::new(open(&directory).unwrap()));
        writer.write(large_entry()).await.unwrap();
        writer.close().await;
        let engine = open(&directory).unwrap();
        assert_eq!(engine.get(ColumnFamily::Log, b"key").unwrap().unwrap(), vec![7; 50_000]);
    }

    #[test]
    fn damaged_files_are_noticed_when_they_are_read() {
        let directory = TempDir::new().unwrap();
        let engine = open(&directory).unwrap();
        engine.write(large_entry(), Durability::Synced).unwrap();
        engine.reclaim().unwrap();
        drop(engine);
        let files = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path());
        let blobs: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "blob")).collect();
        let mut bytes = fs::read(&blobs[0]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&blobs[0], bytes).unwrap();
        let engine = open(&directory).unwrap();
        assert!(matches!(engine.get(ColumnFamily::Log, b"key"), Err(StorageError::Corrupt(_))));
        assert!(matches!(engine.get_many(ColumnFamily::Log, &["key".into()]), Err(StorageError::Corrupt(_))));
        assert!(matches!(engine.scan(ColumnFamily::Log, b"a"..b"z", ScanLimit::NONE), Err(StorageError::Corrupt(_))));
        assert!(matches!(
            engine.scan_back(ColumnFamily::Log, b"a"..b"z", ScanLimit::NONE),
            Err(StorageError::Corrupt(_))
        ));
    }
}
