//! A sign that it is time to stop, on which threads can wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Clones share the sign.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Gives the sign.
    pub fn stop(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    /// Whether it was given.
    pub fn is_stopped(&self) -> bool {
        *self.0.0.lock()
    }

    /// Waits for it, but no longer than this; whether it was given.
    pub fn wait(&self, at_most: Duration) -> bool {
        self.wait_until(Instant::now() + at_most)
    }

    /// Waits for it, but not beyond `end`; whether it was given.
    pub fn wait_until(&self, end: Instant) -> bool {
        let mut stopped = self.0.0.lock();
        while !*stopped && !self.0.1.wait_until(&mut stopped, end).timed_out() {}
        *stopped
    }
}
