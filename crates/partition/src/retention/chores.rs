//! What the state machines, which neither wait nor spawn, leave to a node's background tasks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use caudal_types::RaftGroupId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What is to be done on a node. Bounded by its replicas.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    to_purge: Mutex<BTreeSet<RaftGroupId>>,
    has_purges: Notify,
    freed: Mutex<Freed>,
    has_freed: Notify,
    is_compacting: AtomicBool,
    has_removed: Notify,
    has_orders: Notify,
}

/// What was removed since space was last given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    /// About so many bytes of records.
    pub(crate) bytes: u64,
    /// Whole replicas among it.
    pub(crate) replicas: bool,
}

impl Chores {
    /// A replica needs `bytes` less of its Raft log.
    pub(crate) fn shortened(&self, group: RaftGroupId, bytes: u64) {
        self.freed.lock().bytes += bytes;
        self.purge(group);
    }

    /// A replica's Raft log is to be purged.
    pub(crate) fn purge(&self, group: RaftGroupId) {
        self.to_purge.lock().insert(group);
        self.has_purges.notify_one();
    }

    /// Waits until there are replicas to be purged, and takes them.
    pub(crate) async fn purges(&self) -> BTreeSet<RaftGroupId> {
        loop {
            let purges = std::mem::take(&mut *self.to_purge.lock());
            if !purges.is_empty() {
                return purges;
            }
            self.has_purges.notified().await;
        }
    }

    /// Entries are gone from the database.
    pub(crate) fn purged(&self) {
        self.has_freed.notify_one();
    }

    /// Log compaction has written entries anew that had `bytes`.
    pub(crate) fn compacted(&self, bytes: u64) {
        self.freed.lock().bytes += bytes;
        self.has_freed.notify_one();
    }

    /// Whether logs are being compacted, or are about to be. That they are not any more is told like something that is gone.
    pub(crate) fn set_compacting(&self, compacting: bool) {
        if self.is_compacting.swap(compacting, Ordering::Relaxed) && !compacting {
            self.has_freed.notify_one();
        }
    }

    /// Whether more is about to be [compacted](Self::compacted).
    pub(crate) fn is_compacting(&self) -> bool {
        self.is_compacting.load(Ordering::Relaxed)
    }

    /// A replica's log is to be compacted.
    pub(crate) fn ordered(&self) {
        self.has_orders.notify_one();
    }

    /// Waits until a log is to be compacted that was not when this was called last.
    pub(crate) async fn orders(&self) {
        self.has_orders.notified().await;
    }

    /// A replica is gone from the database.
    pub(crate) fn removed(&self) {
        self.freed.lock().replicas = true;
        self.has_freed.notify_one();
        self.has_removed.notify_one();
    }

    /// Waits until a replica is gone that was there when this was called last, and whose space nobody is giving back yet.
    pub(crate) async fn replica_gone(&self) {
        loop {
            self.has_removed.notified().await;
            if self.freed().replicas {
                return;
            }
        }
    }

    /// Waits until something is gone from the database that was there when this was called last, or log compaction has come to an end since.
    pub(crate) async fn something_gone(&self) {
        self.has_freed.notified().await;
    }

    /// What was removed.
    pub(crate) fn freed(&self) -> Freed {
        *self.freed.lock()
    }

    /// Its space is about to be given back.
    pub(crate) fn take_freed(&self) -> Freed {
        std::mem::take(&mut *self.freed.lock())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn each_replica_is_purged_once_however_often_it_was_noted() {
        let chores = Chores::default();
        assert!(chores.purges().now_or_never().is_none());
        for group in [7, 3, 7] {
            chores.shortened(RaftGroupId(group), 10);
        }
        assert_eq!(chores.purges().now_or_never().unwrap(), [3, 7].map(RaftGroupId).into());
        assert!(chores.purges().now_or_never().is_none());
        chores.purge(RaftGroupId(3));
        assert_eq!(chores.purges().now_or_never().unwrap(), [RaftGroupId(3)].into());
    }

    #[test]
    fn what_is_gone_is_told_once_it_is() {
        let chores = Chores::default();
        chores.shortened(RaftGroupId(7), 10);
        assert!(chores.something_gone().now_or_never().is_none(), "it waits for the purge");
        chores.purged();
        assert!(chores.something_gone().now_or_never().is_some());
        chores.compacted(5);
        chores.removed();
        assert!(chores.something_gone().now_or_never().is_some());
        assert_eq!(chores.take_freed(), Freed { bytes: 15, replicas: true });
        assert_eq!(chores.freed(), Freed::default());
    }

    #[test]
    fn the_end_of_log_compaction_is_told_once() {
        let chores = Chores::default();
        chores.set_compacting(false);
        assert!(chores.something_gone().now_or_never().is_none(), "none was under way");
        chores.set_compacting(true);
        assert!(chores.is_compacting() && chores.something_gone().now_or_never().is_none());
        chores.set_compacting(false);
        assert!(!chores.is_compacting() && chores.something_gone().now_or_never().is_some());
        chores.set_compacting(false);
        assert!(chores.something_gone().now_or_never().is_none());
    }

    #[test]
    fn a_replica_that_is_gone_is_told_once_and_not_when_its_space_is_given_back_already() {
        let chores = Chores::default();
        chores.compacted(5);
        assert!(chores.replica_gone().now_or_never().is_none(), "no replica went");
        chores.removed();
        assert!(chores.replica_gone().now_or_never().is_some());
        assert!(chores.replica_gone().now_or_never().is_none(), "it is told once");
        chores.removed();
        chores.take_freed();
        assert!(chores.replica_gone().now_or_never().is_none());
    }
}
