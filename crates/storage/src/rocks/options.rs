//! How RocksDB is set up, and why.

use std::thread::available_parallelism;

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use crate::ColumnFamily;

/// What is settled when the database is opened. The defaults are measured; see `docs/benchmarks.md`.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Bytes of memory for cached blocks over all column families.
    pub block_cache_bytes: usize,
    /// Bytes of entries that are gathered in memory before they go to a file; up to four times as many are held while
    /// the disk is behind.
    pub log_memtable_bytes: usize,
    /// Flushes, compactions and reads go around the page cache, where the filesystem lets them: that takes half the CPU per byte. What is read
    /// often is in the block cache, and the newest log entries in the log cache above.
    pub direct_io: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { block_cache_bytes: 32 * MIB, log_memtable_bytes: 32 * MIB, direct_io: true }
    }
}

impl RocksOptions {
    pub(super) fn block_cache(&self) -> Cache {
        Cache::new_lru_cache(self.block_cache_bytes)
    }

    pub(super) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        self.set_wal(&mut options);
        options.set_bytes_per_sync(MIB as u64);
        options.set_use_direct_io_for_flush_and_compaction(self.direct_io);
        options.set_use_direct_reads(self.direct_io);
        // Where reads go through the page cache, who reads the log reads on: let the kernel read ahead.
        options.set_advise_random_on_open(false);
        options.set_max_background_jobs(background_jobs());
        options.set_max_open_files(MAX_OPEN_FILES);
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_skip_stats_update_on_db_open(true);
        set_info_log(&mut options);
        options
    }

    pub(super) fn column_family(&self, cf: ColumnFamily, cache: &Cache) -> Options {
        let mut options = Options::default();
        options.set_block_based_table_factory(&table(cf, cache));
        match cf {
            ColumnFamily::Log => self.set_log(&mut options),
            ColumnFamily::Raft => set_small(&mut options, 4 * MIB),
            ColumnFamily::Index | ColumnFamily::State => set_small(&mut options, 16 * MIB),
        }
        options
    }

    /// The write-ahead log. Point-in-time recovery is the one mode that goes with recycled files: what a crash left half
    /// written, or what an earlier use of the file left behind it, ends the replay and is no error. Everything synced lies before
    /// it, and data files never run ahead of the log, since RocksDB syncs a full log file before it flushes what the file covers.
    ///
    /// Every write goes through the WAL (RocksDB refuses one that does not while files are recycled), so column families agree
    /// without atomic flush, which would only flush the small ones each time that `log` is full.
    ///
    /// What the small ones have in memory keeps log files that nothing else needs: they are flushed, too, before these take more room than the memtables of
    /// `log` need when the disk is behind. Files that are not needed any more are used again, so that the most there ever were remain.
    fn set_wal(&self, options: &mut Options) {
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_recycle_log_file_num(8);
        options.set_wal_bytes_per_sync(MIB as u64);
        options.set_max_total_wal_size((LOG_MEMTABLES as u64 + 1) * self.log_memtable_bytes as u64);
    }

    /// Record batches lie in blob files, so that compaction moves keys only. Producers compress; we do not again.
    ///
    /// Blobs are not collected in passing: each compaction would rewrite the oldest quarter of all blobs whose keys it meets, and
    /// it meets nearly all, since Raft groups interleave (2.5 bytes written for each that came in became 4.2 after 7 GB, and more
    /// with more data). [`Engine::reclaim`](crate::Engine::reclaim) does it when there is something to gain.
    fn set_log(&self, options: &mut Options) {
        options.set_write_buffer_size(self.log_memtable_bytes);
        options.set_max_write_buffer_number(LOG_MEMTABLES);
        options.set_compression_type(DBCompressionType::None);
        options.set_enable_blob_files(true);
        options.set_min_blob_size(1 << 10);
        options.set_blob_file_size(128 * MIB as u64);
        options.set_blob_compression_type(DBCompressionType::None);
        options.set_enable_blob_gc(false);
        options.set_blob_gc_age_cutoff(RECLAIMED_FRACTION);
    }
}

/// Tables of small rows, many of them overwritten.
fn set_small(options: &mut Options, memtable_bytes: usize) {
    options.set_write_buffer_size(memtable_bytes);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_target_file_size_base(16 * MIB as u64);
    options.set_max_bytes_for_level_base(64 * MIB as u64);
}

fn table(cf: ColumnFamily, cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    // Counted into the cache's bytes, or they would grow with the data.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if matches!(cf, ColumnFamily::State) {
        table.set_bloom_filter(10.0, false);
    }
    table
}

/// RocksDB's own log: enough to explain a fault, and bounded.
fn set_info_log(options: &mut Options) {
    options.set_log_level(LogLevel::Info);
    options.set_max_log_file_size(4 * MIB);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
}

/// One to flush and one to compact at least, and no more than serve one disk.
fn background_jobs() -> i32 {
    if available_parallelism().map_or(1, usize::from) < 4 { 2 } else { 4 }
}

/// How much of the blob files, oldest first, one pass of collection rewrites.
pub(super) const RECLAIMED_FRACTION: f64 = 0.25;
const MIB: usize = 1 << 20;
const LOG_MEMTABLES: i32 = 4;
const MAX_OPEN_FILES: i32 = 1024;
