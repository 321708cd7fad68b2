//! The engine on disk.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use crate::engine::Row;
use crate::{ColumnFamily, Durability, Engine, ScanLimit, StorageError, WriteBatch};

/// What is settled when the database is opened. The defaults are measured; see `docs/benchmarks.md`.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Bytes of memory for cached blocks over all column families.
    pub block_cache_bytes: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { block_cache_bytes: 32 << 20 }
    }
}

/// One RocksDB per data directory.
#[derive(Debug)]
pub struct RocksEngine {}

impl RocksEngine {
    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    /// When it cannot be opened, is damaged, or another process has it open.
    pub fn open(_path: &Path, _options: &RocksOptions) -> Result<Self, StorageError> {
        todo!()
    }
}

impl Engine for RocksEngine {
    fn get(&self, _cf: ColumnFamily, _key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        todo!()
    }

    fn scan(&self, _cf: ColumnFamily, _range: Range<&[u8]>, _limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        todo!()
    }

    fn scan_back(&self, _cf: ColumnFamily, _range: Range<&[u8]>, _limit: ScanLimit) -> Result<Vec<Row>, StorageError> {
        todo!()
    }

    fn write(&self, _batch: WriteBatch, _durability: Durability) -> Result<(), StorageError> {
        todo!()
    }
}
