//! Whole batches from an offset on.

use std::sync::Arc;

use bytes::Bytes;
use caudal_storage::StorageError;

use crate::read::entries;
use crate::read::index::DiskIndex;
use crate::view::Budget;
use crate::{Partition, ReadError, ReadOutcome, ReadRequest};

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
        let (raft, engine) = (Arc::clone(&self.raft), Arc::clone(&self.node.engine));
        let read = move || {
            let mut rows = Vec::new();
            let mut taken = 0;
            let index = DiskIndex { engine: engine.as_ref(), group: raft.id() };
            index.walk(budget.offset, budget.limit, |row| {
                let fits = budget.allows(taken, row.length);
                if fits {
                    taken += row.length as usize;
                    rows.push(row);
                }
                fits
            })?;
            entries::stored(&raft, &rows)
        };
        self.node.disk.run(read).await.map_err(storage)
    }

    fn check_range(&self, offset: caudal_types::Offset) -> Result<(), ReadError> {
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
