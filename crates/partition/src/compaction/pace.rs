//! No more bytes per second than log compaction may read and write.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Shared by all passes of a node.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Mutex<Option<f64>>,
    /// When the bytes are paid for that were taken.
    paid: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: Option<f64>) -> Self {
        Self { bytes_per_second: Mutex::new(bytes_per_second), paid: Mutex::new(None) }
    }

    /// Goes on at another pace.
    pub(crate) fn set(&self, bytes_per_second: Option<f64>) {
        *self.bytes_per_second.lock() = bytes_per_second;
    }

    /// Waits until `bytes`, which were read or written, are paid for.
    pub(crate) async fn pay(&self, bytes: u64) {
        if let Some(until) = self.until(bytes, Instant::now()) {
            sleep_until(until).await;
        }
    }

    fn until(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let seconds = bytes as f64 / (*self.bytes_per_second.lock())?;
        // A step is about a megabyte: however slow, it is not for ever.
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST);
        let mut paid = self.paid.lock();
        let until = paid.map_or(now, |paid| paid.max(now)) + wait;
        *paid = Some(until);
        Some(until)
    }
}

const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_paid_for_one_after_the_other() {
        let (pace, now) = (Pace::new(Some(1000.0)), Instant::now());
        assert_eq!(pace.until(500, now), Some(now + Duration::from_millis(500)));
        assert_eq!(pace.until(1000, now), Some(now + Duration::from_millis(1500)));
        let later = now + Duration::from_secs(9);
        assert_eq!(pace.until(1, later), Some(later + Duration::from_millis(1)), "what was not taken is not saved up");
        assert_eq!(Pace::new(Some(f64::MIN_POSITIVE)).until(1, now), Some(now + LONGEST));
        assert_eq!(Pace::new(None).until(1 << 40, now), None);
        pace.set(None);
        assert_eq!(pace.until(1 << 40, now), None);
    }
}
