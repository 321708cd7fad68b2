//! Seed after seed, several at a time, until one fails or the time is over.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::child::{Child, Outcome};

/// Which seeds are to be run, and how.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The first seed.
    pub seed: u64,
    /// How many.
    pub count: u64,
    /// No seed begins after this.
    pub until: Option<Instant>,
    /// How many run at a time.
    pub jobs: usize,
    /// How each is run.
    pub child: Child,
    /// How often progress is printed.
    pub report_every: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many seeds were run.
    pub seeds: u64,
    /// How long their runs lasted together, in virtual milliseconds.
    pub virtual_ms: u64,
    /// How many batches were acknowledged.
    pub acked: u64,
    /// How long it took.
    pub took: Duration,
    /// The first seed that failed.
    pub failure: Option<(u64, Outcome)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.virtual_ms as f64 / 3_600_000.0;
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{} seeds in {seconds:.0} s: {hours:.1} hours of virtual time, {} batches acknowledged",
            self.seeds, self.acked
        )
    }
}

impl Sweep {
    /// Runs the seeds.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn run(&self) -> anyhow::Result<Summary> {
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (began, said) = (Instant::now(), Mutex::new(Instant::now()));
        let summary = Mutex::new(Summary::default());
        let work = || -> anyhow::Result<()> {
            while !stop.load(Ordering::Relaxed) && self.until.is_none_or(|until| Instant::now() < until) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.count {
                    break;
                }
                let seed = self.seed.wrapping_add(number);
                let outcome = self.child.run(seed)?;
                let mut summary = summary.lock();
                summary.seeds += 1;
                summary.virtual_ms += outcome.lasted_ms;
                summary.acked += outcome.acked;
                summary.took = began.elapsed();
                if outcome.anomaly.is_some() {
                    stop.store(true, Ordering::Relaxed);
                    summary.failure.get_or_insert((seed, outcome));
                }
                let mut said = said.lock();
                if said.elapsed() > self.report_every {
                    *said = Instant::now();
                    println!("{summary}", summary = *summary);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(_) => Err(anyhow::anyhow!("a worker panicked")),
            })
        })?;
        Ok(summary.into_inner())
    }
}
