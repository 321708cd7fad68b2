//! Giving the space of deleted log entries back to the disk.

use rocksdb::{BottommostLevelCompaction, CompactOptions};

use super::RocksEngine;
use crate::{ColumnFamily, StorageError};

/// What the large values of the log take on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSpace {
    /// Bytes of all their files.
    pub bytes: u64,
    /// Bytes in them that belong to deleted entries and are known to; what was deleted lately becomes known by
    /// [`RocksEngine::reclaim`].
    pub garbage_bytes: u64,
}

impl LogSpace {
    /// Whether collecting pays: below that, more live bytes would be moved than are given back.
    fn is_worth_collecting(self) -> bool {
        self.garbage_bytes > self.bytes / 4
    }
}

impl RocksEngine {
    /// What the large values of the log take on the disk.
    ///
    /// # Errors
    /// When the database does not say.
    pub fn log_space(&self) -> Result<LogSpace, StorageError> {
        let log = self.family(ColumnFamily::Log)?;
        let property =
            |name: &str| Ok::<_, StorageError>(self.db.property_int_value_cf(log, name)?.unwrap_or_default());
        Ok(LogSpace { bytes: property(BLOB_BYTES)?, garbage_bytes: property(GARBAGE_BYTES)? })
    }

    /// Gives the space of deleted log entries back. First only keys are rewritten: files whose entries are all deleted go. While
    /// more than a quarter of what is left is garbage, the oldest files are rewritten without it.
    ///
    /// Blocks for as long as it takes, up to minutes, beside other reads and writes: to be called now and then, off the async
    /// threads. A second call while one runs waits for it.
    ///
    /// # Errors
    /// When the database refuses; what was not given back is found by the next call.
    pub fn reclaim(&self) -> Result<LogSpace, StorageError> {
        let _alone = self.reclaiming.lock();
        self.rewrite_keys()?;
        for _ in 0..PASSES_MAX {
            if !self.log_space()?.is_worth_collecting() {
                break;
            }
            self.collect_blobs()?;
        }
        self.log_space()
    }

    /// Blob files whose keys are all gone go with them.
    pub(super) fn rewrite_keys(&self) -> Result<(), StorageError> {
        self.compact_log(BottommostLevelCompaction::IfHaveCompactionFilter)
    }

    fn collect_blobs(&self) -> Result<(), StorageError> {
        let log = self.family(ColumnFamily::Log)?;
        self.db.set_options_cf(log, &[(COLLECT, "true")])?;
        let collected = self.compact_log(BottommostLevelCompaction::ForceOptimized);
        self.db.set_options_cf(log, &[(COLLECT, "false")])?;
        collected
    }

    fn compact_log(&self, bottommost: BottommostLevelCompaction) -> Result<(), StorageError> {
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(bottommost);
        self.db.compact_range_cf_opt(self.family(ColumnFamily::Log)?, None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }
}

const BLOB_BYTES: &str = "rocksdb.live-blob-file-size";
const GARBAGE_BYTES: &str = "rocksdb.live-blob-file-garbage-size";
const COLLECT: &str = "enable_blob_garbage_collection";

/// Each pass takes the oldest quarter of the files there are: so many reach all of them, also those rewritten last.
const PASSES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{Durability, Engine, RocksOptions, ScanLimit, WriteBatch};

    const ENTRY_BYTES: usize = 20_000;

    fn write(engine: &RocksEngine, fill: impl FnOnce(&mut WriteBatch)) {
        let mut batch = WriteBatch::new();
        fill(&mut batch);
        engine.write(batch, Durability::Buffered).unwrap();
    }

    /// Two logs of 500 entries each, entry by entry in turn, so that every file holds both.
    fn interleaved_logs(directory: &TempDir) -> RocksEngine {
        let options = RocksOptions { log_memtable_bytes: 1 << 20, ..RocksOptions::default() };
        let engine = RocksEngine::open(directory.path(), &options).unwrap();
        for index in 0..500_u16 {
            for group in [1, 2] {
                let key = [&[group], &index.to_be_bytes()[..]].concat();
                write(&engine, |batch| batch.put(ColumnFamily::Log, key, vec![group; ENTRY_BYTES]));
            }
        }
        engine
    }

    fn entries(engine: &RocksEngine, group: u8) -> usize {
        let rows = engine.scan(ColumnFamily::Log, &[group]..&[group + 1], ScanLimit::NONE).unwrap();
        assert!(rows.iter().all(|(_, value)| value[..] == vec![group; ENTRY_BYTES]));
        rows.len()
    }

    #[test]
    fn the_space_of_a_deleted_log_is_given_back_though_others_interleave() {
        let directory = TempDir::new().unwrap();
        let engine = interleaved_logs(&directory);
        let before = engine.reclaim().unwrap();
        assert!(before.bytes > 1000 * ENTRY_BYTES as u64, "{before:?}");
        write(&engine, |batch| batch.delete_range(ColumnFamily::Log, vec![1], vec![2]));
        let after = engine.reclaim().unwrap();
        assert!(after.bytes < before.bytes * 7 / 10 && !after.is_worth_collecting(), "{before:?} {after:?}");
        assert_eq!((entries(&engine, 1), entries(&engine, 2)), (0, 500));
    }

    #[test]
    fn nothing_is_rewritten_when_nothing_is_deleted() {
        let directory = TempDir::new().unwrap();
        let engine = interleaved_logs(&directory);
        let first = engine.reclaim().unwrap();
        assert_eq!(first.garbage_bytes, 0);
        assert_eq!(engine.reclaim().unwrap(), first);
    }

    #[test]
    fn a_log_deleted_whole_leaves_nothing() {
        let directory = TempDir::new().unwrap();
        let engine = interleaved_logs(&directory);
        write(&engine, |batch| batch.delete_range(ColumnFamily::Log, vec![0], vec![9]));
        engine.remove_dead_files().unwrap();
        assert_eq!(engine.log_space().unwrap(), LogSpace { bytes: 0, garbage_bytes: 0 });
    }
}
