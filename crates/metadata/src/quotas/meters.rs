//! One measure for each subject, of bounded number.

use std::collections::HashMap;
use std::hash::Hash;

use caudal_types::TimestampMs;
use caudal_types::limits::QUOTA_SUBJECTS_MAX;
use parking_lot::Mutex;

use super::window::QuotaWindows;

/// How many subjects there are at least before those at rest are looked for.
const SWEEP_FROM: usize = 64;

/// Something that measures the use of one subject.
pub trait Measure: Default {
    /// Whether it is as good as new, so that it can be forgotten.
    fn rests(&mut self, windows: QuotaWindows, now: TimestampMs) -> bool;
}

/// The measures of all subjects. One at rest is forgotten sooner or later; when there are too many that are not, further subjects share one.
#[derive(Debug)]
pub struct Meters<S, M> {
    windows: QuotaWindows,
    max: usize,
    inner: Mutex<Inner<S, M>>,
}

#[derive(Debug)]
struct Inner<S, M> {
    by_subject: HashMap<S, M>,
    others: M,
    sweep_at: usize,
}

impl<S: Eq + Hash, M: Measure> Meters<S, M> {
    /// No subject has used anything yet.
    pub fn new(windows: QuotaWindows) -> Self {
        Self::bounded(windows, QUOTA_SUBJECTS_MAX)
    }

    fn bounded(windows: QuotaWindows, max: usize) -> Self {
        let inner = Inner { by_subject: HashMap::new(), others: M::default(), sweep_at: SWEEP_FROM.min(max) };
        Self { windows, max, inner: Mutex::new(inner) }
    }

    /// Over how long use is measured.
    pub fn windows(&self) -> QuotaWindows {
        self.windows
    }

    /// Works with the measure of a subject.
    pub fn with<R>(&self, subject: S, now: TimestampMs, work: impl FnOnce(&mut M, QuotaWindows) -> R) -> R {
        let mut inner = self.inner.lock();
        if let Some(measure) = inner.by_subject.get_mut(&subject) {
            return work(measure, self.windows);
        }
        if inner.by_subject.len() >= inner.sweep_at {
            inner.by_subject.retain(|_, measure| !measure.rests(self.windows, now));
            inner.sweep_at = (inner.by_subject.len() * 2).clamp(SWEEP_FROM.min(self.max), self.max);
        }
        if inner.by_subject.len() >= self.max {
            return work(&mut inner.others, self.windows);
        }
        work(inner.by_subject.entry(subject).or_default(), self.windows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::RateWindow;

    #[test]
    fn subjects_are_measured_apart_and_forgotten_at_rest() {
        let meters = Meters::<u32, RateWindow>::bounded(QuotaWindows::default(), 1000);
        let record = |subject, now| {
            meters.with(subject, now, |measure, windows| {
                measure.record(windows, 1.0, now);
                measure.sum(windows, now)
            })
        };
        assert_eq!((record(1, 0), record(1, 5), record(2, 5)), (1.0, 2.0, 1.0));
        for subject in 10..800 {
            record(subject, 10);
        }
        for subject in 0..100 {
            record(subject, 20_000);
        }
        assert!(meters.inner.lock().by_subject.len() < 1000);
        for subject in 10_000..10_900 {
            record(subject, 20_000);
        }
        let known = meters.inner.lock().by_subject.len();
        assert_eq!(known, 1000, "nobody rests: {known} are known");
    }

    #[test]
    fn subjects_beyond_the_bound_share_a_measure() {
        let meters = Meters::<u32, RateWindow>::bounded(QuotaWindows::default(), 3);
        let record = |subject| {
            meters.with(subject, 0, |measure, windows| {
                measure.record(windows, 1.0, 0);
                measure.sum(windows, 0)
            })
        };
        for subject in 0..3 {
            assert_eq!(record(subject), 1.0);
        }
        assert_eq!((record(7), record(8), record(0)), (1.0, 2.0, 2.0));
        assert_eq!(meters.inner.lock().by_subject.len(), 3);
    }
}
