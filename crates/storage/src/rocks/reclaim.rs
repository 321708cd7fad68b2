//! Giving the space of deleted log entries back to the disk.

use rocksdb::{BottommostLevelCompaction, CompactOptions};

use super::RocksEngine;
use crate::engine::LogSpace;
use crate::rocks::options::RECLAIMED_FRACTION;
use crate::{ColumnFamily, FilesystemSize, StorageError};

impl LogSpace {
    /// Whether collecting pays: below that, more live bytes would be moved than are given back.
    fn is_worth_collecting(self) -> bool {
        self.garbage_bytes > self.bytes / 4
    }

    /// Which part of the files one pass rewrites, one of `files` at least, while `free` bytes are free on the disk: what is written is there beside the
    /// old files for a while, and half of what is free stays so. `None` where there is no room.
    #[expect(clippy::cast_precision_loss, reason = "a part of all, roughly")]
    fn collected_with(self, free: u64, files: u64) -> Option<f64> {
        // RocksDB takes so many files, rounded down.
        let one = 1.0 / files.max(1) as f64;
        let room = (free / 2) as f64 / self.bytes.max(1) as f64;
        (room >= one).then(|| RECLAIMED_FRACTION.max(one).min(room))
    }
}

impl RocksEngine {
    pub(super) fn files_of_log(&self) -> Result<LogSpace, StorageError> {
        Ok(LogSpace { bytes: self.property(BLOB_BYTES)?, garbage_bytes: self.property(GARBAGE_BYTES)? })
    }

    fn property(&self, name: &str) -> Result<u64, StorageError> {
        Ok(self.db.property_int_value_cf(self.family(ColumnFamily::Log)?, name)?.unwrap_or_default())
    }

    pub(super) fn reclaim_log(&self) -> Result<LogSpace, StorageError> {
        let _alone = self.reclaiming.lock();
        self.rewrite_keys()?;
        for _ in 0..PASSES_MAX {
            let space = self.files_of_log()?;
            let free = FilesystemSize::of(self.db.path())?.free;
            let Some(part) = space.collected_with(free, self.property(FILES)?).filter(|_| space.is_worth_collecting())
            else {
                break;
            };
            self.collect_blobs(part)?;
        }
        self.files_of_log()
    }

    /// Blob files whose keys are all gone go with them.
    pub(super) fn rewrite_keys(&self) -> Result<(), StorageError> {
        self.compact_log(BottommostLevelCompaction::IfHaveCompactionFilter)
    }

    /// Rewrites the oldest of the blob files without their garbage: so large a part of all.
    fn collect_blobs(&self, part: f64) -> Result<(), StorageError> {
        let log = self.family(ColumnFamily::Log)?;
        self.db.set_options_cf(log, &[(COLLECT, "true"), (COLLECTED_PART, &part.to_string())])?;
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
const FILES: &str = "rocksdb.num-blob-files";
const GARBAGE_BYTES: &str = "rocksdb.live-blob-file-garbage-size";
const COLLECTED_PART: &str = "blob_garbage_collection_age_cutoff";
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
    fn interleaved_logs(directory: &TempDir, log_memtable_bytes: usize) -> RocksEngine {
        let options = RocksOptions { log_memtable_bytes, ..RocksOptions::default() };
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
        let engine = interleaved_logs(&directory, 1 << 20);
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
        let engine = interleaved_logs(&directory, 1 << 20);
        let first = engine.reclaim().unwrap();
        assert_eq!(first.garbage_bytes, 0);
        assert_eq!(engine.reclaim().unwrap(), first);
    }

    #[test]
    fn a_pass_takes_no_more_than_the_disk_has_room_for() {
        let space = LogSpace { bytes: 1000, garbage_bytes: 300 };
        assert!(space.is_worth_collecting());
        assert_eq!(space.collected_with(5000, 20), Some(0.25));
        assert_eq!(space.collected_with(200, 20), Some(0.1));
        assert_eq!(space.collected_with(90, 20), None, "not even one file");
        assert_eq!(space.collected_with(5000, 2), Some(0.5), "one file at least");
        assert_eq!(space.collected_with(1999, 1), None);
    }

    #[test]
    fn the_space_in_a_few_large_files_is_given_back_too() {
        let directory = TempDir::new().unwrap();
        let engine = interleaved_logs(&directory, 8 << 20);
        let before = engine.reclaim().unwrap();
        assert!(engine.property(FILES).unwrap() < 4, "RocksDB rounds a quarter of so few files down to none");
        write(&engine, |batch| batch.delete_range(ColumnFamily::Log, vec![1], vec![2]));
        let after = engine.reclaim().unwrap();
        assert!(after.bytes < before.bytes * 7 / 10 && !after.is_worth_collecting(), "{before:?} {after:?}");
        assert_eq!((entries(&engine, 1), entries(&engine, 2)), (0, 500));
    }

    #[test]
    fn a_log_deleted_whole_leaves_nothing() {
        let directory = TempDir::new().unwrap();
        let engine = interleaved_logs(&directory, 1 << 20);
        write(&engine, |batch| batch.delete_range(ColumnFamily::Log, vec![0], vec![9]));
        engine.remove_dead_files().unwrap();
        assert_eq!(engine.log_space().unwrap(), LogSpace { bytes: 0, garbage_bytes: 0 });
    }
}
