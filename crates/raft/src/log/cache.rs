//! One budget of memory for the newest entries of all Raft groups of a node.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::log::GroupLog;

/// The most arrivals remembered.
const ARRIVALS_MAX: usize = 1 << 16;

/// Counts the bytes that the groups' tails hold, and takes the oldest away when there are too many. Entries that are not yet
/// durable are never taken: they exist nowhere else.
#[derive(Debug)]
pub(crate) struct LogCache {
    limit: usize,
    used: AtomicUsize,
    order: Mutex<VecDeque<Arrival>>,
}

/// A run of entries that entered the cache together.
#[derive(Debug)]
struct Arrival {
    log: Weak<GroupLog>,
    upto: u64,
}

impl LogCache {
    /// A cache of at most `limit` bytes, beside what is not yet durable.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), order: Mutex::default() })
    }

    /// Notes that `log` holds `bytes` more, in entries up to the index `upto`, and makes room.
    pub(crate) fn added(&self, log: &Arc<GroupLog>, upto: u64, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let mut order = self.order.lock();
        match order.back_mut() {
            Some(last) if std::ptr::eq(last.log.as_ptr(), Arc::as_ptr(log)) => last.upto = upto,
            _ => order.push_back(Arrival { log: Arc::downgrade(log), upto }),
        }
        self.make_room(&mut order);
    }

    /// Notes that `bytes` are held no more.
    pub(crate) fn removed(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes that entries of `more` bytes took the places of entries of `less` bytes. They are seldom larger, and then by little: whoever comes next makes
    /// the room.
    pub(crate) fn replaced(&self, more: usize, less: usize) {
        self.used.fetch_add(more, Ordering::Relaxed);
        self.removed(less);
    }

    /// The bytes held.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn make_room(&self, order: &mut VecDeque<Arrival>) {
        // Purged entries leave their arrivals behind; those must not pile up either.
        while order.len() > ARRIVALS_MAX {
            let Some(log) = order.pop_front().and_then(|oldest| Some((oldest.log.upgrade()?, oldest.upto))) else {
                continue;
            };
            let (freed, _) = log.0.evict(log.1, usize::MAX);
            self.removed(freed);
        }
        while self.used.load(Ordering::Relaxed) > self.limit {
            let Some(oldest) = order.front() else { return };
            let Some(log) = oldest.log.upgrade() else {
                order.pop_front();
                continue;
            };
            let excess = self.used.load(Ordering::Relaxed) - self.limit;
            let (freed, done) = log.evict(oldest.upto, excess);
            self.removed(freed);
            if done {
                order.pop_front();
            } else if freed == 0 {
                return;
            }
        }
    }
}
