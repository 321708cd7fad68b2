//! What the commands do: a pure function of the state and the entry, the same on every replica. No clock, no disk.
//!
//! # Layout
//! - [`producers`]: which batch is new, which was seen, which leaves a gap, which is late; the transactions that are open
//! - [`epochs`]: which leader epoch begins at which offset
//! - [`segments`]: runs of entries and their largest timestamps
//! - [`orders`]: how far the log is to be cleaned
//! - [`settings`]: the settings that travel in the log
//! - [`checkpoint`]: all of it in one value, at the start of a segment
//! - [`rows`]: all of it in rows
//! - [`append`], [`advance`]: what the commands do

mod advance;
mod append;
pub(crate) mod checkpoint;
pub(crate) mod epochs;
pub(crate) mod load;
pub(crate) mod orders;
pub(crate) mod producers;
pub(crate) mod rows;
pub(crate) mod segments;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use caudal_protocol::batch::RecordBatch;
use caudal_storage::{ColumnFamily, WriteBatch};
use caudal_types::{LeaderEpoch, Offset, ProducerId, RaftGroupId, TimestampMs};

pub(crate) use self::settings::Settings;
use crate::state::epochs::{EpochChange, Epochs};
use crate::state::orders::{Order, Orders};
use crate::state::producers::ProducerStates;
use crate::state::rows::RowKind;
use crate::state::segments::{OpenSegment, Segments, TimeBlock};
use crate::transaction::AbortedTransaction;
use crate::view::News;

/// The part of the state that most entries change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The offset that the next batch gets: one past the last committed record.
    pub(crate) next_offset: Offset,
    /// The first offset that can be read.
    pub(crate) log_start: Offset,
    /// The log's time: the largest clock of any leader so far.
    pub(crate) last_time: TimestampMs,
    /// The log's time at the last search for expired producers.
    pub(crate) last_sweep: TimestampMs,
    /// The settings that entries are applied by.
    pub(crate) settings: Settings,
    /// The segment that takes batches.
    pub(crate) open: OpenSegment,
    /// The time block that takes batches.
    pub(crate) block: TimeBlock,
}

/// A partition's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionState {
    pub(crate) head: Head,
    pub(crate) epochs: Epochs,
    pub(crate) producers: ProducerStates,
    pub(crate) segments: Segments,
    /// The Raft index of the oldest checkpoint: the log up to it is not needed. 0 when all of it is. Not in a row of its own: the checkpoint says it.
    pub(crate) checkpoint_index: u64,
    pub(crate) orders: Orders,
}

impl Default for PartitionState {
    /// The state before the first entry.
    fn default() -> Self {
        let head = Head {
            next_offset: 0,
            log_start: 0,
            last_time: 0,
            last_sweep: 0,
            settings: Settings::default(),
            open: OpenSegment::at(0),
            block: TimeBlock::at(0),
        };
        Self {
            head,
            epochs: Epochs::default(),
            producers: ProducerStates::default(),
            segments: Segments::default(),
            checkpoint_index: 0,
            orders: Orders::default(),
        }
    }
}

/// An entry's place in the Raft log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) epoch: LeaderEpoch,
    /// The bytes of the entry as it was proposed.
    pub(crate) bytes: u64,
    /// Where the batch begins in the entry.
    pub(crate) position: usize,
    /// The largest timestamp that the batch had before it was cleaned; `None` when it was not.
    pub(crate) max_timestamp: Option<TimestampMs>,
}

impl Place {
    /// The largest timestamp that the batch came with. Whatever is cleaned away, what applying it leaves must not depend on when that was.
    fn max_timestamp(&self, batch: &RecordBatch) -> TimestampMs {
        self.max_timestamp.unwrap_or(batch.max_timestamp())
    }
}

/// The rows that one apply call writes, and the new batches, for the readers' tail.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    group: RaftGroupId,
    batch: &'a mut WriteBatch,
    /// Producers whose rows are written once, at the end.
    producers: BTreeSet<ProducerId>,
    /// Those of them whose open transaction may be another one now.
    transactional: BTreeSet<ProducerId>,
    /// What readers are to see.
    pub(crate) news: News,
    head_changed: bool,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(group: RaftGroupId, batch: &'a mut WriteBatch) -> Self {
        let (producers, transactional) = (BTreeSet::new(), BTreeSet::new());
        Self { group, batch, producers, transactional, news: News::default(), head_changed: false }
    }

    fn epochs(&mut self, change: EpochChange) {
        for epoch in change.removed {
            self.batch.delete(ColumnFamily::State, rows::epoch_key(self.group, epoch));
        }
        if let Some(added) = change.added {
            let key = rows::epoch_key(self.group, added.epoch);
            self.batch.put(ColumnFamily::State, key, rows::encode_epoch(added.start));
        }
    }

    /// Whole segments went: so many bytes of the Raft log are not needed any more.
    fn shortened(&mut self, bytes: u64) {
        self.news.shortened = Some(self.news.shortened.unwrap_or_default() + bytes);
    }

    fn producer_changed(&mut self, id: ProducerId) {
        self.producers.insert(id);
    }

    fn transaction_changed(&mut self, id: ProducerId) {
        self.producers.insert(id);
        self.transactional.insert(id);
    }

    fn aborted(&mut self, transaction: AbortedTransaction, last_stable: Offset) {
        let key = RowKind::Aborted.key_at(self.group, transaction.last_offset);
        self.batch.put(ColumnFamily::State, key, rows::encode_aborted(&transaction, last_stable));
        self.news.aborted.push(transaction);
    }

    fn producers_gone(&mut self, ids: Vec<ProducerId>) {
        for id in ids {
            self.batch.delete(ColumnFamily::State, rows::producer_key(self.group, id));
        }
    }

    /// Removes the rows of a kind that are filed before an offset.
    fn delete_before(&mut self, kind: RowKind, offset: Offset) {
        self.batch.delete_range(ColumnFamily::State, kind.range(self.group).0, kind.key_at(self.group, offset));
    }

    /// Writes what is written once for all entries of the call; returns what readers are to see.
    pub(crate) fn finish(mut self, state: &PartitionState) -> News {
        for id in self.producers {
            if let Some(producer) = state.producers.get(id) {
                let key = rows::producer_key(self.group, id);
                self.batch.put(ColumnFamily::State, key, rows::encode_producer(producer));
            }
        }
        if self.head_changed {
            let key = RowKind::Head.key(self.group, 0);
            self.batch.put(ColumnFamily::State, key, rows::encode_head(&state.head));
        }
        for id in self.transactional {
            self.news.open.push((id, state.producers.get(id).and_then(|producer| producer.shown_open())));
        }
        self.news
    }
}

impl PartitionState {
    /// Takes notice of an entry's leader epoch; Raft's own entries do no more than this.
    pub(crate) fn begin_epoch(&mut self, epoch: LeaderEpoch, changes: &mut Changes<'_>) {
        if let Some(change) = self.epochs.begin(epoch, self.head.next_offset) {
            changes.epochs(change);
        }
    }

    /// Takes over the settings that later entries are applied by.
    pub(crate) fn configure(&mut self, settings: Settings, time: TimestampMs, changes: &mut Changes<'_>) {
        self.head.settings = settings;
        self.pass_time(time, changes);
    }

    /// Takes notice of how far the log is to be cleaned. Applying goes on as if it never were: see [`crate::command::Logged`].
    pub(crate) fn order_compaction(&mut self, order: Order, time: TimestampMs, changes: &mut Changes<'_>) {
        self.orders.take(order, time, self.head.next_offset);
        let key = RowKind::Orders.key(changes.group, 0);
        changes.batch.put(ColumnFamily::State, key, rows::encode_orders(&self.orders));
        changes.news.ordered = true;
        self.pass_time(time, changes);
    }

    /// The log's time at an entry whose leader's clock showed `clock`: it never goes back.
    pub(crate) fn time_of(&self, clock: TimestampMs) -> TimestampMs {
        self.head.last_time.max(clock)
    }

    /// One past the last record that a reader of committed records may see: what comes behind the beginning of an open transaction is not stable.
    pub(crate) fn last_stable(&self) -> Offset {
        self.producers.first_open().map_or(self.head.next_offset, |first| first.max(self.head.log_start))
    }

    fn pass_time(&mut self, time: TimestampMs, changes: &mut Changes<'_>) {
        self.head.last_time = time;
        changes.head_changed = true;
    }
}
