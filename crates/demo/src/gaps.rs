//! How long each partition went without an acknowledgement, while there was always something to acknowledge.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Watches the acknowledgements of each partition.
#[derive(Debug, Default)]
pub struct Gaps {
    last: BTreeMap<i32, Instant>,
    longest: Duration,
}

impl Gaps {
    /// An acknowledgement came from `partition` at `now`.
    pub fn acknowledged(&mut self, partition: i32, now: Instant) {
        if let Some(last) = self.last.insert(partition, now) {
            self.longest = self.longest.max(now.duration_since(last));
        }
    }

    /// The longest time between two acknowledgements of the same partition.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_within_a_partition() {
        let mut gaps = Gaps::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        gaps.acknowledged(0, at(0));
        gaps.acknowledged(1, at(500));
        gaps.acknowledged(0, at(100));
        gaps.acknowledged(1, at(700));
        gaps.acknowledged(0, at(250));
        assert_eq!(gaps.longest(), Duration::from_millis(200));
    }
}
