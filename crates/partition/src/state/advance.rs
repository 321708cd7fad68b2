//! Advancing the log's start.

use std::sync::Arc;

use caudal_storage::ColumnFamily;
use caudal_storage::keys::index;
use caudal_types::{Offset, TimestampMs};

use crate::reply::Reply;
use crate::state::rows::RowKind;
use crate::state::{Changes, PartitionState, Place};

impl PartitionState {
    /// Forgets what lies before `offset`, as far as it is behind the log's start and before its end. Rows go by whole segments; the segment that holds
    /// the new start keeps its own. When all that was ever appended goes, the open segment ends, so that its space can go as well.
    pub(crate) fn advance_log_start(
        &mut self,
        place: Place,
        clock: TimestampMs,
        offset: Offset,
        changes: &mut Changes<'_>,
    ) -> Reply {
        let start = offset.min(self.head.next_offset).max(self.head.log_start);
        if start == self.head.next_offset && self.head.open.base < start {
            self.close_segment(place.index, changes);
        }
        self.begin_epoch(place.epoch, changes);
        self.pass_time(self.time_of(clock), changes);
        if start > self.head.log_start {
            self.head.log_start = start;
            if let Some(change) = self.epochs.advance_start(start) {
                changes.epochs(change);
            }
            changes.delete_before(RowKind::Aborted, start);
        }
        self.forget_segments(changes);
        Reply::LogStart(start)
    }

    /// Forgets the segments that end at or before the log's start: what applies the log begins at the checkpoint behind them from now on.
    fn forget_segments(&mut self, changes: &mut Changes<'_>) {
        let gone = self.segments.partition_point(|segment| segment.end <= self.head.log_start);
        let Some(last) = gone.checked_sub(1).map(|last| self.segments[last]) else {
            return;
        };
        let bytes = self.segments[..gone].iter().map(|segment| segment.bytes).sum();
        Arc::make_mut(&mut self.segments).drain(..gone);
        self.checkpoint_index = last.last_index;
        for kind in [RowKind::Segment, RowKind::TimeBlock, RowKind::Checkpoint] {
            changes.delete_before(kind, last.end);
        }
        let (first, _) = index::group_range(changes.group);
        changes.batch.delete_range(ColumnFamily::Index, first, index::key(changes.group, last.end));
        changes.shortened(bytes);
    }

    /// Where the oldest segment that holds readable records begins: the log before its checkpoint is not needed.
    pub(crate) fn oldest_base(&self) -> Offset {
        self.segments.first().map_or(self.head.open.base, |segment| segment.base)
    }
}
