//! Histograms of latencies, whole and second by second.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

/// The longest that is told apart, in microseconds; anything longer counts as this long.
const LONGEST_US: u64 = 10 * 60 * 1_000_000;
/// So many leading digits are exact: 0.1 % for the whole, 1 % for each second.
const DIGITS_WHOLE: u8 = 3;
const DIGITS_SECOND: u8 = 2;

/// Latencies in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    fn new(digits: u8) -> Self {
        let mut histogram = Histogram::new(digits).expect("so many digits are allowed");
        histogram.auto(true);
        Self(histogram)
    }

    /// None yet, told apart to a thousandth.
    #[must_use]
    pub fn whole() -> Self {
        Self::new(DIGITS_WHOLE)
    }

    /// Adds one.
    pub fn add(&mut self, us: u64) {
        self.0.record(us.min(LONGEST_US)).expect("the histogram grows by itself");
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the histogram grows by itself");
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time, in milliseconds, within which `percent` of all lie.
    #[must_use]
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// The longest, in milliseconds.
    #[must_use]
    pub fn longest_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    /// The figures that are quoted.
    #[must_use]
    pub fn figures(&self) -> Map<String, Value> {
        let percentiles = [("p50 ms", 50.0), ("p99 ms", 99.0), ("p99.9 ms", 99.9)];
        let mut figures: Map<_, _> = percentiles
            .into_iter()
            .map(|(name, percent)| (name.to_owned(), json!(self.percentile_ms(percent))))
            .collect();
        figures.insert("max ms".to_owned(), json!(self.longest_ms()));
        figures
    }
}

/// Latencies by the second in which the record was due.
#[derive(Clone, Debug, Default)]
pub struct Timeline(BTreeMap<u64, Latencies>);

impl Timeline {
    /// Adds one that was due at `due_us` since the start.
    pub fn add(&mut self, due_us: u64, us: u64) {
        self.0.entry(due_us / 1_000_000).or_insert_with(|| Latencies::new(DIGITS_SECOND)).add(us);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (second, latencies) in &other.0 {
            self.0.entry(*second).or_insert_with(|| Latencies::new(DIGITS_SECOND)).merge(latencies);
        }
    }

    /// The second after the last one in which a record was due.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(second, _)| second + 1)
    }

    /// The 99th percentile, in milliseconds, of the seconds `from..to`.
    #[must_use]
    pub fn p99_ms(&self, from: u64, to: u64) -> f64 {
        let mut all = Latencies::new(DIGITS_SECOND);
        self.0.range(from..to).for_each(|(_, latencies)| all.merge(latencies));
        all.percentile_ms(99.0)
    }

    /// One line per second, for the plot.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let line = |(second, latencies): (&u64, &Latencies)| {
            json!({
                "s": second,
                "records": latencies.len(),
                "p50 ms": latencies.percentile_ms(50.0),
                "p99 ms": latencies.percentile_ms(99.0),
                "max ms": latencies.longest_ms(),
            })
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() <= wanted * 0.01
    }

    #[test]
    fn percentiles_are_those_of_all_that_was_added() {
        let mut latencies = Latencies::whole();
        assert!(latencies.is_empty());
        (1..=1000).for_each(|ms| latencies.add(ms * 1000));
        let mut other = Latencies::whole();
        other.add(1_000_000_000_000);
        latencies.merge(&other);
        assert_eq!(latencies.len(), 1001);
        assert!(near(latencies.percentile_ms(50.0), 501.0));
        assert!(near(latencies.percentile_ms(99.0), 991.0));
        assert!(near(latencies.longest_ms(), LONGEST_US as f64 / 1000.0), "what is longer counts as the longest");
        let figures = latencies.figures();
        assert_eq!(figures.keys().collect::<Vec<_>>(), ["max ms", "p50 ms", "p99 ms", "p99.9 ms"]);
    }

    #[test]
    fn the_timeline_goes_by_when_a_record_was_due() {
        let mut timeline = Timeline::default();
        timeline.add(999_999, 1_000);
        // Due in second 1, answered in second 5: it counts where it was due.
        timeline.add(1_000_000, 4_000_000);
        let mut other = Timeline::default();
        other.add(2_500_000, 2_000);
        timeline.merge(&other);
        assert!(near(timeline.p99_ms(0, 1), 1.0));
        assert!(near(timeline.p99_ms(0, 2), 4000.0));
        assert!(near(timeline.p99_ms(2, 3), 2.0));
        assert_eq!((timeline.end(), Timeline::default().end()), (3, 0));
        let lines = timeline.to_json();
        assert_eq!(lines.as_array().map(Vec::len), Some(3));
        assert_eq!(lines[1]["s"], 1);
        assert_eq!(lines[1]["records"], 1);
    }
}
