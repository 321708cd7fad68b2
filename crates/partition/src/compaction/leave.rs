//! What is gathered from a batch, and what is left of it. Pure.

use std::collections::HashSet;
use std::ops::ControlFlow;

use caudal_protocol::batch::{BatchError, RecordBatch, RecordView};
use caudal_raft::LogEntry;
use caudal_storage::keys::index::IndexRow;
use caudal_types::{Offset, ProducerId};

use crate::EndMarker;
use crate::compaction::keys::{Full, KeyTable};
use crate::compaction::walk::{Aborted, Found};

/// What becomes of a batch's row in the offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    /// It is right as it is.
    Keep,
    /// The batch has another length.
    Put(IndexRow),
    /// Nothing is left of the batch.
    Delete,
}

/// What is left of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    /// What to put in its entry's place, if it lost records.
    pub(crate) entry: Option<LogEntry>,
    pub(crate) row: RowChange,
    /// It was the marker of an aborted transaction, of which nothing is to be known any more.
    pub(crate) forgets: bool,
    /// How many records it lost.
    pub(crate) removed: u64,
    /// The bytes of its entry from now on.
    pub(crate) bytes: u64,
}

/// The producers of whose transactions a record was left, on the way through a log in its order, and whose markers are still to come: no more than have
/// transactions open at once.
#[derive(Debug, Default)]
pub(crate) struct Ongoing(HashSet<ProducerId>);

/// By what it is decided which records stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// The newest offsets of keys, of the part of the log that was gathered.
    pub(crate) keys: &'a KeyTable,
    /// Tombstones before this offset go, and so do markers on which no record depends.
    pub(crate) tombstones_before: Offset,
}

/// Notes the keys of a batch's records from `from` on and before `to`; `Err` with the offset of the first one that did not fit. Those of a batch that cannot
/// be read are left out altogether: what is before it stays, since it may be all that can be read of a key.
pub(crate) fn gather(
    found: &Found,
    aborted: &Aborted,
    (from, to): (Offset, Offset),
    keys: &mut KeyTable,
) -> Result<(), Offset> {
    let base = found.row.base_offset;
    let Some(batch) = found.appended().filter(|batch| !aborted.holds(batch, base)) else {
        return Ok(());
    };
    if batch.for_each_record(&mut |_| ControlFlow::Continue(())).is_err() {
        return Ok(());
    }
    let mut result = Ok(());
    let noted = batch.for_each_record(&mut |record| {
        let offset = base + i64::from(record.offset_delta);
        let key = record.key.filter(|_| (from..to).contains(&offset));
        match key.map(|key| keys.put(key, offset)) {
            Some(Err(Full)) => {
                result = Err(offset);
                ControlFlow::Break(())
            }
            Some(Ok(())) | None => ControlFlow::Continue(()),
        }
    });
    noted.map_or(Ok(()), |()| result)
}

/// What is left of the next batch, of records or of control.
///
/// # Errors
/// When it cannot be read: then it stays as it is.
pub(crate) fn leave(
    found: &Found,
    aborted: &Aborted,
    rules: &Rules<'_>,
    ongoing: &mut Ongoing,
) -> Result<Left, BatchError> {
    if let Some(marker) = found.marker() {
        let has_records = ongoing.0.remove(&marker.producer_id);
        return Ok(leave_marker(found, marker, has_records, rules));
    }
    let left = leave_records(found, aborted, rules);
    let is_gone = matches!(&left, Ok(left) if left.row == RowChange::Delete);
    if let Some(batch) = found.appended().filter(|batch| batch.is_transactional() && !is_gone) {
        ongoing.0.insert(batch.producer_id());
    }
    left
}

/// What is left of the marker of a transaction. It goes when no record of the transaction is there any more, and tombstones of its age go. Its entry stays
/// as it is: applied again, it ends the transaction.
fn leave_marker(found: &Found, marker: &EndMarker, has_records: bool, rules: &Rules<'_>) -> Left {
    let goes = !has_records && found.row.base_offset < rules.tombstones_before;
    Left {
        entry: None,
        row: if goes { RowChange::Delete } else { RowChange::Keep },
        forgets: goes && !marker.commit,
        removed: 0,
        bytes: found.entry.payload.len() as u64,
    }
}

fn leave_records(found: &Found, aborted: &Aborted, rules: &Rules<'_>) -> Result<Left, BatchError> {
    let bytes = found.entry.payload.len() as u64;
    let same = Left { entry: None, row: RowChange::Keep, forgets: false, removed: 0, bytes };
    let (Some(logged), Some(batch)) = (&found.logged, found.appended()) else {
        return Ok(same);
    };
    let base = found.row.base_offset;
    let is_aborted = aborted.holds(batch, base);
    let left = batch.retain(&mut |record| !is_aborted && stays(record, base, rules))?;
    let Some((left, payload)) = left.and_then(|left| Some((logged.cleaned(&found.entry.payload, &left)?, left))) else {
        return Ok(Left { row: row_of(&found.row, batch), ..same });
    };
    let removed = u64::try_from(batch.record_count() - payload.record_count()).unwrap_or_default();
    let (row, bytes) = (row_of(&found.row, &payload), left.len() as u64);
    let entry = LogEntry { payload: left, ..found.entry };
    Ok(Left { entry: Some(entry), row, forgets: false, removed, bytes })
}

fn stays(record: &RecordView<'_>, base: Offset, rules: &Rules<'_>) -> bool {
    let Some(key) = record.key else { return false };
    let offset = base + i64::from(record.offset_delta);
    let is_newest = rules.keys.newest(key).is_none_or(|newest| newest <= offset);
    let is_tombstone = record.value.is_none();
    is_newest && !(is_tombstone && offset < rules.tombstones_before)
}

/// What becomes of the row of a batch that is `batch` now.
fn row_of(row: &IndexRow, batch: &RecordBatch) -> RowChange {
    let length = u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX);
    match batch.record_count() {
        0 => RowChange::Delete,
        _ if length == row.length => RowChange::Keep,
        _ => RowChange::Put(IndexRow { length, ..*row }),
    }
}
