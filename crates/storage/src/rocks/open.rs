//! How many databases this process has open.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

static OPEN: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

/// Counts a database for as long as it lives.
#[derive(Debug)]
pub(super) struct Open(());

impl Open {
    pub(super) fn count() -> Self {
        *OPEN.lock() += 1;
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        *OPEN.lock() -= 1;
        CLOSED.notify_all();
    }
}

/// Waits until every database that this process opened is closed, for as long as `within`; whether they are. To be called before a process ends: RocksDB
/// aborts when its threads are still at work while the process's statics are destroyed. Blocks.
pub fn wait_until_closed(within: Duration) -> bool {
    let end = Instant::now() + within;
    let mut open = OPEN.lock();
    while *open > 0 {
        if CLOSED.wait_until(&mut open, end).timed_out() {
            return *open == 0;
        }
    }
    true
}
