//! An engine in memory, for tests.

use std::ops::Range;

use bytes::Bytes;

use crate::engine::Row;
use crate::{ColumnFamily, Durability, Engine, ScanLimit, StorageError, WriteBatch};

/// Keeps the contract of [`Engine`] in memory; [`crash`](Self::crash) loses what was not synced.
#[derive(Debug, Default)]
pub struct MemEngine {}

impl MemEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all writes since the last synced one, as a power cut would.
    pub fn crash(&self) {
        todo!()
    }

    /// Lets every later write fail with `reason`, as a broken disk would; `None` mends it.
    pub fn fail_writes(&self, _reason: Option<String>) {
        todo!()
    }
}

impl Engine for MemEngine {
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
