//! The aborted transactions in a range of offsets, from their rows.

use bytes::Bytes;
use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError};
use caudal_types::{Offset, RaftGroupId};

use crate::AbortedTransaction;
use crate::state::rows::{RowKind, decode_aborted};

/// How many rows are read at a time.
const ROWS: usize = 1000;

/// Those that have records or a marker from `offset` on and before `end`, by their markers. Blocks.
///
/// A transaction whose marker lies far behind `end` may have begun before it; the last stable offset in a row says whether any may still come.
pub(crate) fn stored(
    engine: &dyn Engine,
    group: RaftGroupId,
    offset: Offset,
    end: Offset,
) -> Result<Vec<AbortedTransaction>, StorageError> {
    let (mut from, (_, to)) = (RowKind::Aborted.key_at(group, offset), RowKind::Aborted.range(group));
    let mut found = Vec::new();
    loop {
        let rows = engine.scan(ColumnFamily::State, from.as_ref()..to.as_ref(), ScanLimit::rows(ROWS))?;
        for (key, value) in &rows {
            let (transaction, last_stable) = decode_aborted(key, value)?;
            if transaction.first_offset < end {
                found.push(transaction);
            }
            if last_stable >= end {
                return Ok(found);
            }
        }
        match rows.last() {
            Some((last, _)) if rows.len() == ROWS => from = Bytes::from([last.as_ref(), &[0]].concat()),
            Some(_) | None => return Ok(found),
        }
    }
}
