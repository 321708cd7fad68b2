//! Advancing the log's start.

use std::sync::Arc;

use caudal_storage::ColumnFamily;
use caudal_storage::keys::index;
use caudal_types::{Offset, TimestampMs};

use crate::reply::Reply;
use crate::state::rows::RowKind;
use crate::state::{Changes, PartitionState};

impl PartitionState {
    /// Forgets what lies before `offset`, as far as it is behind the log's start and before its end. Rows go by whole segments; the segment that holds
    /// the new start keeps its own.
    pub(crate) fn advance_log_start(&mut self, offset: Offset, time: TimestampMs, changes: &mut Changes<'_>) -> Reply {
        self.pass_time(time, changes);
        let start = offset.min(self.head.next_offset);
        if start <= self.head.log_start {
            return Reply::LogStart(self.head.log_start);
        }
        self.head.log_start = start;
        if let Some(change) = self.epochs.advance_start(start) {
            changes.epochs(change);
        }
        changes.delete_before(RowKind::Aborted, start);
        let gone = self.segments.partition_point(|segment| segment.end <= start);
        if gone > 0 {
            let kept = self.segments[gone - 1].end;
            Arc::make_mut(&mut self.segments).drain(..gone);
            for kind in [RowKind::Segment, RowKind::TimeBlock, RowKind::Checkpoint] {
                changes.delete_before(kind, kept);
            }
            let (first, _) = index::group_range(changes.group);
            changes.batch.delete_range(ColumnFamily::Index, first, index::key(changes.group, kept));
        }
        Reply::LogStart(start)
    }

    /// Where the oldest segment that holds readable records begins: the log before its checkpoint is not needed.
    pub(crate) fn oldest_base(&self) -> Offset {
        self.segments.first().map_or(self.head.open.base, |segment| segment.base)
    }
}
