//! What the writer has done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The upper bounds of [`LogWriterStats::sync_buckets`], in microseconds; the last bucket has none.
pub const SYNC_BUCKETS_MICROS: [u64; 9] = [100, 250, 500, 1_000, 2_500, 5_000, 25_000, 100_000, 1_000_000];

/// What the writer has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogWriterStats {
    /// Synced batches, that is, fsyncs.
    pub syncs: u64,
    /// Appends completed.
    pub appends: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Bytes that wait or are being written now.
    pub queued_bytes: usize,
    /// How long all synced writes took together, in microseconds.
    pub sync_micros: u64,
    /// How many synced writes took up to each of [`SYNC_BUCKETS_MICROS`] (and longer than the bound before it).
    pub sync_buckets: [u64; SYNC_BUCKETS_MICROS.len() + 1],
}

/// The same, as the writer counts it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// When the write that is at the disk began.
    writing_since: Mutex<Option<Instant>>,
    appends: AtomicU64,
    bytes: AtomicU64,
    sync_micros: AtomicU64,
    sync_buckets: [AtomicU64; SYNC_BUCKETS_MICROS.len() + 1],
}

impl Counters {
    /// A write goes to the disk.
    pub(super) fn begin(&self) {
        *self.writing_since.lock() = Some(Instant::now());
    }

    /// It has come back.
    pub(super) fn end(&self) {
        *self.writing_since.lock() = None;
    }

    /// For how long the write has been at the disk; zero when there is none.
    pub(super) fn writing_for(&self) -> Duration {
        self.writing_since.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Appends were written.
    pub(super) fn count(&self, appends: usize, bytes: usize) {
        self.appends.fetch_add(appends as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was written was synced.
    pub(super) fn count_sync(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = SYNC_BUCKETS_MICROS.partition_point(|&bound| bound < micros);
        self.sync_micros.fetch_add(micros, Ordering::Relaxed);
        self.sync_buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> LogWriterStats {
        let sync_buckets = self.sync_buckets.each_ref().map(|count| count.load(Ordering::Relaxed));
        LogWriterStats {
            syncs: sync_buckets.iter().sum(),
            appends: self.appends.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            queued_bytes: 0,
            sync_micros: self.sync_micros.load(Ordering::Relaxed),
            sync_buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let counters = Counters::default();
        for micros in [0, 100, 101, 1_000_000, 1_000_001, u64::MAX / 4] {
            counters.count(2, 10);
            counters.count_sync(Duration::from_micros(micros));
        }
        let stats = counters.read();
        assert_eq!(stats.sync_buckets, [2, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((stats.syncs, stats.appends, stats.bytes), (6, 12, 60));
    }
}
