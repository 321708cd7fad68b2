//! What the acknowledgements tell: latencies, gaps, recovery.

use std::collections::{BTreeMap, BTreeSet};

use crate::latency::{Latencies, Timeline};

/// What one producer was told. All times are microseconds since the load's start.
#[derive(Debug)]
pub struct Acks {
    /// Latencies since each record was due, without those of the warm-up.
    pub latencies: Latencies,
    /// The same second by second, with those of the warm-up.
    pub timeline: Timeline,
    /// How many records were acknowledged.
    pub acked: u64,
    /// How many were given up.
    pub failed: u64,
    /// When the last acknowledgement came.
    pub last_us: u64,
    /// The longest time between two acknowledgements of the same partition.
    pub longest_gap_us: u64,
    warm_up_us: u64,
    last_of: BTreeMap<i32, u64>,
}

impl Acks {
    /// None yet; records that are due within `warm_up_us` do not count in the latencies.
    #[must_use]
    pub fn new(warm_up_us: u64) -> Self {
        Self {
            latencies: Latencies::whole(),
            timeline: Timeline::default(),
            acked: 0,
            failed: 0,
            last_us: 0,
            longest_gap_us: 0,
            warm_up_us,
            last_of: BTreeMap::new(),
        }
    }

    /// A record of `partition` that was due at `due_us` was acknowledged at `now_us`.
    pub fn acknowledged(&mut self, partition: i32, due_us: u64, now_us: u64) {
        let latency = now_us.saturating_sub(due_us);
        self.acked += 1;
        self.last_us = self.last_us.max(now_us);
        self.timeline.add(due_us, latency);
        if due_us >= self.warm_up_us {
            self.latencies.add(latency);
        }
        if let Some(last) = self.last_of.insert(partition, now_us) {
            self.longest_gap_us = self.longest_gap_us.max(now_us.saturating_sub(last));
        }
    }

    /// Adds what another producer was told. Gaps stay those of each producer: with several, they are not the partition's own.
    pub fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.timeline.merge(&other.timeline);
        self.acked += other.acked;
        self.failed += other.failed;
        self.last_us = self.last_us.max(other.last_us);
        self.longest_gap_us = self.longest_gap_us.max(other.longest_gap_us);
    }
}

/// How long after a moment every partition has acknowledged something again.
#[derive(Debug)]
pub struct Recovery {
    since_us: u64,
    partitions: usize,
    back: BTreeSet<i32>,
}

impl Recovery {
    /// From `since_us` on, `partitions` partitions are awaited.
    #[must_use]
    pub fn new(since_us: u64, partitions: usize) -> Self {
        Self { since_us, partitions, back: BTreeSet::new() }
    }

    /// A partition acknowledged; the time since the moment when it was the last one that was awaited.
    pub fn acknowledged(&mut self, partition: i32, now_us: u64) -> Option<u64> {
        let is_news = now_us >= self.since_us && self.back.insert(partition);
        (is_news && self.back.len() == self.partitions).then(|| now_us - self.since_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_within_a_partition() {
        let mut acks = Acks::new(0);
        acks.acknowledged(0, 0, 0);
        acks.acknowledged(1, 0, 500);
        acks.acknowledged(0, 50, 100);
        acks.acknowledged(1, 600, 700);
        acks.acknowledged(0, 200, 250);
        assert_eq!((acks.acked, acks.longest_gap_us, acks.last_us), (5, 200, 700));
    }

    #[test]
    fn the_warm_up_counts_only_in_the_timeline() {
        let mut acks = Acks::new(1_000_000);
        acks.acknowledged(0, 999_999, 9_000_000);
        acks.acknowledged(0, 1_000_000, 1_002_000);
        assert_eq!(acks.latencies.len(), 1);
        assert!(acks.latencies.longest_ms() < 3.0);
        assert!(acks.timeline.p99_ms(0, 1) > 1000.0);
        let mut all = Acks::new(0);
        all.merge(&acks);
        assert_eq!((all.acked, all.latencies.len(), all.last_us), (2, 1, 9_000_000));
    }

    #[test]
    fn recovery_awaits_every_partition_once() {
        let mut recovery = Recovery::new(100, 2);
        assert_eq!(recovery.acknowledged(0, 99), None, "that was before");
        assert_eq!(recovery.acknowledged(1, 120), None);
        assert_eq!(recovery.acknowledged(1, 130), None);
        assert_eq!(recovery.acknowledged(0, 150), Some(50));
        assert_eq!(recovery.acknowledged(0, 160), None, "it is told once");
    }
}
