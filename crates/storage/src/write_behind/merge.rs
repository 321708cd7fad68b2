//! One ordered answer from changes in memory and the rows below them.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Range;

use bytes::Bytes;

use super::overlay::Change;
use crate::engine::Row;
use crate::{ScanLimit, StorageError};

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

impl Direction {
    fn compare(self, a: &Bytes, b: &Bytes) -> Ordering {
        match self {
            Self::Up => a.cmp(b),
            Self::Down => b.cmp(a),
        }
    }
}

/// The rows in `range` up to `limit`: those that `scan` finds in the part of the range that it is given (stopping at the same limit), with
/// `changes` over them, which are in the scan's order. Deleted rows may make several scans necessary.
pub(super) fn merge(
    changes: &[(Bytes, Change)],
    range: &Range<&[u8]>,
    limit: ScanLimit,
    direction: Direction,
    mut scan: impl FnMut(Range<&[u8]>) -> Result<Vec<Row>, StorageError>,
) -> Result<Vec<Row>, StorageError> {
    if changes.is_empty() {
        return scan(range.clone());
    }
    let mut merged = Merged { rows: Vec::new(), bytes: 0, limit };
    let mut changes = changes.iter().peekable();
    // Where the next scan begins or, downwards, ends.
    let (mut start, mut end) = (Bytes::copy_from_slice(range.start), Bytes::copy_from_slice(range.end));
    loop {
        let below = scan(&start..&end)?;
        let read: usize = below.iter().map(|(key, value)| key.len() + value.len()).sum();
        let more = limit.reached(below.len(), read);
        let last = below.last().map(|(key, _)| key.clone());
        for row in below {
            merged.pass(&mut changes, |key| direction.compare(key, &row.0).is_lt());
            match changes.next_if(|(key, _)| *key == row.0) {
                Some((key, change)) => merged.push(key, change),
                None => merged.push(&row.0, &Some(row.1)),
            }
        }
        let (true, false, Some(last)) = (more, merged.is_full(), last) else { break };
        match direction {
            // The next key there could be.
            Direction::Up => start = [&last[..], &[0]].concat().into(),
            Direction::Down => end = last,
        }
    }
    merged.pass(&mut changes, |_| true);
    Ok(merged.rows)
}

struct Merged {
    rows: Vec<Row>,
    bytes: usize,
    limit: ScanLimit,
}

impl Merged {
    fn is_full(&self) -> bool {
        self.limit.reached(self.rows.len(), self.bytes)
    }

    fn push(&mut self, key: &Bytes, change: &Change) {
        if let Some(value) = change
            && !self.is_full()
        {
            self.bytes += key.len() + value.len();
            self.rows.push((key.clone(), value.clone()));
        }
    }

    /// Takes the changes for as long as `wanted`.
    fn pass<'a>(
        &mut self,
        changes: &mut Peekable<impl Iterator<Item = &'a (Bytes, Change)>>,
        wanted: impl Fn(&Bytes) -> bool,
    ) {
        while let Some((key, change)) = changes.next_if(|(key, _)| wanted(key)) {
            self.push(key, change);
        }
    }
}
