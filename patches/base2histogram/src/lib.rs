//! Histograms that cost what they hold, in the place of the published crate of this name.
//!
//! openraft records statistics of every Raft group in fifteen histograms, which nobody reads unless its feature `runtime-stats` is on. The
//! published crate gives each of them two kilobytes of counters, and each process 27 MB of tables for all precisions that there could be.
//! With thousands of Raft groups in a process that is most of what an idle group weighs. This crate has as much of the same interface as
//! openraft uses, and keeps only the counters that are not zero.
#![forbid(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

/// Counts values in buckets whose width grows with the value: four buckets for each doubling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// Ascending buckets and how many values each has.
    counts: Vec<(u8, u64)>,
    _tag: PhantomData<T>,
}

/// Values below which a share of the recorded values lies; zero when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values were recorded.
    pub samples: u64,
    /// 0.1 %.
    pub p0_1: u64,
    /// 1 %.
    pub p1: u64,
    /// 5 %.
    pub p5: u64,
    /// 10 %.
    pub p10: u64,
    /// 50 %.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, p99_9, .. } = self;
        write!(f, "n={samples} p50={p50} p90={p90} p99={p99} p99.9={p99_9}")
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// An empty histogram; it takes no memory of its own.
    pub const fn new() -> Self {
        Self { counts: Vec::new(), _tag: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let bucket = bucket_of(value);
        match self.counts.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => self.counts[at].1 += count,
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }

    /// The usual percentiles.
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.counts.iter().map(|(_, count)| count).sum();
        let at = |permille| self.percentile(samples, permille);
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    /// The smallest value of the bucket in which the value of this rank lies.
    fn percentile(&self, samples: u64, permille: u64) -> u64 {
        let rank = (u128::from(samples) * u128::from(permille)).div_ceil(1000);
        let mut passed = 0;
        let reached = self.counts.iter().find(|(_, count)| {
            passed += u128::from(*count);
            passed >= rank
        });
        reached.map_or(0, |(bucket, _)| smallest_of(*bucket))
    }
}

/// Values below four have a bucket each; above, a bucket is told by the highest bit and the two bits behind it.
fn bucket_of(value: u64) -> u8 {
    if value < 4 {
        return value as u8;
    }
    let high = value.ilog2();
    ((high - 1) * 4) as u8 + ((value >> (high - 2)) & 3) as u8
}

/// The smallest value in a bucket.
fn smallest_of(bucket: u8) -> u64 {
    if bucket < 4 {
        return u64::from(bucket);
    }
    let high = u32::from(bucket / 4) + 1;
    (4 | u64::from(bucket % 4)) << (high - 2)
}

/// Several histograms as text.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    series: Vec<(String, Histogram)>,
}

impl AsciiChart {
    /// A chart without histograms.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a histogram under a name.
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.series.push((name.into(), histogram));
        self
    }

    /// The chart with every bucket.
    pub fn detailed(&self) -> impl fmt::Display + '_ {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.series {
            writeln!(f, "{name}")?;
            for (bucket, count) in &histogram.counts {
                writeln!(f, "{:>20} {count}", smallest_of(*bucket))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        let powers = (0..64).map(|bit| 1u64 << bit);
        for value in (0..10_000).chain(powers.flat_map(|power| [power - 1, power, power + power / 2])).chain([u64::MAX])
        {
            let bucket = bucket_of(value);
            assert!(smallest_of(bucket) <= value, "{value}");
            assert!(bucket == bucket_of(u64::MAX) || smallest_of(bucket + 1) > value, "{value}");
        }
    }

    #[test]
    fn percentiles_are_as_fine_as_the_buckets() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats(), PercentileStats::default());
        (1..=1000).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p1), (1000, 1, 10));
        assert_eq!((stats.p50, stats.p99), (448, 896));
        assert!(histogram.counts.len() < 40);
    }

    #[test]
    fn a_chart_lists_what_was_counted() {
        let mut histogram = Histogram::<()>::new();
        histogram.record(5);
        let chart = AsciiChart::new().add("five", histogram);
        assert_eq!(chart.detailed().to_string(), format!("five\n{:>20} 1\n", 5));
    }
}
