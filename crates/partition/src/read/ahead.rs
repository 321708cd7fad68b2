//! Reading on before a reader asks: who drains a backlog wants what comes next as soon as it has what came before, and the disk should not wait
//! for the network, nor the network for the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::RaftGroupId;
use caudal_types::limits::{READ_AHEAD_BYTES, READ_AHEADS_MAX};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::disk::Reading;
use crate::read::fetch::Stored;
use crate::view::Budget;

/// A reader that did not come back for so long leaves its place to others.
const ABANDONED_AFTER: Duration = Duration::from_secs(1);

/// What is being read, or was read, for readers that are expected; a cheap handle, one per node.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadAheads(Arc<Mutex<VecDeque<Ahead>>>);

#[derive(Debug)]
struct Ahead {
    group: RaftGroupId,
    budget: Budget,
    since: Instant,
    reading: Reading<Stored>,
}

impl ReadAheads {
    /// What was read for this reader, if there is anything and it succeeded.
    pub(crate) async fn take(&self, group: RaftGroupId, budget: &Budget) -> Option<Stored> {
        let ahead = {
            let mut aheads = self.0.lock();
            let at = aheads.iter().position(|ahead| ahead.group == group && ahead.budget.offset == budget.offset)?;
            aheads.remove(at)?
        };
        // It may hold what this reader may not have yet: it is read_committed, and the other was not (KIP-98).
        if ahead.budget.max_bytes > budget.max_bytes || ahead.budget.limit > budget.limit {
            return None;
        }
        ahead.reading.end().await.ok().filter(|stored| !stored.records.is_empty())
    }

    /// Lets `read` begin to read what would fit into `budget`, unless as much is being read ahead as may be. `now` is the time.
    pub(crate) fn begin(
        &self,
        group: RaftGroupId,
        budget: Budget,
        now: Instant,
        read: impl FnOnce(Budget) -> Option<Reading<Stored>>,
    ) {
        let mut aheads = self.0.lock();
        if aheads.len() >= READ_AHEADS_MAX
            && aheads.pop_front_if(|oldest| now - oldest.since >= ABANDONED_AFTER).is_none()
        {
            return;
        }
        let budget = Budget { max_bytes: budget.max_bytes.min(READ_AHEAD_BYTES), at_least_one: false, ..budget };
        if let Some(reading) = read(budget) {
            aheads.push_back(Ahead { group, budget, since: now, reading });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use caudal_storage::StorageError;
    use caudal_types::Offset;

    use super::*;
    use crate::disk::DiskReads;

    const GROUP: RaftGroupId = RaftGroupId(1);

    fn at(offset: Offset) -> Budget {
        Budget { offset, limit: 1000, max_bytes: 100, at_least_one: true }
    }

    struct Node {
        aheads: ReadAheads,
        disk: DiskReads,
        started: Instant,
    }

    impl Node {
        fn start() -> Self {
            Self { aheads: ReadAheads::default(), disk: DiskReads::new().unwrap(), started: Instant::now() }
        }

        /// Reads ahead of a reader that got everything before `next`.
        fn begin(&self, next: Offset, after: Duration) {
            self.aheads.begin(GROUP, at(next), self.started + after, |budget| {
                assert!(!budget.at_least_one && budget.offset == next);
                let records = vec![Bytes::from_static(b"batch")];
                self.disk.try_begin(move || Ok(Stored { records, end: next, next: None, forgotten: 0 }))
            });
        }

        async fn has(&self, budget: Budget) -> bool {
            self.aheads.take(GROUP, &budget).await.is_some()
        }
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_for_who_reads_on() {
        let node = Node::start();
        node.begin(10, Duration::ZERO);
        assert!(!node.has(at(11)).await);
        assert!(node.aheads.take(RaftGroupId(2), &at(10)).await.is_none());
        assert!(node.has(at(10)).await);
        assert!(!node.has(at(10)).await, "it is given once");
    }

    #[tokio::test]
    async fn nobody_gets_more_than_is_asked_for() {
        let node = Node::start();
        for narrower in [Budget { max_bytes: 99, ..at(10) }, Budget { limit: 999, ..at(10) }] {
            node.begin(10, Duration::ZERO);
            assert!(!node.has(narrower).await);
        }
    }

    #[tokio::test]
    async fn who_reads_for_itself_learns_why_it_fails() {
        let node = Node::start();
        node.aheads.begin(GROUP, at(5), node.started, |_| node.disk.try_begin(|| Err(StorageError::Closed)));
        assert!(!node.has(at(5)).await);
        node.aheads.begin(GROUP, at(5), node.started, |_| None);
        assert!(!node.has(at(5)).await);
    }

    #[tokio::test]
    async fn no_more_is_read_ahead_than_may_be_until_readers_stay_away() {
        let node = Node::start();
        for next in 0..=READ_AHEADS_MAX as Offset {
            node.begin(next, Duration::ZERO);
        }
        assert!(!node.has(at(READ_AHEADS_MAX as Offset)).await);
        node.begin(500, ABANDONED_AFTER);
        assert!(node.has(at(500)).await);
        assert!(!node.has(at(0)).await, "the oldest went");
        assert!(node.has(at(1)).await);
    }
}
