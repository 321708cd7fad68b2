//! What was found: each kind of anomaly with its number and some examples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{Kind, Offset, Value};

use super::anomaly::Anomaly;
use super::index::{Index, RecordId};
use super::table::Table;

/// Examples that are kept of each kind.
const EXAMPLES: usize = 8;

/// Operations that are kept of each example.
const INVOLVED: usize = 16;

/// All anomalies of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Which kind.
    pub anomaly: Anomaly,
    /// Whether a correct system may show it too, so that it does not count.
    pub allowed: bool,
    /// How many there are.
    pub total: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// One anomaly.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Example {
    /// What happened, in words.
    pub text: String,
    /// The operations involved.
    pub operations: Vec<Involved>,
}

/// An operation that is part of an anomaly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Involved {
    /// What it did for the anomaly.
    pub role: String,
    /// Whose it was.
    pub process: u32,
    /// How it ended.
    pub kind: Kind,
    /// The line of its invocation.
    pub invoked_line: u32,
    /// The line of its completion, if it has one.
    pub line: Option<u32>,
    /// When it was invoked, in nanoseconds.
    pub invoked: u64,
    /// When it completed, if it did.
    pub completed: Option<u64>,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The history.
    pub table: &'a Table,
    /// What follows from it.
    pub index: &'a Index,
    /// What is asked of it.
    pub options: &'a super::Options,
}

/// Where rules put what they find.
#[derive(Debug, Default)]
pub struct Findings {
    found: BTreeMap<(Anomaly, bool), Finding>,
    unknown: Vec<String>,
}

impl Findings {
    /// An anomaly; described only while examples are wanted.
    pub fn add(&mut self, anomaly: Anomaly, describe: impl FnOnce() -> Example) {
        self.put(anomaly, false, describe);
    }

    /// One that a correct system may show.
    pub fn add_allowed(&mut self, anomaly: Anomaly, describe: impl FnOnce() -> Example) {
        self.put(anomaly, true, describe);
    }

    /// One that may be allowed.
    pub fn put(&mut self, anomaly: Anomaly, allowed: bool, describe: impl FnOnce() -> Example) {
        let finding = self.found.entry((anomaly, allowed)).or_insert_with(|| Finding {
            anomaly,
            allowed,
            total: 0,
            examples: Vec::new(),
        });
        finding.total += 1;
        if finding.examples.len() < EXAMPLES {
            finding.examples.push(describe());
        }
    }

    /// Something that the history cannot tell.
    pub fn unknown(&mut self, why: impl Into<String>) {
        self.unknown.push(why.into());
    }

    /// Adds what another found, of other kinds.
    pub fn extend(&mut self, other: Self) {
        self.found.extend(other.found);
        self.unknown.extend(other.unknown);
    }

    /// The anomalies, those that are not allowed first, and what cannot be told.
    #[must_use]
    pub fn finish(self) -> (Vec<Finding>, Vec<String>) {
        let mut findings: Vec<_> = self.found.into_values().collect();
        findings.sort_by_key(|finding| (finding.allowed, finding.anomaly));
        (findings, self.unknown)
    }
}

impl Example {
    /// Something that happened.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), operations: Vec::new() }
    }

    /// An operation that is part of it.
    #[must_use]
    pub fn with(mut self, table: &Table, role: &str, operation: usize) -> Self {
        if self.operations.len() < INVOLVED {
            let operation = &table.operations[operation];
            self.operations.push(Involved {
                role: role.to_owned(),
                process: operation.process,
                kind: operation.kind,
                invoked_line: operation.invoked_line,
                line: (operation.line != u32::MAX).then_some(operation.line),
                invoked: operation.invoked,
                completed: (operation.line != u32::MAX).then_some(operation.completed),
            });
        }
        self
    }

    /// The operation that sent a record, and the first that read it, as far as there are such.
    #[must_use]
    pub fn with_record(self, context: &Context<'_>, id: RecordId) -> Self {
        let Context { table, index, .. } = context;
        let value = index.value(table, id);
        let mut example = self;
        if let Some(writer) = index.writer(table, id) {
            example = example.with(table, &format!("sent {value}"), writer);
        }
        if let Some(reader) = first_reader(context, id) {
            example = example.with(table, &format!("read {value}"), reader);
        }
        example
    }
}

/// The first operation that read a record; by a search through all, since only few are asked for.
pub(super) fn first_reader(context: &Context<'_>, id: RecordId) -> Option<usize> {
    let at = context.index.ids.iter().position(|read| *read == id)?;
    let at = u32::try_from(at).expect("records have short numbers");
    let runs = &context.table.runs;
    let run = runs.partition_point(|run| run.records <= at).checked_sub(1)?;
    let run = u32::try_from(run).expect("runs have short numbers");
    context.table.operations.partition_point(|operation| operation.runs <= run).checked_sub(1)
}

/// Offsets, shortened.
#[must_use]
pub(super) fn some_offsets(offsets: &[Offset]) -> String {
    some(offsets.iter())
}

/// Values, shortened.
#[must_use]
pub(super) fn some_values(values: &[Value]) -> String {
    some(values.iter())
}

fn some<T: ToString>(items: impl ExactSizeIterator<Item = T>) -> String {
    let (shown, more) = (8, items.len().saturating_sub(8));
    let text = items.take(shown).map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}
