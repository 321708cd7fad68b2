//! Use over time, and how long to wait when it was too much. The numbers are those of Kafka's `Rate` and `TokenBucket`, so that a quota means the same.

use std::collections::VecDeque;

use caudal_types::TimestampMs;

use super::meters::Measure;

/// Over how long use is measured: so many windows of so many seconds (`quota.window.num`, `quota.window.size.seconds`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaWindows {
    /// How many, the one under way included.
    pub count: u32,
    /// The length of one, in seconds.
    pub seconds: u32,
}

impl Default for QuotaWindows {
    fn default() -> Self {
        Self { count: 11, seconds: 1 }
    }
}

impl QuotaWindows {
    /// The length of one window, in milliseconds.
    pub fn size_ms(self) -> i64 {
        i64::from(self.seconds.max(1)) * 1000
    }

    /// The length of all of them, in milliseconds: what lies further back is forgotten.
    pub fn span_ms(self) -> i64 {
        self.size_ms() * i64::from(self.count.max(1))
    }

    /// The most that can be used at once, after a rest, without having to wait.
    pub fn at_once(self, bound: f64) -> f64 {
        bound * f64::from(self.count.max(1) - 1) * f64::from(self.seconds.max(1))
    }
}

/// What was used in one window.
#[derive(Clone, Copy, Debug)]
struct Sample {
    start: TimestampMs,
    last: TimestampMs,
    value: f64,
}

/// A rate over the last windows.
#[derive(Clone, Debug, Default)]
pub struct RateWindow {
    /// The newest last; never more than the number of windows and one.
    samples: VecDeque<Sample>,
}

impl RateWindow {
    /// Takes use down.
    pub fn record(&mut self, windows: QuotaWindows, value: f64, now: TimestampMs) {
        let now = self.tidy(windows, now);
        match self.samples.back_mut().filter(|newest| now - newest.start < windows.size_ms()) {
            Some(newest) => {
                newest.value += value;
                newest.last = now;
            }
            None => self.samples.push_back(Sample { start: now, last: now, value }),
        }
    }

    /// What was used in the last windows.
    pub fn sum(&mut self, windows: QuotaWindows, now: TimestampMs) -> f64 {
        self.tidy(windows, now);
        self.samples.iter().map(|sample| sample.value).sum()
    }

    /// How long to wait until the rate is back at `bound` (a second), in milliseconds; 0 when it is not above it. With a rate O over a window W it is
    /// (O - bound) / bound * W: after so much more time the same use is just what the bound allows.
    pub fn throttle_ms(&mut self, windows: QuotaWindows, bound: f64, now: TimestampMs) -> i64 {
        let now = self.tidy(windows, now);
        let elapsed = self.elapsed_ms(windows, now) as f64;
        let rate = self.samples.iter().map(|sample| sample.value).sum::<f64>() / (elapsed / 1000.0);
        if rate <= bound {
            return 0;
        }
        // Saturates at the ends of the range.
        ((rate - bound) / bound * elapsed).round() as i64
    }

    /// Takes use down and tells how long to wait, in milliseconds.
    pub fn charge(&mut self, windows: QuotaWindows, bound: f64, value: f64, now: TimestampMs) -> i64 {
        self.record(windows, value, now);
        self.throttle_ms(windows, bound, now)
    }

    /// The time that the samples stand for: at least all windows but the one under way, whose beginning counts. Otherwise a first use would have been made
    /// in no time.
    fn elapsed_ms(&self, windows: QuotaWindows, now: TimestampMs) -> i64 {
        let elapsed = now - self.samples.front().map_or(now, |oldest| oldest.start);
        let (full, least) = (elapsed / windows.size_ms(), i64::from(windows.count.max(1) - 1));
        (elapsed + (least - full).max(0) * windows.size_ms()).max(1)
    }

    /// Forgets what lies too far back, and sees to a clock that went back: a little is taken for no time at all, and after more than a window nothing that was
    /// measured means anything. Returns the time that counts.
    fn tidy(&mut self, windows: QuotaWindows, now: TimestampMs) -> TimestampMs {
        let newest = self.samples.back().map_or(now, |sample| sample.last);
        if now < newest - windows.size_ms() {
            self.samples.clear();
            return now;
        }
        let now = now.max(newest);
        self.samples.retain(|sample| now - sample.last < windows.span_ms());
        now
    }
}

impl Measure for RateWindow {
    fn rests(&mut self, windows: QuotaWindows, now: TimestampMs) -> bool {
        self.tidy(windows, now);
        self.samples.is_empty()
    }
}

/// Tokens that come at the rate of the quota, and are taken by use; when there are less than none, one has to wait (KIP-599). It holds as many as come in all
/// windows.
#[derive(Clone, Debug, Default)]
pub struct TokenBucket {
    /// When it was looked at, and what it then held, of how many; a new one is full.
    seen: Option<(TimestampMs, f64, f64)>,
}

impl TokenBucket {
    /// How long to wait until there are tokens, in milliseconds; 0 when there are some, or just none.
    pub fn throttle_ms(&mut self, windows: QuotaWindows, bound: f64, now: TimestampMs) -> i64 {
        let tokens = self.refill(windows, bound, now);
        if tokens < 0.0 { (-tokens / bound * 1000.0).round() as i64 } else { 0 }
    }

    /// Takes tokens, also more than there are.
    pub fn take(&mut self, windows: QuotaWindows, bound: f64, tokens: f64, now: TimestampMs) {
        let left = self.refill(windows, bound, now) - tokens;
        self.seen = Some((now, left, capacity(windows, bound)));
    }

    fn refill(&mut self, windows: QuotaWindows, bound: f64, now: TimestampMs) -> f64 {
        let capacity = capacity(windows, bound);
        let tokens = self.seen.map_or(capacity, |(seen, held, _)| held + bound * (now - seen).max(0) as f64 / 1000.0);
        let tokens = tokens.min(capacity);
        self.seen = Some((now, tokens, capacity));
        tokens
    }
}

fn capacity(windows: QuotaWindows, bound: f64) -> f64 {
    bound * windows.span_ms() as f64 / 1000.0
}

impl Measure for TokenBucket {
    fn rests(&mut self, windows: QuotaWindows, now: TimestampMs) -> bool {
        let Some((seen, held, capacity)) = self.seen else { return true };
        let bound = capacity * 1000.0 / windows.span_ms() as f64;
        held + bound * (now - seen).max(0) as f64 / 1000.0 >= capacity
    }
}

#[cfg(test)]
mod tests {
    use caudal_types::Clock;
    use caudal_types::clock::ManualClock;
    use proptest::prelude::*;

    use super::*;

    const WINDOWS: QuotaWindows = QuotaWindows { count: 11, seconds: 1 };

    #[test]
    fn the_wait_is_kafkas() {
        // The numbers of Kafka's own test: 400 a second, where 500 are allowed.
        let clock = ManualClock::new(0);
        let mut window = RateWindow::default();
        for _ in 0..10 {
            assert_eq!(window.charge(WINDOWS, 500.0, 400.0, clock.now_ms()), 0);
            clock.advance(1000);
        }
        // 4000 so far; 2300 more in the half of the eleventh second make 6300 in 10.5 s: 600 a second, a fifth too much.
        clock.advance(500);
        assert_eq!(window.charge(WINDOWS, 500.0, 2300.0, clock.now_ms()), 2100);
        clock.advance(2100);
        // There may be further waits until the burst lies behind all windows.
        for _ in 0..10 {
            window.record(WINDOWS, 400.0, clock.now_ms());
            clock.advance(1000);
        }
        assert_eq!(window.throttle_ms(WINDOWS, 500.0, clock.now_ms()), 0);
    }

    #[test]
    fn a_first_use_has_had_all_windows_but_one() {
        let mut window = RateWindow::default();
        assert_eq!(window.charge(WINDOWS, 100.0, 1000.0, 50), 0);
        assert_eq!(window.charge(WINDOWS, 100.0, 1000.0, 50), 10_000);
        assert_eq!(WINDOWS.at_once(100.0), 1000.0);
    }

    #[test]
    fn what_lies_back_is_forgotten() {
        let mut window = RateWindow::default();
        window.record(WINDOWS, 5000.0, 0);
        assert_eq!(window.sum(WINDOWS, 10_999), 5000.0);
        assert!(!window.rests(WINDOWS, 10_999));
        assert_eq!(window.sum(WINDOWS, 11_000), 0.0);
        assert!(window.rests(WINDOWS, 11_000));
        assert_eq!(window.throttle_ms(WINDOWS, 1.0, 11_000), 0);
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut window = RateWindow::default();
        assert!(window.charge(WINDOWS, 100.0, 5000.0, 10) > 0);
        window.record(WINDOWS, -5000.0, 10);
        assert_eq!((window.sum(WINDOWS, 10), window.throttle_ms(WINDOWS, 100.0, 10)), (0.0, 0));
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let mut window = RateWindow::default();
        window.record(WINDOWS, 10_000.0, 3_600_000);
        assert!(window.throttle_ms(WINDOWS, 100.0, 3_599_500) > 0, "half a second is nothing");
        assert_eq!(window.throttle_ms(WINDOWS, 100.0, 0), 0, "an hour is too much");
        let mut bucket = TokenBucket::default();
        bucket.take(WINDOWS, 1.0, 12.0, 3_600_000);
        assert_eq!(bucket.throttle_ms(WINDOWS, 1.0, 0), 1000);
        assert_eq!(bucket.throttle_ms(WINDOWS, 1.0, 1000), 0);
    }

    #[test]
    fn tokens_can_be_overdrawn_once() {
        let mut bucket = TokenBucket::default();
        // 11 windows of a second at 2 a second: 22 tokens.
        bucket.take(WINDOWS, 2.0, 22.0, 0);
        assert_eq!(bucket.throttle_ms(WINDOWS, 2.0, 0), 0);
        bucket.take(WINDOWS, 2.0, 10.0, 0);
        assert_eq!(bucket.throttle_ms(WINDOWS, 2.0, 0), 5000);
        assert_eq!(bucket.throttle_ms(WINDOWS, 2.0, 2000), 3000);
        assert_eq!(bucket.throttle_ms(WINDOWS, 2.0, 5000), 0);
        assert!(!bucket.rests(WINDOWS, 15_999));
        assert!(bucket.rests(WINDOWS, 16_000), "full again");
    }

    proptest! {
        /// Whoever waits as told never has more than the quota allows, but for what may be had at once, and a tenth: what is forgotten is forgotten by
        /// windows. So it is as long as a single use is not worth many windows, as in Kafka: the wait for one that is assumes that the windows before were
        /// empty.
        #[test]
        fn waiting_as_told_keeps_the_rate(
            bound in 50..2000_u32, uses in proptest::collection::vec((1..=1000_u32, 0..700_i64), 1..300),
        ) {
            let bound = f64::from(bound);
            let (mut window, mut now, mut used) = (RateWindow::default(), 0_i64, 0.0);
            for (thousandths, pause) in uses {
                let value = bound * f64::from(thousandths) / 1000.0;
                used += value;
                now += window.charge(WINDOWS, bound, value, now) + pause;
                prop_assert!(window.samples.len() <= 12);
                let allowed = bound * (now as f64 / 1000.0 * 1.1 + 23.0);
                prop_assert!(used <= allowed, "{used} used after {now} ms, {allowed} allowed");
            }
        }

        #[test]
        fn no_numbers_break_it(
            uses in proptest::collection::vec((any::<f64>(), any::<i32>()), 0..50), bound in 1e-300_f64..1e300,
        ) {
            let (mut window, mut bucket) = (RateWindow::default(), TokenBucket::default());
            for (value, now) in uses {
                prop_assert!(window.charge(WINDOWS, bound, value, i64::from(now)) >= 0);
                bucket.take(WINDOWS, bound, value, i64::from(now));
                prop_assert!(bucket.throttle_ms(WINDOWS, bound, i64::from(now)) >= 0);
            }
        }
    }
}
