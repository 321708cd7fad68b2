//! Rows in memory that lie over those of an engine.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use bytes::Bytes;
use tokio::time::Instant;

use super::merge::Direction;
use super::{DUE_AFTER, DUE_BYTES};
use crate::batch::join;
use crate::{ColumnFamily, ScanLimit, WriteBatch, WriteOp};

/// A row's new value; `None` when it was deleted.
pub(super) type Change = Option<Bytes>;

/// The newest change of each row that changed.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    tables: [BTreeMap<Bytes, Change>; ColumnFamily::ALL.len()],
    bytes: usize,
    /// When the first change came.
    since: Option<Instant>,
}

impl Overlay {
    /// Takes the changes of a batch, which deletes no ranges.
    pub(super) fn add(&mut self, batch: WriteBatch) {
        if !batch.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
        for op in batch.into_ops() {
            match op {
                WriteOp::Put { cf, key, head, body } => self.set(cf, key, Some(join(&head, &body))),
                WriteOp::Delete { cf, key } => self.set(cf, key, None),
                WriteOp::DeleteRange { .. } => debug_assert!(false, "ranges are written through"),
            }
        }
    }

    /// Takes the changes of an older overlay, where it has none itself.
    pub(super) fn put_under(&mut self, older: &Self) {
        for cf in ColumnFamily::ALL {
            for (key, change) in &older.tables[cf as usize] {
                if !self.tables[cf as usize].contains_key(key) {
                    self.set(cf, key.clone(), change.clone());
                }
            }
        }
        self.since = older.since.or(self.since);
    }

    /// The newest change of a row.
    pub(super) fn find(&self, cf: ColumnFamily, key: &[u8]) -> Option<&Change> {
        self.tables[cf as usize].get(key)
    }

    /// About the memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it need not go along with `batch`: it is neither due, nor would it matter which of both comes first.
    pub(super) fn may_wait(&self, batch: &WriteBatch) -> bool {
        let due = self.bytes >= DUE_BYTES || self.since.is_some_and(|since| since.elapsed() >= DUE_AFTER);
        let apart = |op: &WriteOp| matches!(op, WriteOp::Put { cf, .. } if self.tables[*cf as usize].is_empty());
        !due && batch.ops().iter().all(apart)
    }

    /// All changes, to write them.
    pub(super) fn to_batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for cf in ColumnFamily::ALL {
            for (key, change) in &self.tables[cf as usize] {
                match change {
                    Some(value) => batch.put(cf, key.clone(), value.clone()),
                    None => batch.delete(cf, key.clone()),
                }
            }
        }
        batch
    }

    #[cfg(test)]
    pub(super) fn make_due(&mut self) {
        self.since = Instant::now().checked_sub(DUE_AFTER);
    }

    fn set(&mut self, cf: ColumnFamily, key: Bytes, change: Change) {
        let (len, size) = (key.len(), |change: &Change| change.as_ref().map_or(0, Bytes::len));
        self.bytes += size(&change);
        match self.tables[cf as usize].insert(key, change) {
            Some(before) => self.bytes -= size(&before),
            None => self.bytes += len + ROW_COST_BYTES,
        }
    }

    /// The changes in `range` up to the one with which `limit` is reached by new values alone.
    fn first(
        &self,
        cf: ColumnFamily,
        range: &Range<&[u8]>,
        limit: ScanLimit,
        direction: Direction,
    ) -> Vec<(Bytes, Change)> {
        let mut values = 0;
        let wanted = |(_, change): &(&Bytes, &Change)| {
            let wanted = values < limit.rows;
            values += usize::from(change.is_some());
            wanted
        };
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        let rows = self.tables[cf as usize].range::<[u8], _>(bounds);
        let owned = |(key, change): (&Bytes, &Change)| (key.clone(), change.clone());
        match direction {
            Direction::Up => rows.take_while(wanted).map(owned).collect(),
            Direction::Down => rows.rev().take_while(wanted).map(owned).collect(),
        }
    }
}

/// The changes in `range`, in the order of the scan, of overlays of which the first is the newest: all of them, or those up to the one with
/// which `limit` is reached by new values alone.
pub(super) fn changes(
    overlays: [Option<&Overlay>; 2],
    cf: ColumnFamily,
    range: &Range<&[u8]>,
    limit: ScanLimit,
    direction: Direction,
) -> Vec<(Bytes, Change)> {
    if range.is_empty() {
        return Vec::new();
    }
    let [newer, older] =
        overlays.map(|overlay| overlay.map_or_else(Vec::new, |overlay| overlay.first(cf, range, limit, direction)));
    if newer.is_empty() || older.is_empty() {
        return [newer, older].concat();
    }
    let found: BTreeMap<_, _> = older.into_iter().chain(newer).collect();
    match direction {
        Direction::Up => found.into_iter().collect(),
        Direction::Down => found.into_iter().rev().collect(),
    }
}

/// About what a row takes in memory beside its bytes.
const ROW_COST_BYTES: usize = 160;
