//! What log compaction has done on this node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters since the start, but for those that say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionStats {
    /// Passes over a partition that ended well.
    pub passes: u64,
    /// Passes that failed.
    pub failures: u64,
    /// Bytes of entries read.
    pub read_bytes: u64,
    /// Bytes of entries written anew.
    pub written_bytes: u64,
    /// Bytes that the entries lost.
    pub freed_bytes: u64,
    /// Records taken out.
    pub removed_records: u64,
    /// How long passes took, in microseconds.
    pub busy_micros: u64,
    /// Batches that could not be decoded, and stayed as they were.
    pub bad_batches: u64,
    /// Now: passes that run.
    pub running: u64,
    /// Now: the bytes that are ordered to be cleaned and are not, over all replicas here.
    pub waiting_bytes: u64,
    /// Now: of the partition led here of which most could be cleaned, how much that is, in millionths.
    pub dirtiest_millionths: u64,
}

/// The counters as they grow.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    passes: AtomicU64,
    failures: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    freed_bytes: AtomicU64,
    removed_records: AtomicU64,
    busy_micros: AtomicU64,
    bad_batches: AtomicU64,
    running: AtomicU64,
    waiting_bytes: AtomicU64,
    dirtiest_millionths: AtomicU64,
}

/// What a pass, or a part of it, has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) freed_bytes: u64,
    pub(crate) removed_records: u64,
    pub(crate) bad_batches: u64,
}

impl Work {
    pub(crate) fn add(&mut self, more: &Self) {
        self.read_bytes += more.read_bytes;
        self.written_bytes += more.written_bytes;
        self.freed_bytes += more.freed_bytes;
        self.removed_records += more.removed_records;
        self.bad_batches += more.bad_batches;
    }
}

impl Counters {
    /// A part of a pass is done.
    pub(crate) fn worked(&self, work: &Work) {
        for (counter, more) in [
            (&self.read_bytes, work.read_bytes),
            (&self.written_bytes, work.written_bytes),
            (&self.freed_bytes, work.freed_bytes),
            (&self.removed_records, work.removed_records),
            (&self.bad_batches, work.bad_batches),
        ] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// A pass has ended.
    pub(crate) fn ended(&self, well: bool, took: Duration) {
        let counter = if well { &self.passes } else { &self.failures };
        counter.fetch_add(1, Ordering::Relaxed);
        self.busy_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn set_running(&self, passes: usize) {
        self.running.store(passes as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_waiting(&self, bytes: u64) {
        self.waiting_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_dirtiest(&self, millionths: u32) {
        self.dirtiest_millionths.store(u64::from(millionths), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> CompactionStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CompactionStats {
            passes: get(&self.passes),
            failures: get(&self.failures),
            read_bytes: get(&self.read_bytes),
            written_bytes: get(&self.written_bytes),
            freed_bytes: get(&self.freed_bytes),
            removed_records: get(&self.removed_records),
            busy_micros: get(&self.busy_micros),
            bad_batches: get(&self.bad_batches),
            running: get(&self.running),
            waiting_bytes: get(&self.waiting_bytes),
            dirtiest_millionths: get(&self.dirtiest_millionths),
        }
    }
}
