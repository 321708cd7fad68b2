//! When the leader orders that a log be cleaned, and how far: Kafka's rules, as a pure function.

use caudal_types::topic_config::CompactionPolicy;
use caudal_types::{Offset, TimestampMs};

use crate::compaction::Progress;
use crate::state::orders::{Order, Orders};
use crate::state::segments::Segment;

/// A log as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log<'a> {
    /// The closed segments, in order. The open one is not cleaned.
    pub(crate) segments: &'a [Segment],
    /// One past the last record of which it is decided whether it counts.
    pub(crate) last_stable: Offset,
    /// What has been ordered.
    pub(crate) orders: &'a Orders,
    /// What this replica has cleaned: of what was ordered it stands for all.
    pub(crate) progress: Progress,
}

/// What could be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dirt {
    /// Where it ends.
    upto: Offset,
    /// Its bytes.
    dirty: u64,
    /// The bytes that what is before it has.
    clean: u64,
    /// How long its first record has been there, at most, in milliseconds.
    waits_ms: i64,
}

impl Dirt {
    /// How much of a log is not clean, in millionths.
    pub(crate) fn millionths(&self) -> u32 {
        let (dirty, all) = (u128::from(self.dirty), u128::from(self.dirty) + u128::from(self.clean));
        (dirty * 1_000_000).checked_div(all).map_or(0, |part| part as u32)
    }
}

impl Log<'_> {
    /// What could be cleaned now; `None` when nothing.
    pub(crate) fn dirt(&self, policy: &CompactionPolicy, now: TimestampMs) -> Option<Dirt> {
        let ordered = self.orders.newest().upto;
        let young =
            |segment: &Segment| policy.min_lag_ms > 0 && segment.max_timestamp > now.saturating_sub(policy.min_lag_ms);
        let first = self.segments.partition_point(|segment| segment.end <= ordered);
        let cleanable = self.segments[first..].iter();
        let cleanable = cleanable.take_while(|segment| segment.end <= self.last_stable && !young(segment));
        let (mut upto, mut dirty) = (ordered, 0);
        for segment in cleanable {
            (upto, dirty) = (segment.end, dirty + segment.bytes);
        }
        if upto == ordered {
            return None;
        }
        // Its first record came behind the last one of the segment before.
        let before =
            first.checked_sub(1).map_or(self.segments[first].last_time, |before| self.segments[before].last_time);
        Some(Dirt { upto, dirty, clean: self.clean(first), waits_ms: now.saturating_sub(before) })
    }

    /// The bytes of what was ordered to be cleaned, those of the segments before `first`.
    fn clean(&self, first: usize) -> u64 {
        let (cleaned, waiting) = self.segments[..first]
            .split_at(self.segments[..first].partition_point(|one| one.end <= self.progress.upto));
        let sum = |segments: &[Segment]| segments.iter().map(|segment| segment.bytes).sum::<u64>();
        self.progress.left_of(sum(cleaned)) + sum(waiting)
    }
}

/// What the leader is to order; `None` as long as it is not worth it.
pub(crate) fn next_order(log: &Log<'_>, policy: &CompactionPolicy, now: TimestampMs) -> Option<Order> {
    let dirt = log.dirt(policy, now)?;
    let is_due = dirt.millionths() > policy.min_dirty_millionths
        || (policy.max_lag_ms < i64::MAX && dirt.waits_ms > policy.max_lag_ms);
    is_due.then(|| Order { upto: dirt.upto, tombstones_before: log.orders.expired(policy.delete_retention_ms, now) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = 100_000;

    /// Segments of ten offsets and a hundred bytes.
    fn segments(times: &[TimestampMs]) -> Vec<Segment> {
        let segment = |(base, &time): (i64, &i64)| Segment {
            base: 10 * base,
            end: 10 * base + 10,
            last_index: 0,
            bytes: 100,
            last_time: time,
            max_timestamp: time,
        };
        (0..).zip(times).map(segment).collect()
    }

    fn ordered(upto: Offset, time: TimestampMs) -> Orders {
        let mut orders = Orders::default();
        orders.take(Order { upto, tombstones_before: 0 }, time, Offset::MAX);
        orders
    }

    fn log<'a>(segments: &'a [Segment], orders: &'a Orders) -> Log<'a> {
        let progress = Progress { upto: orders.newest().upto, bytes: 50, original_bytes: 100, tombstones_before: 0 };
        Log { segments, last_stable: Offset::MAX, orders, progress }
    }

    fn policy() -> CompactionPolicy {
        CompactionPolicy::default()
    }

    fn upto(log: &Log<'_>, policy: &CompactionPolicy) -> Option<Offset> {
        next_order(log, policy, NOW).map(|order| order.upto)
    }

    #[test]
    fn what_was_never_cleaned_is_all_dirty() {
        let (segments, none) = (segments(&[1, 2, 3]), Orders::default());
        assert_eq!(upto(&log(&segments, &none), &policy()), Some(30));
        assert_eq!(upto(&log(&[], &none), &policy()), None);
        let never = CompactionPolicy { min_dirty_millionths: 1_000_000, ..policy() };
        assert_eq!(upto(&log(&segments, &none), &never), None, "there is nothing above all");
    }

    #[test]
    fn the_dirty_part_has_to_be_large_enough() {
        let segments = segments(&[1, 2, 3, 4]);
        let orders = ordered(20, 0);
        let of_part = |progress: Progress, part: u32| {
            let policy = CompactionPolicy { min_dirty_millionths: part, ..policy() };
            upto(&Log { progress, ..log(&segments, &orders) }, &policy)
        };
        let clean = |bytes| Progress { upto: 20, bytes, original_bytes: 200, tombstones_before: 0 };
        assert_eq!(of_part(clean(100), 666_665), Some(40), "200 bytes of 300 are dirty");
        assert_eq!(of_part(clean(100), 666_666), None);
        assert_eq!(of_part(clean(100), 0), Some(40));
        let before = Progress { original_bytes: 2000, ..clean(1000) };
        assert_eq!(of_part(before, 666_665), Some(40), "of the segments that are still there half is left");
        assert_eq!(of_part(before, 666_666), None);
        assert_eq!(of_part(Progress::default(), 499_999), Some(40), "what is not cleaned yet counts as it is");
        assert_eq!(of_part(Progress::default(), 500_000), None);
        let all = ordered(40, 0);
        assert_eq!(upto(&log(&segments, &all), &CompactionPolicy { min_dirty_millionths: 0, ..policy() }), None);
    }

    #[test]
    fn what_is_young_or_not_decided_is_left_alone_with_all_behind_it() {
        let segments = segments(&[NOW - 5000, NOW - 1000, NOW - 5000]);
        let none = Orders::default();
        let lag = |min_lag_ms| CompactionPolicy { min_lag_ms, ..policy() };
        assert_eq!(upto(&log(&segments, &none), &lag(1000)), Some(30));
        assert_eq!(upto(&log(&segments, &none), &lag(1001)), Some(10));
        assert_eq!(upto(&log(&segments, &none), &lag(5001)), None);
        let stable = |last_stable| upto(&Log { last_stable, ..log(&segments, &none) }, &policy());
        assert_eq!(stable(30), Some(30));
        assert_eq!(stable(29), Some(20));
        assert_eq!(stable(9), None);
    }

    #[test]
    fn nothing_waits_longer_than_it_may() {
        let segments = segments(&[1000, NOW - 5000, NOW - 10]);
        let orders = ordered(20, 0);
        let lazy = |max_lag_ms| CompactionPolicy { min_dirty_millionths: 999_999, max_lag_ms, ..policy() };
        assert_eq!(upto(&log(&segments, &orders), &lazy(i64::MAX)), None);
        assert_eq!(upto(&log(&segments, &orders), &lazy(5000)), None);
        assert_eq!(upto(&log(&segments, &orders), &lazy(4999)), Some(30), "the segment before ended so long ago");
    }

    #[test]
    fn tombstones_go_by_the_age_of_the_orders_before() {
        let segments = segments(&[1, 2, 3]);
        let orders = ordered(10, NOW - 500);
        let policy = |delete_retention_ms| CompactionPolicy { delete_retention_ms, ..policy() };
        let order = |retention| next_order(&log(&segments, &orders), &policy(retention), NOW).unwrap();
        assert_eq!(order(501), Order { upto: 30, tombstones_before: 0 });
        assert_eq!(order(500), Order { upto: 30, tombstones_before: 10 });
        assert_eq!(order(0), Order { upto: 30, tombstones_before: 10 });
    }
}
