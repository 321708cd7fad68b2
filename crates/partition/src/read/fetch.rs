//! Whole batches from an offset on.

use std::sync::Arc;

use bytes::Bytes;
use caudal_storage::StorageError;
use caudal_storage::keys::index::IndexRow;
use caudal_types::{Offset, mutant};
use tokio::time::Instant;

use crate::read::index::DiskIndex;
use crate::read::{aborted, entries};
use crate::view::Budget;
use crate::{AbortedTransaction, Partition, ReadError, ReadOutcome, ReadRequest};

/// What the disk had.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Whole batches, in pieces.
    pub(crate) records: Vec<Bytes>,
    /// Where the last of them ends.
    pub(crate) end: Offset,
    /// Where the first batch begins that was too much.
    pub(crate) next: Option<Offset>,
    /// [`Published::forgotten`](crate::view::Published::forgotten) before it was read.
    pub(crate) forgotten: u64,
}

/// Batches, and where the last of them ends.
struct Batches {
    records: Vec<Bytes>,
    end: Offset,
    /// See [`Stored`].
    forgotten: u64,
}

impl Partition {
    pub(crate) async fn fetch(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        let mut none_forgotten = None;
        loop {
            if let Some(outcome) = self.try_fetch(&request).await? {
                return Ok(outcome);
            }
            // Log compaction has forgotten aborted transactions meanwhile. It may do so in one part of the log after the other, each time sooner than a
            // large read, or one on a busy disk, comes to its end: now it waits for this one.
            if none_forgotten.is_none() {
                none_forgotten = Some(self.published.none_forgotten().await);
            }
        }
    }

    /// `None` when the list of aborted transactions may not fit to what was read.
    async fn try_fetch(&self, request: &ReadRequest) -> Result<Option<ReadOutcome>, ReadError> {
        let leads = self.check_reader(request)?;
        if leads && request.offset > self.published.offsets().high_watermark {
            // A follower may have shown more already. Nobody who is told of a wrong offset would come back to it.
            self.settle().await?;
            self.check_reader(request)?;
        }
        let offsets = self.published.offsets();
        let limit = if request.committed_only { offsets.last_stable } else { offsets.high_watermark };
        self.check_range(request.offset, leads)?;
        let budget =
            Budget { offset: request.offset, limit, max_bytes: request.max_bytes, at_least_one: request.at_least_one };
        if budget.offset >= limit || (budget.max_bytes == 0 && !budget.at_least_one) {
            if !leads {
                self.check_follows()?;
            }
            return Ok(Some(ReadOutcome { offsets, records: Vec::new(), aborted: Vec::new() }));
        }
        if let Some(batches) = self.fetch_cached(&budget) {
            let aborted = self.aborted(request, &batches).await?;
            // Should the log's start have passed by meanwhile, then the rows of aborted transactions went that these batches are of.
            self.check_range(request.offset, leads)?;
            return Ok(aborted.map(|aborted| ReadOutcome { offsets, records: batches.records, aborted }));
        }
        // Should the log's start have passed by meanwhile, then what is not there is no damage.
        let unreadable =
            |error| self.check_range(request.offset, leads).err().unwrap_or_else(|| self.unreadable(error));
        let batches = self.fetch_stored(budget).await.map_err(unreadable)?;
        let aborted = self.aborted(request, &batches).await?;
        // And what was read may begin too late.
        self.check_range(request.offset, leads)?;
        let offsets = self.published.offsets();
        Ok(aborted.map(|aborted| ReadOutcome { offsets, records: batches.records, aborted }))
    }

    /// The aborted transactions that have records in what was read; `None` when some were forgotten since that began.
    async fn aborted(
        &self,
        request: &ReadRequest,
        batches: &Batches,
    ) -> Result<Option<Vec<AbortedTransaction>>, ReadError> {
        if !request.committed_only || mutant::active("aborted_data_visible") {
            return Ok(Some(Vec::new()));
        }
        let aborted = self.aborted_between(request.offset, batches.end).await?;
        Ok((self.published.forgotten() == batches.forgotten).then_some(aborted))
    }

    /// The aborted transactions that have records there: from memory if they are there, else from their rows.
    async fn aborted_between(&self, from: Offset, end: Offset) -> Result<Vec<AbortedTransaction>, ReadError> {
        let known = self.published.view().aborted.between(from, end);
        if let Some(known) = known {
            return Ok(known);
        }
        let (engine, group) = (Arc::clone(&self.node.engine), self.raft.id());
        let read = move || aborted::stored(engine.as_ref(), group, from, end);
        self.node.disk.run(read).await.map_err(|error| self.unreadable(error))
    }

    fn fetch_cached(&self, budget: &Budget) -> Option<Batches> {
        let forgotten = self.published.forgotten();
        let rows = self.published.view().tail.select(budget)?;
        Some(Batches { records: entries::cached(&self.raft, &rows)?, end: end_of(&rows, budget), forgotten })
    }

    async fn fetch_stored(&self, budget: Budget) -> Result<Batches, StorageError> {
        let (disk, aheads) = (&self.node.disk, &self.node.aheads);
        let stored = match aheads.take(self.raft.id(), &budget).await {
            Some(stored) => stored,
            None => disk.run(self.read_stored(budget)).await?,
        };
        if let Some(next) = stored.next {
            let budget = Budget { offset: next, ..budget };
            aheads.begin(self.raft.id(), budget, Instant::now(), |budget| disk.try_begin(self.read_stored(budget)));
        }
        Ok(Batches { records: stored.records, end: stored.end, forgotten: stored.forgotten })
    }

    fn read_stored(&self, budget: Budget) -> impl FnOnce() -> Result<Stored, StorageError> + Send + use<> {
        let (raft, engine) = (Arc::clone(&self.raft), Arc::clone(&self.node.engine));
        let published = Arc::clone(&self.published);
        move || {
            let forgotten = published.forgotten();
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
            Ok(Stored { records: entries::stored(&raft, &rows)?, end: end_of(&rows, &budget), next, forgotten })
        }
    }

    /// What a reader is told when the disk refuses or what is on it is damaged; in that case the replica is rebuilt.
    pub(crate) fn unreadable(&self, error: StorageError) -> ReadError {
        self.raft.note_damage(&error);
        storage(error)
    }

    /// What lies beyond a follower's end the leader may have; what lies before its start is gone everywhere.
    fn check_range(&self, offset: Offset, leads: bool) -> Result<(), ReadError> {
        let now = self.published.offsets();
        if (now.log_start..=now.high_watermark).contains(&offset) {
            return Ok(());
        }
        if !leads && offset > now.high_watermark {
            return Err(ReadError::NotYet { offset, end: now.high_watermark });
        }
        Err(ReadError::OutOfRange { offset, start: now.log_start, end: now.high_watermark })
    }
}

/// One past the last offset of what is read.
fn end_of(rows: &[IndexRow], budget: &Budget) -> Offset {
    rows.last().map_or(budget.offset, |row| row.last_offset + 1)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(crate) fn storage(error: StorageError) -> ReadError {
    ReadError::Storage(error.to_string())
}

#[cfg(test)]
mod tests {
    use caudal_storage::MemEngine;

    use super::*;
    use crate::testing::{BatchSpec, DEADLINE, TestNode, append, from, topic_config};
    use crate::view::Published;

    async fn forget_all_the_time(published: &Published) {
        loop {
            let _alone = published.forgetting().await;
            published.forget_aborted(&[]);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_read_ends_though_transactions_are_forgotten_all_the_time() {
        let engine = Arc::new(MemEngine::new());
        let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
        let partition = node.partition(topic_config()).await;
        append(&partition, &BatchSpec::plain(3)).await.unwrap();
        drop(partition);
        node.stop().await;

        // It is not in memory any more: what is read, and what is known of its transactions, comes from the disk.
        let node = TestNode::start(engine).await;
        let partition = node.partition(topic_config()).await;
        let read = async {
            tokio::select! {
                outcome = partition.read(ReadRequest { committed_only: true, ..from(0) }) => outcome.unwrap(),
                () = forget_all_the_time(&partition.published) => unreachable!("it forgets for ever"),
            }
        };
        let outcome = tokio::time::timeout(DEADLINE, read).await.expect("the read comes to its end");
        assert!(!outcome.is_empty());
        drop(partition);
        node.stop().await;
    }
}
