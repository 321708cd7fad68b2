//! What the state machine publishes and readers look at.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use caudal_storage::keys::index::IndexRow;
use caudal_types::limits::{PARTITION_ABORTED_REMEMBERED, PARTITION_TAIL_BATCHES};
use caudal_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::watch;

use crate::PartitionOffsets;
use crate::compaction::Progress;
use crate::state::epochs::Epochs;
use crate::state::orders::Orders;
use crate::state::segments::{OpenSegment, Segments, TimeBlock};
use crate::state::{PartitionState, Settings};
use crate::transaction::{AbortedTransaction, OpenTransaction};

/// What a read may return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The first offset wanted.
    pub(crate) offset: Offset,
    /// Batches from here on are not to be seen.
    pub(crate) limit: Offset,
    /// The most bytes.
    pub(crate) max_bytes: usize,
    /// The first batch comes whatever its size.
    pub(crate) at_least_one: bool,
}

impl Budget {
    /// Whether a batch of `len` bytes may follow `taken` bytes of others.
    pub(crate) fn allows(&self, taken: usize, len: u32) -> bool {
        let total = taken.saturating_add(len as usize);
        total <= self.max_bytes || (taken == 0 && self.at_least_one)
    }
}

/// The rows of the newest batches that have records, up to the log's end.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<IndexRow>);

impl Tail {
    fn push(&mut self, row: IndexRow) {
        if self.0.len() == PARTITION_TAIL_BATCHES {
            self.0.pop_front();
        }
        self.0.push_back(row);
    }

    /// A batch is shorter now, or there is nothing left of it.
    fn correct(&mut self, base_offset: Offset, row: Option<IndexRow>) {
        let Ok(at) = self.0.binary_search_by_key(&base_offset, |row| row.base_offset) else { return };
        match row {
            Some(row) => self.0[at] = row,
            None => drop(self.0.remove(at)),
        }
    }

    /// Where in the Raft log the newest batch lies that begins before `offset`; that of the oldest known one, which is later, when none is known to.
    pub(crate) fn index_before(&self, offset: Offset) -> Option<u64> {
        let before = self.0.partition_point(|row| row.base_offset < offset);
        self.0.get(before.saturating_sub(1)).map(|row| row.raft_index)
    }

    /// The batches that a read returns; `None` when the first of them is no longer in the tail.
    pub(crate) fn select(&self, budget: &Budget) -> Option<Vec<IndexRow>> {
        if self.0.front()?.base_offset > budget.offset {
            return None;
        }
        let first = self.0.partition_point(|row| row.last_offset < budget.offset);
        let mut taken = 0;
        let fits = |row: &&IndexRow| {
            let fits = row.base_offset < budget.limit && budget.allows(taken, row.length);
            taken += row.length as usize;
            fits
        };
        Some(self.0.range(first..).take_while(fits).copied().collect())
    }
}

/// The newest aborted transactions, without a gap from an offset on.
#[derive(Debug)]
pub(crate) struct Aborted {
    /// Every one whose marker lies here or later is there.
    from: Offset,
    newest: VecDeque<AbortedTransaction>,
}

impl Aborted {
    /// None yet; those with markers before `from` are in rows only.
    fn since(from: Offset) -> Self {
        Self { from, newest: VecDeque::new() }
    }

    fn push(&mut self, transaction: AbortedTransaction) {
        if self.newest.len() == PARTITION_ABORTED_REMEMBERED
            && let Some(oldest) = self.newest.pop_front()
        {
            self.from = oldest.last_offset + 1;
        }
        self.newest.push_back(transaction);
    }

    /// Its marker is gone.
    fn forget(&mut self, marker: Offset) {
        if let Ok(at) = self.newest.binary_search_by_key(&marker, |transaction| transaction.last_offset) {
            self.newest.remove(at);
        }
    }

    /// Those that have records or a marker from `offset` on and before `end`; `None` when they are not all there.
    pub(crate) fn between(&self, offset: Offset, end: Offset) -> Option<Vec<AbortedTransaction>> {
        let first = self.newest.partition_point(|transaction| transaction.last_offset < offset);
        let found = || self.newest.range(first..).filter(|transaction| transaction.first_offset < end);
        (self.from <= offset).then(|| found().copied().collect())
    }
}

/// An open transaction, and its producer's epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) transaction: OpenTransaction,
}

/// What was applied since the last time that it was published.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The batches that got offsets.
    pub(crate) appended: Vec<IndexRow>,
    /// The producers whose open transaction may have changed, with what it is now.
    pub(crate) open: Vec<(ProducerId, Option<Open>)>,
    /// The transactions that were aborted.
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// Whole segments went, with so many bytes of the Raft log.
    pub(crate) shortened: Option<u64>,
    /// The log is to be compacted.
    pub(crate) ordered: bool,
}

impl News {
    pub(crate) fn extend(&mut self, later: Self) {
        self.appended.extend(later.appended);
        self.open.extend(later.open);
        self.aborted.extend(later.aborted);
        if let Some(bytes) = later.shortened {
            self.shortened = Some(self.shortened.unwrap_or_default() + bytes);
        }
        self.ordered |= later.ordered;
    }
}

/// The state as of the last apply.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) tail: Tail,
    pub(crate) aborted: Aborted,
    /// Open transactions by their producers.
    pub(crate) open_transactions: HashMap<ProducerId, Open>,
    pub(crate) epochs: Epochs,
    pub(crate) segments: Segments,
    pub(crate) open: OpenSegment,
    pub(crate) block: TimeBlock,
    pub(crate) settings: Settings,
    /// The log's time at its last entry.
    pub(crate) last_time: TimestampMs,
    /// The Raft log up to this index is not needed any more.
    pub(crate) checkpoint_index: u64,
    /// How far the log is to be cleaned.
    pub(crate) orders: Orders,
    /// How far this replica has cleaned it.
    pub(crate) progress: Progress,
}

impl View {
    /// Where the oldest segment begins: nothing before it is there.
    pub(crate) fn oldest_base(&self) -> Offset {
        self.segments.first().map_or(self.open.base, |segment| segment.base)
    }

    /// The closed segments with about the bytes that log compaction has left of them.
    pub(crate) fn segments_as_left(&self) -> Segments {
        let mut segments = Segments::clone(&self.segments);
        if self.progress.upto > 0 {
            for segment in Segments::make_mut(&mut segments).iter_mut() {
                if segment.end <= self.progress.upto {
                    segment.bytes = self.progress.left_of(segment.bytes);
                }
            }
        }
        segments
    }
}

/// Where the state machine and the readers meet.
#[derive(Debug)]
pub(crate) struct Published {
    offsets: watch::Sender<PartitionOffsets>,
    view: RwLock<View>,
    /// The latest time in the log, or stamped by this node for it.
    clock: AtomicI64,
    /// How many times aborted transactions were forgotten, from [`COUNTS_FROM`] on.
    forgotten: AtomicU64,
    /// Held to forget some, or to keep them from being forgotten.
    forgetting: tokio::sync::RwLock<()>,
}

/// Each replica that is opened counts from another number on: what was read ahead from the one that was here before does not pass for what this one has.
static COUNTS_FROM: AtomicU64 = AtomicU64::new(0);

impl Published {
    pub(crate) fn new(state: &PartitionState) -> Self {
        let view = View {
            tail: Tail::default(),
            aborted: Aborted::since(state.head.next_offset),
            open_transactions: open_transactions(state),
            epochs: state.epochs.clone(),
            segments: state.segments.clone(),
            open: state.head.open,
            block: state.head.block,
            settings: state.head.settings,
            last_time: state.head.last_time,
            checkpoint_index: state.checkpoint_index,
            orders: state.orders.clone(),
            progress: Progress::default(),
        };
        Self {
            offsets: watch::Sender::new(offsets_of(state)),
            view: RwLock::new(view),
            clock: AtomicI64::new(state.head.last_time),
            forgotten: AtomicU64::new(COUNTS_FROM.fetch_add(1 << 32, Ordering::Relaxed)),
            forgetting: tokio::sync::RwLock::default(),
        }
    }

    /// Shows readers the state, and what is new in it since the last time.
    pub(crate) fn publish(&self, state: &PartitionState, news: News) {
        {
            let mut view = self.view.write();
            for row in news.appended {
                view.tail.push(row);
            }
            for transaction in news.aborted {
                view.aborted.push(transaction);
            }
            for (producer, open) in news.open {
                view.open_transactions.remove(&producer);
                view.open_transactions.extend(open.map(|open| (producer, open)));
            }
            view.epochs.clone_from(&state.epochs);
            view.segments.clone_from(&state.segments);
            view.open = state.head.open;
            view.block = state.head.block;
            view.settings = state.head.settings;
            view.last_time = state.head.last_time;
            view.checkpoint_index = state.checkpoint_index;
            view.orders.clone_from(&state.orders);
        }
        self.clock.fetch_max(state.head.last_time, Ordering::Relaxed);
        let now = offsets_of(state);
        self.offsets.send_if_modified(|before| std::mem::replace(before, now) != now);
    }

    /// Shows readers a state that came as a snapshot: no batch before it is there any more.
    pub(crate) fn reset(&self, state: &PartitionState) {
        {
            let mut view = self.view.write();
            view.tail = Tail::default();
            view.aborted = Aborted::since(state.head.next_offset);
            view.open_transactions = open_transactions(state);
            view.progress = Progress::default();
        }
        self.publish(state, News::default());
    }

    /// A planted defect: see [`caudal_types::mutant`].
    pub(crate) fn pretend_log_start(&self, offset: Offset) {
        self.offsets.send_modify(|offsets| offsets.log_start = offsets.log_start.max(offset));
    }

    /// The log is clean so far.
    pub(crate) fn progressed(&self, progress: Progress) {
        self.view.write().progress = progress;
    }

    /// Batches are shorter now, or there is nothing left of them. To be told while nothing is applied.
    pub(crate) fn cleaned(&self, rows: impl IntoIterator<Item = (Offset, Option<IndexRow>)>) {
        let mut view = self.view.write();
        for (base_offset, row) in rows {
            view.tail.correct(base_offset, row);
        }
    }

    /// Lets nobody keep aborted transactions from being forgotten. To be held around [`forget_aborted`](Self::forget_aborted).
    pub(crate) async fn forgetting(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.forgetting.write().await
    }

    /// As long as this is held, no aborted transaction is forgotten. For reads that came too late already: others need not wait for a pass.
    pub(crate) async fn none_forgotten(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.forgetting.read().await
    }

    /// Aborted transactions are not known any more, by their markers: nothing is left of their records. To be told before their rows go, and those rows
    /// before the markers.
    pub(crate) fn forget_aborted(&self, markers: &[Offset]) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        let mut view = self.view.write();
        for marker in markers {
            view.aborted.forget(*marker);
        }
    }

    /// Changes when aborted transactions are forgotten. What was read, and the list of the aborted transactions in it, which is made later, fit together
    /// if this was the same before the one and after the other.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read()
    }

    pub(crate) fn offsets(&self) -> PartitionOffsets {
        *self.offsets.borrow()
    }

    pub(crate) fn watch_offsets(&self) -> watch::Receiver<PartitionOffsets> {
        self.offsets.subscribe()
    }

    /// The time to stamp a command with: the clock's, but never before what the log has seen.
    pub(crate) fn stamp(&self, now: TimestampMs) -> TimestampMs {
        self.clock.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// The offsets of a state.
fn offsets_of(state: &PartitionState) -> PartitionOffsets {
    let (log_start, high_watermark) = (state.head.log_start, state.head.next_offset);
    PartitionOffsets { log_start, high_watermark, last_stable: state.last_stable() }
}

fn open_transactions(state: &PartitionState) -> HashMap<ProducerId, Open> {
    state.producers.iter_open().filter_map(|(id, producer)| Some((id, producer.shown_open()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(base_offset: Offset, records: i64, length: u32) -> IndexRow {
        IndexRow {
            base_offset,
            last_offset: base_offset + records - 1,
            raft_index: 0,
            leader_epoch: 0,
            position: 0,
            length,
            max_timestamp: 0,
        }
    }

    fn bases(tail: &Tail, budget: Budget) -> Option<Vec<Offset>> {
        tail.select(&budget).map(|rows| rows.iter().map(|row| row.base_offset).collect())
    }

    const ALL: Budget = Budget { offset: 0, limit: i64::MAX, max_bytes: usize::MAX, at_least_one: true };

    #[test]
    fn a_read_gets_whole_batches_within_its_budget() {
        let mut tail = Tail::default();
        assert_eq!(bases(&tail, ALL), None);
        for base in [10, 20, 30] {
            tail.push(row(base, 10, 100));
        }
        assert_eq!(bases(&tail, ALL), None, "offset 0 is older than the tail");
        let from = |offset| Budget { offset, ..ALL };
        assert_eq!(bases(&tail, from(10)), Some(vec![10, 20, 30]));
        assert_eq!(bases(&tail, from(29)), Some(vec![20, 30]), "inside a batch");
        assert_eq!(bases(&tail, from(40)), Some(vec![]));
        assert_eq!(bases(&tail, Budget { limit: 30, ..from(10) }), Some(vec![10, 20]));
        assert_eq!(bases(&tail, Budget { max_bytes: 200, ..from(10) }), Some(vec![10, 20]));
        assert_eq!(bases(&tail, Budget { max_bytes: 1, ..from(10) }), Some(vec![10]));
        assert_eq!(bases(&tail, Budget { max_bytes: 99, at_least_one: false, ..from(10) }), Some(vec![]));
    }

    #[test]
    fn what_is_cleaned_away_is_not_read_any_more() {
        let mut tail = Tail::default();
        for base in [10, 20, 30] {
            tail.push(row(base, 10, 100));
        }
        tail.correct(20, Some(row(20, 10, 70)));
        assert_eq!(bases(&tail, Budget { max_bytes: 270, ..ALL }), None);
        let from = |offset, max_bytes| Budget { offset, max_bytes, ..ALL };
        assert_eq!(bases(&tail, from(10, 270)), Some(vec![10, 20, 30]));
        tail.correct(20, None);
        tail.correct(25, None);
        assert_eq!(bases(&tail, from(10, 200)), Some(vec![10, 30]));
        assert_eq!(bases(&tail, from(20, 1)), Some(vec![30]), "within what is gone");
        tail.correct(10, None);
        assert_eq!(bases(&tail, from(10, 200)), None, "it is to be looked for on the disk");
    }

    #[test]
    fn what_lies_before_an_offset_is_found_in_the_raft_log() {
        let mut tail = Tail::default();
        assert_eq!(tail.index_before(5), None);
        for (index, base) in [(7, 10), (9, 20), (12, 30)] {
            tail.push(IndexRow { raft_index: index, ..row(base, 10, 100) });
        }
        assert_eq!([20, 21, 30, 31, 40].map(|offset| tail.index_before(offset)), [7, 9, 9, 12, 12].map(Some));
        assert_eq!(tail.index_before(3), Some(7), "more than is needed, rather than less");
    }

    #[test]
    fn the_tail_is_bounded() {
        let mut tail = Tail::default();
        let batches = i64::try_from(PARTITION_TAIL_BATCHES).unwrap() + 1;
        for base in 0..batches {
            tail.push(row(base, 1, 1));
        }
        assert_eq!(tail.0.len(), PARTITION_TAIL_BATCHES);
        assert_eq!(bases(&tail, ALL), None);
        assert_eq!(bases(&tail, Budget { offset: batches - 1, ..ALL }), Some(vec![batches - 1]));
    }

    #[test]
    fn aborted_transactions_are_known_as_far_back_as_there_is_room() {
        let transaction = |first_offset, last_offset| AbortedTransaction { producer_id: 1, first_offset, last_offset };
        let mut aborted = Aborted::since(10);
        assert_eq!(aborted.between(9, 100), None, "those before may be in rows");
        assert_eq!(aborted.between(10, 100), Some(vec![]));
        let (first, second) = (transaction(5, 12), transaction(14, 20));
        aborted.push(first);
        aborted.push(second);
        assert_eq!(aborted.between(10, 100), Some(vec![first, second]));
        assert_eq!(aborted.between(12, 14), Some(vec![first]), "its marker is read, and the other's records are not");
        assert_eq!(aborted.between(13, 15), Some(vec![second]));
        for number in 0..PARTITION_ABORTED_REMEMBERED as i64 - 1 {
            aborted.push(transaction(100 + number, 100 + number));
        }
        assert_eq!(aborted.between(12, 14), None);
        assert_eq!(aborted.between(13, 15), Some(vec![second]));
    }

    #[test]
    fn what_was_read_from_a_replica_that_was_here_before_is_told_from_what_this_one_has() {
        let replica = || Published::new(&PartitionState::default());
        let (before, now) = (replica(), replica());
        before.forget_aborted(&[]);
        for _ in 0..3 {
            now.forget_aborted(&[]);
            assert_ne!(before.forgotten(), now.forgotten());
        }
    }

    #[test]
    fn a_transaction_whose_marker_is_gone_is_not_told_of() {
        let transaction = |first_offset, last_offset| AbortedTransaction { producer_id: 1, first_offset, last_offset };
        let mut aborted = Aborted::since(0);
        let (first, second) = (transaction(5, 12), transaction(14, 20));
        aborted.push(first);
        aborted.push(second);
        aborted.forget(13);
        assert_eq!(aborted.between(0, 100), Some(vec![first, second]), "13 is no marker");
        aborted.forget(12);
        assert_eq!(aborted.between(0, 100), Some(vec![second]));
    }
}
