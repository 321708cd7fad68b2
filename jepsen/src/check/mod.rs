//! The checker: what a history shows that a correct system would not have shown.
//!
//! # Layout
//! - [`load()`] reads a history into a [`Table`]: `chunk` parses, `join` pairs invocations with completions, `names` numbers partitions
//! - [`Index`] derives who sent and who read each record, and the [`Log`](log::Log) of each partition
//! - a file for each family of anomalies; [`Anomaly`] lists them all with their meanings
//! - [`Verdict`] is what comes out

mod anomaly;
mod availability;
mod chunk;
mod commits;
mod cycles;
mod faults;
mod findings;
pub mod generate;
mod graph;
mod groups;
mod index;
mod join;
mod life;
pub mod linear;
mod load;
pub mod log;
mod lost;
mod names;
mod offsets;
mod order;
mod polls;
mod reads;
mod registers;
mod sends;
mod simulated;
mod table;
mod verdict;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Duration;

pub use anomaly::Anomaly;
pub use availability::{Window, windows};
pub use faults::{Fault, faults, without_majority};
pub use findings::{Context, Example, Finding, Findings, Involved};
pub use index::{Index, Life, RecordId};
pub use load::load;
pub use names::Names;
pub use table::{NEVER, NO_OFFSET, Operation, Record, Run, Sent, Table, Watched, What};
pub use verdict::{Validity, Verdict, name};

/// What is asked of a history.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long sends may go unacknowledged while a majority of the nodes is not hindered.
    pub bound: Duration,
    /// How many nodes there are; without, as many as faults and leaders tell of.
    pub nodes: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { bound: Duration::from_secs(30), nodes: None }
    }
}

type Family = fn(&Context<'_>, &mut Findings);

/// The families; those that take longest come first.
const FAMILIES: &[Family] = &[
    cycles::check,
    reads::check,
    polls::check,
    lost::check,
    availability::check,
    sends::check,
    order::check,
    groups::check,
    commits::check,
    registers::check,
    offsets::check,
    life::check,
];

/// Judges a history.
///
/// # Panics
/// When a rule does.
#[must_use]
pub fn check(table: &Table, options: &Options) -> Verdict {
    let index = Index::new(table);
    let context = Context { table, index: &index, options };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut findings = Findings::default();
        while let Some(family) = FAMILIES.get(next.fetch_add(1, Ordering::Relaxed)) {
            family(&context, &mut findings);
        }
        findings
    };
    let mut findings = std::thread::scope(|scope| {
        let other = Builder::new().name("rules".to_owned()).spawn_scoped(scope, work);
        let mut findings = work();
        if let Ok(other) = other {
            findings.extend(other.join().expect("no rule panics"));
        }
        findings
    });
    if let Some(value) = index.sent_twice {
        findings.unknown(format!("{value} was sent twice, so that who reads it does not tell which it was"));
    }
    Verdict::new(table, findings)
}
