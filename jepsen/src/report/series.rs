//! A history boiled down to what can be drawn, however long it is.

use std::collections::BTreeMap;

use crate::check::{Fault, NEVER, Table, Window, faults, name, windows};
use crate::history::{Kind, Op};

/// Columns of the plots.
pub const COLUMNS: usize = 400;

/// Rows of the plot of latencies, which is logarithmic.
pub const ROWS: usize = 64;

/// The shortest and the longest latency that have a row of their own, in microseconds, as powers of ten.
pub const DECADES: (f64, f64) = (1.5, 8.0);

/// Unavailability from here on is told, in nanoseconds.
const WINDOW: u64 = 1_000_000_000;

/// How an operation ended, as an index.
pub const OUTCOMES: [&str; 3] = ["ok", "fail", "info"];

/// Latencies of operations of one name, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Half of them took no longer.
    pub median: u64,
    /// All but one in twenty.
    pub p95: u64,
    /// All but one in a hundred.
    pub p99: u64,
    /// None took longer.
    pub max: u64,
}

/// Who led a partition from when on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reign {
    /// In nanoseconds.
    pub begins: u64,
    /// The leader, if there was one.
    pub node: Option<u32>,
}

/// What can be drawn.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The last event, in nanoseconds.
    pub end: u64,
    /// By column and outcome, how many operations completed.
    pub completed: Vec<[u64; 3]>,
    /// By column, row and outcome, how many operations were invoked and took so long.
    pub dots: BTreeMap<(usize, usize, usize), u64>,
    /// By name, the latencies of those that were ok.
    pub latencies: BTreeMap<&'static str, Latencies>,
    /// What the nemesis did.
    pub faults: Vec<Fault>,
    /// Who led each partition.
    pub leaders: BTreeMap<String, Vec<Reign>>,
    /// When nothing was acknowledged for over a second; the longest first.
    pub windows: Vec<Window>,
    /// Why operations failed, or are in doubt: how often each.
    pub errors: Vec<(String, [u64; 2])>,
}

impl Series {
    /// Boils down a history.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let mut series = Self { end: table.end.max(1), completed: vec![[0; 3]; COLUMNS], ..Self::default() };
        let mut latencies: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        for (at, operation) in table.operations.iter().enumerate() {
            let outcome = match operation.kind {
                Kind::Ok => 0,
                Kind::Fail => 1,
                Kind::Info | Kind::Invoke => 2,
            };
            let completed = if operation.completed == NEVER { table.end } else { operation.completed };
            let latency = completed.saturating_sub(operation.invoked) / 1_000;
            let name = name(table, at, operation);
            if name == "rebalance" {
                continue;
            }
            let (begun, ended) = (series.column(operation.invoked), series.column(completed));
            series.completed[ended][outcome] += 1;
            *series.dots.entry((begun, row(latency), outcome)).or_default() += 1;
            if outcome == 0 {
                latencies.entry(name).or_default().push(latency);
            }
        }
        series.latencies = latencies.into_iter().map(|(name, latencies)| (name, Latencies::new(latencies))).collect();
        series.faults = faults(table);
        series.leaders = leaders(table);
        series.windows = windows(table, WINDOW);
        series.windows.sort_by_key(|window| std::cmp::Reverse(window.ends - window.begins));
        let errors = table.errors.iter().map(str::to_owned).zip(table.error_counts.iter().copied());
        series.errors = errors.filter(|(_, counts)| *counts != [0; 2]).collect();
        series.errors.sort_by_key(|(_, [fail, info])| std::cmp::Reverse(fail + info));
        series
    }

    /// The column of a time.
    #[must_use]
    pub fn column(&self, time: u64) -> usize {
        let column = u128::from(time) * COLUMNS as u128 / u128::from(self.end);
        usize::try_from(column).unwrap_or(COLUMNS).min(COLUMNS - 1)
    }
}

/// The row of a latency in microseconds, from the bottom.
fn row(micros: u64) -> usize {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is for a picture"
    )]
    let row = ((micros.max(1) as f64).log10() - DECADES.0) / (DECADES.1 - DECADES.0) * ROWS as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    let row = row.clamp(0.0, ROWS as f64 - 1.0) as usize;
    row
}

impl Latencies {
    fn new(mut latencies: Vec<u64>) -> Self {
        latencies.sort_unstable();
        let at = |percent: usize| latencies.get((latencies.len() * percent / 100).min(latencies.len() - 1)).copied();
        let at = |percent| at(percent).unwrap_or_default();
        Self { median: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

fn leaders(table: &Table) -> BTreeMap<String, Vec<Reign>> {
    let mut leaders: BTreeMap<String, Vec<Reign>> = BTreeMap::new();
    for watched in &table.watched {
        if let Op::Leader { key, node, .. } = &watched.op {
            let reigns = leaders.entry(key.clone()).or_default();
            if reigns.last().is_none_or(|last| last.node != *node) {
                reigns.push(Reign { begins: watched.time, node: *node });
            }
        }
    }
    leaders
}
