//! The rows that say where batches lie.

use caudal_storage::keys::index::{self, IndexRow};
use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError};
use caudal_types::{Offset, RaftGroupId};

/// How many rows are read at a time: few at first, since a batch may be all that is wanted, and more and more for those who read on.
const PAGE_ROWS: (usize, usize) = (8, 256);
/// How much larger each page is than the one before.
const PAGE_GROWTH: usize = 4;

/// A partition's index on the disk. Everything here blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskIndex<'a> {
    pub(crate) engine: &'a dyn Engine,
    pub(crate) group: RaftGroupId,
}

impl DiskIndex<'_> {
    /// Visits the rows of the batches that hold offsets from `from` on and begin before `to`, in order, until `visit` says false.
    pub(crate) fn walk(
        &self,
        from: Offset,
        to: Offset,
        mut visit: impl FnMut(IndexRow) -> bool,
    ) -> Result<(), StorageError> {
        let mut next = self.batch_at(from)?;
        let mut page = PAGE_ROWS.0;
        while next < to {
            let (first, last) = (index::key(self.group, next), index::key(self.group, to));
            let limit = ScanLimit::rows(page);
            let rows = self.engine.scan(ColumnFamily::Index, first.as_ref()..last.as_ref(), limit)?;
            for (key, value) in &rows {
                let row = index::decode(key, value)?;
                next = row.last_offset + 1;
                if row.last_offset >= from && !visit(row) {
                    return Ok(());
                }
            }
            if rows.len() < page {
                return Ok(());
            }
            page = (page * PAGE_GROWTH).min(PAGE_ROWS.1);
        }
        Ok(())
    }

    /// The base offset of the batch that may hold `offset`: of the last one that begins at or before it.
    fn batch_at(&self, offset: Offset) -> Result<Offset, StorageError> {
        let (first, _) = index::group_range(self.group);
        let past = index::key(self.group, offset.saturating_add(1));
        let rows = self.engine.scan_back(ColumnFamily::Index, first.as_ref()..past.as_ref(), ScanLimit::rows(1))?;
        match rows.first() {
            Some((key, value)) => Ok(index::decode(key, value)?.base_offset),
            None => Ok(offset),
        }
    }
}
