//! When each record is due, whether or not the broker keeps up: a load that waited for the broker would leave out the times that it made
//! others wait ("coordinated omission").

use std::time::Duration;

/// Evenly spread records: record `n` is due `n / rate` after the start.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    per_second: f64,
}

impl Pace {
    /// `per_second` records each second; none at 0, which stands for "as fast as possible".
    #[must_use]
    pub fn new(per_second: f64) -> Option<Self> {
        (per_second > 0.0).then_some(Self { per_second })
    }

    /// When record `n` is due, since the start.
    #[must_use]
    pub fn due_at(&self, n: u64) -> Duration {
        Duration::from_secs_f64(n as f64 / self.per_second)
    }

    /// How many records are due once `elapsed` has passed: all `n` with `due_at(n) <= elapsed`.
    #[must_use]
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        let guess = (elapsed.as_secs_f64() * self.per_second) as u64;
        // Within the rounding of floating point.
        let least = guess.saturating_sub(1);
        least + (least..guess + 2).take_while(|&n| self.due_at(n) <= elapsed).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_evenly_whatever_happens() {
        let pace = Pace::new(1000.0).unwrap();
        assert_eq!(pace.due_at(0), Duration::ZERO);
        assert_eq!(pace.due_at(250), Duration::from_millis(250));
        assert_eq!(pace.due_by(Duration::ZERO), 1, "the first is due at once");
        assert_eq!(pace.due_by(Duration::from_micros(999)), 1);
        // A stall of ten seconds leaves ten seconds' worth due, each with its own intended time.
        assert_eq!(pace.due_by(Duration::from_secs(10)), 10_001);
    }

    #[test]
    fn what_is_due_agrees_with_when() {
        for rate in [0.3, 7.0, 600.0, 33_333.3, 1e6] {
            let pace = Pace::new(rate).unwrap();
            for n in [0, 1, 2, 9, 599, 12_345] {
                assert_eq!(pace.due_by(pace.due_at(n)), n + 1, "rate {rate}, record {n}");
            }
        }
    }

    #[test]
    fn no_rate_is_no_pace() {
        assert!(Pace::new(0.0).is_none());
    }
}
