//! A node's simulated wall clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use caudal_types::{Clock, TimestampMs};
use tokio::time::Instant;

/// What the clocks show at the start.
const EPOCH_MS: TimestampMs = 1_700_000_000_000;

/// A clock that follows virtual time, and is wrong by as much as it is told to be. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    began: Instant,
    skew_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that is right.
    pub fn new(began: Instant) -> Self {
        Self { began, skew_ms: Arc::default() }
    }

    /// Sets by how much the clock is ahead.
    pub fn set_skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> TimestampMs {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        EPOCH_MS + passed + self.skew_ms.load(Ordering::Relaxed)
    }
}
