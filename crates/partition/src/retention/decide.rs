//! Which segments are past their retention: Kafka's rules (`UnifiedLog.deleteOldSegments`), as a pure function.

use caudal_types::topic_config::TopicConfig;
use caudal_types::{Offset, TimestampMs};

use crate::state::segments::{OpenSegment, Segment};

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// The age at which a segment goes, in milliseconds (`retention.ms`).
    max_age_ms: Option<i64>,
    /// How many bytes are kept at least (`retention.bytes`).
    min_bytes: Option<u64>,
}

impl Retention {
    /// What a topic's settings ask for; `None` where everything is kept.
    pub(crate) fn of(topic: &TopicConfig) -> Option<Self> {
        let max_age_ms = (topic.retention_ms >= 0).then_some(topic.retention_ms);
        let min_bytes = u64::try_from(topic.retention_bytes).ok();
        (topic.delete && (max_age_ms.is_some() || min_bytes.is_some())).then_some(Self { max_age_ms, min_bytes })
    }
}

/// A log as it is now. All of it is committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log<'a> {
    /// The closed segments, in order.
    pub(crate) segments: &'a [Segment],
    /// The segment that takes batches.
    pub(crate) open: OpenSegment,
    /// The first offset that can be read.
    pub(crate) start: Offset,
    /// The log's end.
    pub(crate) end: Offset,
    /// The log's time at its last entry.
    pub(crate) last_time: TimestampMs,
}

/// A segment, as far as retention looks at it.
#[derive(Clone, Copy, Debug)]
struct Span {
    end: Offset,
    bytes: u64,
    /// When its last record was written: by the records' own timestamps, or by the log's time where they have none.
    written: TimestampMs,
}

impl Log<'_> {
    /// The segments, oldest first. One without records is not among them, and never goes.
    fn spans(&self) -> impl Iterator<Item = Span> {
        let written =
            |max_timestamp: TimestampMs, last_time| if max_timestamp >= 0 { max_timestamp } else { last_time };
        let closed = self.segments.iter().map(move |segment| Span {
            end: segment.end,
            bytes: segment.bytes,
            written: written(segment.max_timestamp, segment.last_time),
        });
        let open = (self.open.base < self.end).then_some(Span {
            end: self.end,
            bytes: self.open.bytes,
            written: written(self.open.max_timestamp, self.last_time),
        });
        closed.chain(open)
    }

    /// How many bytes of the Raft log are kept for it.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.open.bytes
    }
}

/// Where the log is to begin, by `retention` and the leader's clock; `None` where it does already.
///
/// Whole segments go, the oldest first, the open one among them when its turn comes: first those without which at least `retention.bytes` are left, then
/// those whose newest record is older than `retention.ms`. A segment that stays keeps all behind it, so that one record with a timestamp in the future
/// holds back what came after it until then.
pub(crate) fn new_start(log: &Log<'_>, retention: &Retention, now: TimestampMs) -> Option<Offset> {
    let spare = retention.min_bytes.map_or(0, |min| log.bytes().saturating_sub(min));
    let mut spans = log.spans().peekable();
    let (mut start, mut dropped) = (log.start, 0);
    let is_spare = |span: &Span, dropped: u64| dropped + span.bytes <= spare;
    while let Some(span) = spans.next_if(|span| retention.min_bytes.is_some() && is_spare(span, dropped)) {
        dropped += span.bytes;
        start = span.end;
    }
    let is_old = |span: &Span| retention.max_age_ms.is_some_and(|max| now.saturating_sub(span.written) > max);
    while let Some(span) = spans.next_if(is_old) {
        start = span.end;
    }
    (start > log.start).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::segments::NO_TIMESTAMP;

    const NOW: TimestampMs = 1_000_000;

    /// Segments of ten records and a hundred bytes, with these largest timestamps; the log's time went on to the number of the segment.
    fn segments(times: &[TimestampMs]) -> Vec<Segment> {
        let segment = |(at, &max_timestamp): (i64, &TimestampMs)| Segment {
            base: 10 * at,
            end: 10 * at + 10,
            last_index: 0,
            bytes: 100,
            last_time: at,
            max_timestamp,
        };
        (0..).zip(times).map(segment).collect()
    }

    /// A log of these segments, and an open one of `records` records and a hundred bytes that is a second old.
    fn log(segments: &[Segment], records: i64) -> Log<'_> {
        let base = 10 * segments.len() as i64;
        let open = if records > 0 {
            OpenSegment { base, bytes: 100, first_time: NOW - 1000, max_timestamp: NOW - 1000 }
        } else {
            OpenSegment::at(base)
        };
        Log { segments, open, start: 0, end: base + records, last_time: NOW - 1000 }
    }

    fn by_age(max_age_ms: i64) -> Retention {
        Retention { max_age_ms: Some(max_age_ms), min_bytes: None }
    }

    fn by_bytes(min_bytes: u64) -> Retention {
        Retention { max_age_ms: None, min_bytes: Some(min_bytes) }
    }

    #[test]
    fn the_settings_say_whether_anything_goes() {
        let of = |delete, retention_ms, retention_bytes| {
            Retention::of(&TopicConfig { delete, retention_ms, retention_bytes, ..TopicConfig::default() })
        };
        assert_eq!(of(true, 5, -1), Some(by_age(5)));
        assert_eq!(of(true, -1, 7), Some(by_bytes(7)));
        assert_eq!(of(true, 0, 0), Some(Retention { max_age_ms: Some(0), min_bytes: Some(0) }));
        assert_eq!(of(true, -1, -1), None);
        assert_eq!(of(false, 5, 7), None, "compacted topics, and those whose policy is empty, keep all");
    }

    #[test]
    fn segments_go_by_their_largest_timestamp() {
        let segments = segments(&[NOW - 5001, NOW - 5000, NOW - 9000]);
        let start = |max| new_start(&log(&segments, 5), &by_age(max), NOW);
        assert_eq!(start(5001), None);
        assert_eq!(start(5000), Some(10), "a segment of exactly that age stays, and what is behind it");
        assert_eq!(start(4999), Some(30));
        assert_eq!(start(1000), Some(30));
        assert_eq!(start(999), Some(35), "the open segment goes too");
    }

    #[test]
    fn an_open_segment_without_records_stays() {
        let old = segments(&[0, 0]);
        assert_eq!(new_start(&log(&old, 0), &by_age(1), NOW), Some(20));
        assert_eq!(new_start(&log(&[], 0), &by_age(1), NOW), None);
        assert_eq!(new_start(&Log { start: 20, ..log(&old[..0], 0) }, &by_bytes(0), NOW), None);
    }

    #[test]
    fn without_timestamps_the_logs_time_counts() {
        let segments = segments(&[NO_TIMESTAMP, -1]);
        assert_eq!(new_start(&log(&segments, 0), &by_age(NOW - 1), NOW), Some(10), "the segments are from 0 and 1");
        assert_eq!(new_start(&log(&segments, 0), &by_age(NOW - 2), NOW), Some(20));
        let open = OpenSegment { max_timestamp: -1, ..log(&segments, 3).open };
        let log = Log { open, ..log(&segments, 3) };
        assert_eq!(new_start(&log, &by_age(1000), NOW), Some(20));
        assert_eq!(new_start(&log, &by_age(999), NOW), Some(23));
    }

    #[test]
    fn a_timestamp_in_the_future_holds_back_what_is_behind_it() {
        let segments = segments(&[0, NOW + 1, 0]);
        assert_eq!(new_start(&log(&segments, 5), &by_age(0), NOW), Some(10));
        assert_eq!(new_start(&log(&segments, 5), &by_age(0), NOW + 2), Some(35));
    }

    #[test]
    fn at_least_so_many_bytes_stay() {
        let segments = segments(&[NOW; 4]);
        let start = |min| new_start(&log(&segments, 5), &by_bytes(min), NOW);
        assert_eq!(start(501), None);
        assert_eq!(start(401), None, "without the oldest there would be 400");
        assert_eq!(start(400), Some(10));
        assert_eq!(start(399), Some(10));
        assert_eq!(start(100), Some(40));
        assert_eq!(start(99), Some(40));
        assert_eq!(start(0), Some(45), "with nothing to be kept the open segment goes too");
    }

    #[test]
    fn both_together_keep_what_both_keep() {
        let segments = segments(&[NOW - 5000, NOW - 5000, NOW - 3000, NOW]);
        let both = |max, min| Retention { max_age_ms: Some(max), min_bytes: Some(min) };
        let start = |retention| new_start(&log(&segments, 5), &retention, NOW);
        assert_eq!(start(both(9000, 400)), Some(10));
        assert_eq!(start(both(4000, 400)), Some(20));
        assert_eq!(start(both(2000, 500)), Some(30));
        assert_eq!(start(both(9000, 500)), None);
    }

    #[test]
    fn a_start_within_a_segment_moves_on_with_the_segment() {
        let segments = segments(&[NOW - 5000, NOW]);
        let log = Log { start: 7, ..log(&segments, 5) };
        assert_eq!(new_start(&log, &by_age(9000), NOW), None);
        assert_eq!(new_start(&log, &by_age(4000), NOW), Some(10));
        assert_eq!(log.bytes(), 300, "its space goes with the whole segment");
    }
}
