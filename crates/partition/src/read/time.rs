//! Finding batches by time.
//!
//! Timestamps come from producers and need not grow, so nothing can be bisected. Instead the largest timestamp of each segment, and within it of each time
//! block of 512 batches, lets a search step over what cannot hold the answer.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use caudal_protocol::batch::RecordView;
use caudal_raft::RaftGroup;
use caudal_storage::keys::index::IndexRow;
use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError};
use caudal_types::{Offset, RaftGroupId, TimestampMs};

use crate::FoundOffset;
use crate::read::entries;
use crate::read::index::DiskIndex;
use crate::state::rows::{self, RowKind};
use crate::state::segments::{NO_TIMESTAMP, OpenSegment, Segments, TimeBlock};

/// A run of offsets and the largest timestamp in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    base: Offset,
    end: Offset,
    max_timestamp: TimestampMs,
}

/// A search at one moment of the log. Everything here blocks.
#[derive(Clone, Debug)]
pub(crate) struct TimeSearch<'a> {
    pub(crate) engine: &'a dyn Engine,
    pub(crate) group: RaftGroupId,
    pub(crate) segments: Segments,
    pub(crate) open: OpenSegment,
    pub(crate) block: TimeBlock,
    /// The first offset that can be read.
    pub(crate) log_start: Offset,
    /// One past the last offset that the reader may see.
    pub(crate) end: Offset,
    /// One past the last offset that is there: `end`, or what lies above the last stable offset too.
    pub(crate) log_end: Offset,
}

impl TimeSearch<'_> {
    /// The first record whose timestamp is at least `target`.
    pub(crate) fn first_from(
        &self,
        raft: &RaftGroup,
        target: TimestampMs,
    ) -> Result<Option<FoundOffset>, StorageError> {
        let mut found = Ok(None);
        self.batches_from(target, |row| {
            found = self.record_from(raft, &row, target);
            matches!(found, Ok(None))
        })?;
        found
    }

    /// The first record with the largest timestamp of all that are there. As in Kafka, that is none when the reader may not see that record yet, even if it
    /// sees others.
    pub(crate) fn largest(&self, raft: &RaftGroup) -> Result<Option<FoundOffset>, StorageError> {
        let whole = Self { end: self.log_end, ..self.clone() };
        let found = match whole.max_timestamp()? {
            NO_TIMESTAMP => None,
            max => match whole.first_from(raft, max)? {
                None => whole.largest_left(raft)?,
                found => found,
            },
        };
        Ok(found.filter(|found| found.offset < self.end))
    }

    /// The same where log compaction took the record with the largest timestamp away: what is known of segments, blocks and batches are upper bounds then.
    /// Those with the highest are looked into first, so that few have to be.
    fn largest_left(&self, raft: &RaftGroup) -> Result<Option<FoundOffset>, StorageError> {
        let mut best: Option<FoundOffset> = None;
        let may_hold = |best: &Option<FoundOffset>, max| best.is_none_or(|best| max >= best.timestamp);
        for segment in highest_first(self.segments().collect()) {
            if !may_hold(&best, segment.max_timestamp) {
                break;
            }
            for block in highest_first(self.blocks(&segment)?) {
                if !may_hold(&best, block.max_timestamp) {
                    break;
                }
                let mut rows = Vec::new();
                self.rows(&block, |row| {
                    rows.push(row);
                    true
                })?;
                rows.sort_by_key(|row| Reverse(row.max_timestamp));
                for row in rows {
                    if !may_hold(&best, row.max_timestamp) {
                        break;
                    }
                    let found = self.largest_of(raft, &row)?;
                    best = best.into_iter().chain(found).max_by_key(|one| (one.timestamp, Reverse(one.offset)));
                }
            }
        }
        Ok(best)
    }

    /// Visits the batches that have a timestamp of at least `target`, in order, until `visit` says false.
    fn batches_from(&self, target: TimestampMs, mut visit: impl FnMut(IndexRow) -> bool) -> Result<(), StorageError> {
        let may_hold = |span: &Span| span.max_timestamp >= target;
        let mut go_on = true;
        for segment in self.segments().filter(may_hold) {
            for block in self.blocks(&segment)?.into_iter().filter(may_hold) {
                self.rows(&block, |row| {
                    go_on = row.max_timestamp < target || visit(row);
                    go_on
                })?;
                if !go_on {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The largest timestamp of any batch that can be read. Only the segment and the block that hold the log's start are looked into.
    fn max_timestamp(&self) -> Result<TimestampMs, StorageError> {
        let mut max = NO_TIMESTAMP;
        for segment in self.segments() {
            if segment.base >= self.log_start {
                max = max.max(segment.max_timestamp);
                continue;
            }
            for block in self.blocks(&segment)? {
                if block.base >= self.log_start {
                    max = max.max(block.max_timestamp);
                    continue;
                }
                self.rows(&block, |row| {
                    max = max.max(row.max_timestamp);
                    true
                })?;
            }
        }
        Ok(max)
    }

    fn segments(&self) -> impl Iterator<Item = Span> {
        let closed = self.segments.iter().map(|segment| Span {
            base: segment.base,
            end: segment.end.min(self.end),
            max_timestamp: segment.max_timestamp,
        });
        let open = Span { base: self.open.base, end: self.end, max_timestamp: self.open.max_timestamp };
        closed.chain([open]).filter(|span| span.end > self.log_start && span.base < span.end)
    }

    fn blocks(&self, segment: &Span) -> Result<Vec<Span>, StorageError> {
        let (from, to) = (segment.base, segment.end);
        let first = RowKind::TimeBlock.key_at(self.group, from);
        let past = RowKind::TimeBlock.key_at(self.group, to.min(self.block.base));
        let mut blocks = Vec::new();
        if first < past {
            let found = self.engine.scan(ColumnFamily::State, first.as_ref()..past.as_ref(), ScanLimit::NONE)?;
            for (key, value) in &found {
                let block = rows::decode_time_block(key, value)?;
                blocks.push(Span { base: block.base, end: to, max_timestamp: block.max_timestamp });
            }
        }
        if (from..to).contains(&self.block.base) {
            let open = self.block;
            blocks.push(Span { base: open.base, end: to, max_timestamp: open.max_timestamp });
        }
        for at in 1..blocks.len() {
            blocks[at - 1].end = blocks[at].base;
        }
        blocks.retain(|block| block.end > self.log_start);
        Ok(blocks)
    }

    fn rows(&self, block: &Span, visit: impl FnMut(IndexRow) -> bool) -> Result<(), StorageError> {
        let index = DiskIndex { engine: self.engine, group: self.group };
        index.walk(block.base.max(self.log_start), block.end, visit)
    }

    fn largest_of(&self, raft: &RaftGroup, row: &IndexRow) -> Result<Option<FoundOffset>, StorageError> {
        let batch = entries::one(raft, row)?;
        let mut largest: Option<FoundOffset> = None;
        let visited = batch.for_each_record(&mut |record: RecordView<'_>| {
            let offset = row.base_offset + i64::from(record.offset_delta);
            if offset >= self.log_start && largest.is_none_or(|largest| largest.timestamp < record.timestamp) {
                largest = Some(FoundOffset { offset, timestamp: record.timestamp, leader_epoch: row.leader_epoch });
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = visited {
            tracing::warn!(offset = row.base_offset, %error, "records of a batch cannot be decoded; they are left out of a search by time");
        }
        Ok(largest)
    }

    fn record_from(
        &self,
        raft: &RaftGroup,
        row: &IndexRow,
        target: TimestampMs,
    ) -> Result<Option<FoundOffset>, StorageError> {
        let batch = entries::one(raft, row)?;
        let mut found = None;
        let visited = batch.for_each_record(&mut |record: RecordView<'_>| {
            let offset = row.base_offset + i64::from(record.offset_delta);
            if record.timestamp < target || offset < self.log_start {
                return ControlFlow::Continue(());
            }
            found = Some(FoundOffset { offset, timestamp: record.timestamp, leader_epoch: row.leader_epoch });
            ControlFlow::Break(())
        });
        match visited {
            Ok(()) => Ok(found),
            // A producer's bad compression must not make the whole topic unsearchable: the batch as a whole has the time asked for.
            Err(error) => {
                tracing::warn!(offset = row.base_offset, %error, "records of a batch cannot be decoded; answering with its first offset");
                let offset = row.base_offset.max(self.log_start);
                Ok(Some(FoundOffset { offset, timestamp: row.max_timestamp, leader_epoch: row.leader_epoch }))
            }
        }
    }
}

fn highest_first(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| Reverse(span.max_timestamp));
    spans
}
