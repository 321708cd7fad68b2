//! Appending a batch, and ending a transaction with a marker: what gives out offsets.

use std::sync::Arc;

use caudal_protocol::batch::RecordBatch;
use caudal_storage::ColumnFamily;
use caudal_storage::keys::index::{self, IndexRow};
use caudal_types::{Offset, TimestampMs, mutant};

use crate::Appended;
use crate::reply::Reply;
use crate::state::producers::{EndVerdict, ProducerStamp, RememberedBatch, Verdict};
use crate::state::rows::{self, RowKind};
use crate::state::segments::{NO_TIMESTAMP, OpenSegment, Segment, TimeBlock};
use crate::state::{Changes, PartitionState, Place, checkpoint};
use crate::transaction::{AbortedTransaction, EndMarker, Enlistment};

/// How often expired producers are looked for, in milliseconds of the log's time. Fixed for ever: replicas must sweep alike.
const SWEEP_INTERVAL_MS: i64 = 600_000;

impl PartitionState {
    /// Gives a batch its offsets, unless its producer's sequence or its transaction forbids it.
    pub(crate) fn append(
        &mut self,
        place: Place,
        clock: TimestampMs,
        batch: &RecordBatch,
        enlistment: Option<Enlistment>,
        changes: &mut Changes<'_>,
    ) -> Reply {
        let time = self.time_of(clock);
        let stamp = ProducerStamp::of(batch, enlistment);
        let verdict = match &stamp {
            Some(stamp) if !mutant::active("apply_skips_deduplication") => {
                self.producers.judge(stamp, time, &self.head.settings)
            }
            _ => Verdict::New,
        };
        self.enter(place, time, verdict == Verdict::New, changes);
        match verdict {
            Verdict::New => {
                let base_offset = self.take_offsets(place, batch, changes);
                let timestamp = place.max_timestamp(batch);
                if let Some(stamp) = &stamp {
                    self.remember(stamp, base_offset, timestamp, changes);
                }
                self.appended(batch, base_offset, timestamp, false)
            }
            Verdict::Duplicate(first) => self.appended(batch, first.base_offset, first.timestamp, true),
            Verdict::Refused(reply) => reply,
        }
    }

    /// Ends a transaction, unless it has ended or its producer's epoch forbids it.
    pub(crate) fn end_transaction(
        &mut self,
        place: Place,
        clock: TimestampMs,
        marker: &EndMarker,
        batch: &RecordBatch,
        changes: &mut Changes<'_>,
    ) -> Reply {
        let time = self.time_of(clock);
        let producer = (marker.producer_id, marker.epoch);
        let verdict = self.producers.judge_end(producer, marker.number, time, &self.head.settings);
        self.enter(place, time, verdict == EndVerdict::New, changes);
        match verdict {
            EndVerdict::New => {
                let last_offset = self.take_offsets(place, batch, changes);
                let (number, coordinator) = (marker.number, marker.coordinator_epoch);
                let (ended, gone) = self.producers.end(producer, number, coordinator, time, &self.head.settings);
                changes.producers_gone(gone);
                changes.transaction_changed(marker.producer_id);
                if let (Some(first_offset), false) = (ended.first_offset, marker.commit) {
                    let producer_id = marker.producer_id;
                    let aborted = AbortedTransaction { producer_id, first_offset, last_offset };
                    // Not as readers see it, for which the log's start counts: replicas may begin at different ones.
                    let stable = self.producers.first_open().unwrap_or(self.head.next_offset);
                    changes.aborted(aborted, stable);
                }
                Reply::TransactionEnded
            }
            EndVerdict::Ended => Reply::TransactionEnded,
            EndVerdict::Refused(reply) => reply,
        }
    }

    /// What every entry with a batch does, whether the batch gets offsets or not.
    fn enter(&mut self, place: Place, time: TimestampMs, is_new: bool, changes: &mut Changes<'_>) {
        if is_new && self.head.open.is_full_for(place.bytes, time, &self.head.settings) {
            self.close_segment(place.index, changes);
        }
        self.begin_epoch(place.epoch, changes);
        self.pass_time(time, changes);
        self.sweep(changes);
        self.head.open.bytes += place.bytes;
    }

    fn appended(&self, batch: &RecordBatch, base_offset: Offset, timestamp: TimestampMs, duplicate: bool) -> Reply {
        let log_append_time = if batch.is_log_append_time() { timestamp } else { -1 };
        Reply::Appended(Appended { base_offset, log_append_time, log_start: self.head.log_start, duplicate })
    }

    fn take_offsets(&mut self, place: Place, batch: &RecordBatch, changes: &mut Changes<'_>) -> Offset {
        let base_offset = self.head.next_offset;
        let row = IndexRow {
            base_offset,
            last_offset: base_offset + i64::from(batch.last_offset_delta().max(0)),
            raft_index: place.index - u64::from(mutant::active("index_row_behind_by_one")),
            leader_epoch: place.epoch,
            position: u32::try_from(place.position).unwrap_or(u32::MAX),
            length: u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX),
            max_timestamp: place.max_timestamp(batch),
        };
        // Of a batch that was cleaned away nothing is left to be read.
        if batch.record_count() > 0 {
            changes.batch.put(ColumnFamily::Index, index::key(changes.group, base_offset), index::encode(&row));
            changes.news.appended.push(row);
        }
        self.head.next_offset = row.last_offset + 1;
        if self.head.block.is_full() {
            self.close_block(base_offset, changes);
        }
        let (open, block) = (&mut self.head.open, &mut self.head.block);
        if open.first_time == NO_TIMESTAMP {
            open.first_time = self.head.last_time;
        }
        open.max_timestamp = open.max_timestamp.max(row.max_timestamp);
        block.batches += 1;
        block.max_timestamp = block.max_timestamp.max(row.max_timestamp);
        base_offset
    }

    fn remember(
        &mut self,
        stamp: &ProducerStamp,
        base_offset: Offset,
        timestamp: TimestampMs,
        changes: &mut Changes<'_>,
    ) {
        let (first_sequence, last_sequence) = (stamp.first_sequence, stamp.last_sequence);
        let appended = RememberedBatch { first_sequence, last_sequence, base_offset, timestamp };
        let gone = self.producers.record(stamp, appended, self.head.last_time, &self.head.settings);
        changes.producers_gone(gone);
        match &stamp.enlistment {
            Some(_) => changes.transaction_changed(stamp.id),
            None => changes.producer_changed(stamp.id),
        }
    }

    fn sweep(&mut self, changes: &mut Changes<'_>) {
        let time = self.head.last_time;
        if time.saturating_sub(self.head.last_sweep) >= SWEEP_INTERVAL_MS {
            self.head.last_sweep = time;
            changes.producers_gone(self.producers.sweep(time, &self.head.settings));
        }
    }

    /// Closes the open segment before the entry at `index`, and writes the checkpoint from which that entry can be applied.
    pub(super) fn close_segment(&mut self, index: u64, changes: &mut Changes<'_>) {
        let end = self.head.next_offset;
        let closed = Segment {
            base: self.head.open.base,
            end,
            last_index: index.saturating_sub(1),
            bytes: self.head.open.bytes,
            last_time: self.head.last_time,
            max_timestamp: self.head.open.max_timestamp,
        };
        let key = RowKind::Segment.key_at(changes.group, closed.base);
        changes.batch.put(ColumnFamily::State, key, rows::encode_segment(&closed));
        let key = RowKind::Checkpoint.key_at(changes.group, end);
        let speaks_of = closed.last_index + u64::from(mutant::active("checkpoint_one_entry_too_new"));
        changes.batch.put(ColumnFamily::State, key, checkpoint::encode(self, speaks_of));
        Arc::make_mut(&mut self.segments).push(closed);
        self.close_block(end, changes);
        self.head.open = OpenSegment::at(end);
    }

    fn close_block(&mut self, end: Offset, changes: &mut Changes<'_>) {
        let key = RowKind::TimeBlock.key_at(changes.group, self.head.block.base);
        changes.batch.put(ColumnFamily::State, key, rows::encode_time_block(&self.head.block));
        self.head.block = TimeBlock::at(end);
    }
}
