//! Whole batches from an offset on.

use std::sync::Arc;

use bytes::Bytes;
use caudal_storage::StorageError;
use caudal_types::Offset;
use tokio::time::Instant;

use crate::read::entries;
use crate::read::index::DiskIndex;
use crate::view::Budget;
use crate::{Partition, ReadError, ReadOutcome, ReadRequest};

/// What the disk had.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Whole batches, in pieces.
    pub(crate) records: Vec<Bytes>,
    /// Where the first batch begins that was too much.
    pub(crate) next: Option<Offset>,
}

impl Partition {
    pub(crate) async fn fetch(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        self.check_leader(request.current_leader_epoch)?;
        let offsets = self.published.offsets();
        let limit = if request.committed_only { offsets.last_stable } else { offsets.high_watermark };
        self.check_range(request.offset)?;
        let budget =
            Budget { offset: request.offset, limit, max_bytes: request.max_bytes, at_least_one: request.at_least_one };
        if budget.offset >= limit || (budget.max_bytes == 0 && !budget.at_least_one) {
            return Ok(ReadOutcome { offsets, records: Vec::new() });
        }
        if let Some(records) = self.fetch_cached(&budget) {
            return Ok(ReadOutcome { offsets, records });
        }
        let records = self.fetch_stored(budget).await?;
        // Should the log's start have passed by meanwhile, then what was read may begin too late.
        self.check_range(request.offset)?;
        Ok(ReadOutcome { offsets: self.published.offsets(), records })
    }

    fn fetch_cached(&self, budget: &Budget) -> Option<Vec<Bytes>> {
        let rows = self.published.view().tail.select(budget)?;
        entries::cached(&self.raft, &rows)
    }

    async fn fetch_stored(&self, budget: Budget) -> Result<Vec<Bytes>, ReadError> {
        let (disk, aheads) = (&self.node.disk, &self.node.aheads);
        let stored = match aheads.take(self.raft.id(), &budget).await {
            Some(stored) => stored,
            None => disk.run(self.read_stored(budget)).await.map_err(|error| self.unreadable(error))?,
        };
        if let Some(next) = stored.next {
            let budget = Budget { offset: next, ..budget };
            aheads.begin(self.raft.id(), budget, Instant::now(), |budget| disk.try_begin(self.read_stored(budget)));
        }
        Ok(stored.records)
    }

    fn read_stored(&self, budget: Budget) -> impl FnOnce() -> Result<Stored, StorageError> + Send + use<> {
        let (raft, engine) = (Arc::clone(&self.raft), Arc::clone(&self.node.engine));
        move || {
            let (mut rows, mut taken, mut next) = (Vec::new(), 0, None);
            let index = DiskIndex { engine: engine.as_ref(), group: raft.id() };
            index.walk(budget.offset, budget.limit, |row| {
                let fits = budget.allows(taken, row.length);
                if fits {
                    taken += row.length as usize;
                    rows.push(row);
                } else {
                    next = Some(row.base_offset);
                }
                fits
            })?;
            Ok(Stored { records: entries::stored(&raft, &rows)?, next })
        }
    }

    /// What a reader is told when the disk refuses or what is on it is damaged; in that case the replica is rebuilt.
    pub(crate) fn unreadable(&self, error: StorageError) -> ReadError {
        self.raft.note_damage(&error);
        storage(error)
    }

    fn check_range(&self, offset: Offset) -> Result<(), ReadError> {
        let now = self.published.offsets();
        if (now.log_start..=now.high_watermark).contains(&offset) {
            return Ok(());
        }
        Err(ReadError::OutOfRange { offset, start: now.log_start, end: now.high_watermark })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(crate) fn storage(error: StorageError) -> ReadError {
    ReadError::Storage(error.to_string())
}
