//! The batches themselves, from the Raft log.

use bytes::Bytes;
use caudal_protocol::batch::{BATCH_HEADER_LEN, RecordBatch, declared_len};
use caudal_raft::{LogEntry, RaftGroup};
use caudal_storage::StorageError;
use caudal_storage::keys::index::IndexRow;
use caudal_types::limits::READ_AT_ONCE_BYTES;

/// Reads the batches of `rows` from memory; `None` when one of them would need the disk.
pub(crate) fn cached(group: &RaftGroup, rows: &[IndexRow]) -> Option<Vec<Bytes>> {
    let mut pieces = Vec::with_capacity(2 * rows.len());
    for run in runs(rows) {
        let (from, to) = bounds(run)?;
        cut(run, &group.read_cached(from, to, usize::MAX)?, &mut pieces).ok()?;
    }
    Some(pieces)
}

/// Reads the batches of `rows` from memory or disk. Blocks.
pub(crate) fn stored(group: &RaftGroup, rows: &[IndexRow]) -> Result<Vec<Bytes>, StorageError> {
    let mut pieces = Vec::with_capacity(2 * rows.len());
    for run in runs(rows) {
        if let Some((from, to)) = bounds(run) {
            cut(run, &group.read(from, to, usize::MAX)?, &mut pieces)?;
        }
    }
    Ok(pieces)
}

/// Reads the entries of `rows`, one for each. Blocks.
pub(crate) fn holding(group: &RaftGroup, rows: &[IndexRow]) -> Result<Vec<LogEntry>, StorageError> {
    let mut holding = Vec::with_capacity(rows.len());
    for run in runs(rows) {
        if let Some((from, to)) = bounds(run) {
            let entries = group.read(from, to, usize::MAX)?;
            for row in run {
                holding.push(entry_of(row, &entries)?.clone());
            }
        }
    }
    Ok(holding)
}

/// Reads one batch, as the producer sent it. Blocks.
pub(crate) fn one(group: &RaftGroup, row: &IndexRow) -> Result<RecordBatch, StorageError> {
    let entries = group.read(row.raft_index, row.raft_index + 1, usize::MAX)?;
    slice(row, &entries).map(RecordBatch::from_trusted)
}

/// Rows whose entries lie side by side, so that each run is one read, and nothing is read that no row asks for. A run is not much more than
/// [`READ_AT_ONCE_BYTES`]: what reads it holds all of it a second and a third time meanwhile.
fn runs(rows: &[IndexRow]) -> impl Iterator<Item = &[IndexRow]> {
    let mut bytes = 0;
    rows.chunk_by(move |row, next| {
        bytes += row.length as usize;
        let together = match next.raft_index.wrapping_sub(row.raft_index) {
            0 => true,
            1 => bytes + next.length as usize <= READ_AT_ONCE_BYTES,
            _ => false,
        };
        bytes = if together { bytes } else { 0 };
        together
    })
}

fn bounds(run: &[IndexRow]) -> Option<(u64, u64)> {
    Some((run.first()?.raft_index, run.last()?.raft_index + 1))
}

/// Cuts the batches of a run out of its entries, base offset and leader epoch filled in.
fn cut(run: &[IndexRow], entries: &[LogEntry], pieces: &mut Vec<Bytes>) -> Result<(), StorageError> {
    for row in run {
        let batch = RecordBatch::from_trusted(slice(row, entries)?);
        pieces.extend(batch.patched(row.base_offset, row.leader_epoch));
    }
    Ok(())
}

fn missing(row: &IndexRow) -> StorageError {
    StorageError::Corrupt(format!(
        "the log has no batch at index {}, where the offset index has offset {}",
        row.raft_index, row.base_offset
    ))
}

fn entry_of<'a>(row: &IndexRow, entries: &'a [LogEntry]) -> Result<&'a LogEntry, StorageError> {
    let first = entries.first().ok_or_else(|| missing(row))?.index;
    let at = row.raft_index.checked_sub(first).and_then(|at| usize::try_from(at).ok());
    let entry = at.and_then(|at| entries.get(at)).filter(|entry| entry.index == row.raft_index);
    entry.ok_or_else(|| missing(row))
}

/// The batch of a row. How long it is its own header says: since the row was read, log compaction may have made it shorter.
fn slice(row: &IndexRow, entries: &[LogEntry]) -> Result<Bytes, StorageError> {
    let entry = entry_of(row, entries)?;
    let from = row.position as usize;
    let len = entry.payload.get(from..).and_then(declared_len).filter(|len| *len >= BATCH_HEADER_LEN);
    let to = len.and_then(|len| from.checked_add(len)).filter(|to| *to <= entry.payload.len());
    Ok(entry.payload.slice(from..to.ok_or_else(|| missing(row))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(raft_index: u64, length: u32) -> IndexRow {
        IndexRow { base_offset: 0, last_offset: 0, raft_index, leader_epoch: 0, position: 12, length, max_timestamp: 0 }
    }

    #[test]
    fn runs_break_where_an_entry_holds_no_batch() {
        let rows: Vec<_> = [3, 4, 4, 5, 7, 9, 10].map(|index| row(index, 0)).into();
        let found: Vec<_> = runs(&rows).map(|run| (bounds(run).unwrap(), run.len())).collect();
        assert_eq!(found, [((3, 6), 4), ((7, 8), 1), ((9, 11), 2)]);
        assert_eq!(runs(&[]).count(), 0);
    }

    #[test]
    fn runs_break_where_they_become_large_but_within_no_entry() {
        let half = READ_AT_ONCE_BYTES as u32 / 2;
        let rows = [(1, half), (2, half), (3, 1), (4, 3 * half), (5, half), (5, half), (5, half), (6, 1)];
        let found: Vec<_> = runs(&rows.map(|(index, length)| row(index, length))).map(<[_]>::len).collect();
        assert_eq!(found, [2, 1, 1, 3, 1]);
    }

    #[test]
    fn a_row_without_its_entry_is_damage_and_no_panic() {
        let entry_of = |index, len: u8, says: u8| {
            let mut payload = vec![0; 12 + usize::from(len)];
            payload[12 + 11] = says - 12;
            LogEntry { index, term: 1, payload: payload.into() }
        };
        let entry = |index| entry_of(index, 61, 61);
        assert_eq!(slice(&row(4, 61), &[entry(3), entry(4)]).unwrap().len(), 61);
        assert_eq!(slice(&row(4, 999), &[entry_of(4, 90, 70)]).unwrap().len(), 70, "it was rewritten meanwhile");
        for (bad, entries) in [
            (row(4, 61), vec![]),
            (row(4, 61), vec![entry(3)]),
            (row(2, 61), vec![entry(3)]),
            (row(4, 61), vec![entry_of(4, 61, 62)]),
            (row(4, 61), vec![entry_of(4, 61, 60)]),
            (IndexRow { position: 40, ..row(4, 61) }, vec![entry(4)]),
            (IndexRow { position: u32::MAX, ..row(4, 61) }, vec![entry(4)]),
            (row(4, 61), vec![entry(3), entry(5)]),
        ] {
            assert!(slice(&bad, &entries).is_err(), "{bad:?}");
        }
    }
}
