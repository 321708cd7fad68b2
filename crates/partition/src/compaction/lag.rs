//! What log compaction still has to do for a replica.

use caudal_types::Offset;

use crate::Partition;
use crate::state::segments::Segment;
use crate::view::View;

/// How far log compaction has come with a replica of a compacted topic, and what waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CompactionLag {
    /// Of each key, only the newest record before this offset is there.
    pub clean_upto: Offset,
    /// Bytes of segments that are ordered to be cleaned, and are not.
    pub waiting_bytes: u64,
    /// Bytes of closed segments that are not clean, ordered or not.
    pub dirty_bytes: u64,
    /// The part of the closed segments' bytes that these are, from 0 to 1.
    pub dirty_ratio: f64,
}

impl Partition {
    /// How far log compaction has come with this replica; `None` where the topic is not compacted.
    pub fn compaction_lag(&self) -> Option<CompactionLag> {
        let is_compacted = self.config.load().topic.compact;
        is_compacted.then(|| CompactionLag::of(&self.published.view()))
    }
}

impl CompactionLag {
    fn of(view: &View) -> Self {
        let progress = view.progress;
        let (clean, dirty) = view.segments.split_at(view.segments.partition_point(|one| one.end <= progress.upto));
        let sum = |segments: &[Segment]| segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let (dirty_bytes, clean_bytes) = (sum(dirty), progress.left_of(sum(clean)));
        Self {
            // What was purged meanwhile is not dirty either.
            clean_upto: progress.upto.max(view.oldest_base()),
            waiting_bytes: waiting(view),
            dirty_bytes,
            dirty_ratio: dirty_bytes as f64 / dirty_bytes.saturating_add(clean_bytes).max(1) as f64,
        }
    }
}

/// How many bytes of a replica are ordered to be cleaned, and are not.
pub(crate) fn waiting(view: &View) -> u64 {
    let (order, progress) = (view.orders.newest(), view.progress);
    let waiting = view.segments.iter().filter(|one| one.end > progress.upto && one.base < order.upto);
    waiting.map(|segment| segment.bytes).sum()
}
