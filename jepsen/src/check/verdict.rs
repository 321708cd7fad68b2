//! What is said of a history in the end.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::history::{Kind, Op};

use super::findings::{Finding, Findings};
use super::table::{Operation, Table};

/// Whether a correct system could have shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validity {
    /// It could.
    Valid,
    /// It could not.
    Anomalies,
    /// The history does not tell.
    Unknown,
}

/// What is said of a history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// In a word.
    pub validity: Validity,
    /// The anomalies, those that are not allowed first.
    pub findings: Vec<Finding>,
    /// What the history does not tell.
    pub unknown: Vec<String>,
    /// How many lines were read.
    pub lines: u32,
    /// By name, how many operations were ok, failed, are in doubt.
    pub operations: BTreeMap<String, [u64; 3]>,
    /// How many records were sent, and how many were read, counting each reading.
    pub records: [u64; 2],
}

impl Verdict {
    pub(super) fn new(table: &Table, mut findings: Findings) -> Self {
        let mut operations: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for (at, operation) in table.operations.iter().enumerate() {
            let place = match operation.kind {
                Kind::Ok => 0,
                Kind::Fail => 1,
                Kind::Info | Kind::Invoke => 2,
            };
            let name = name(table, at, operation);
            match operations.get_mut(name) {
                Some(counts) => counts[place] += 1,
                None => operations.entry(name.to_owned()).or_default()[place] += 1,
            }
        }
        if table.operations.is_empty() {
            findings.unknown("nothing was asked of the cluster");
        }
        if !operations.is_empty() && operations.values().all(|counts| counts[0] == 0) {
            findings.unknown("no operation was ok");
        }
        let (findings, unknown) = findings.finish();
        let validity = match () {
            () if findings.iter().any(|finding| !finding.allowed) => Validity::Anomalies,
            () if !unknown.is_empty() => Validity::Unknown,
            () => Validity::Valid,
        };
        let count = |length: usize| u64::try_from(length).expect("it fits in memory");
        let records = [count(table.sends.len()), count(table.records.len())];
        Self { validity, findings, unknown, lines: table.lines, operations, records }
    }
}

/// The name under which an operation is counted: `work` by what it does.
#[must_use]
pub fn name(table: &Table, at: usize, operation: &Operation) -> &'static str {
    match table.other(operation) {
        None if operation.is_transaction() => "transaction",
        None if table.sends_of(at).1.is_empty() => "poll",
        None if table.runs_of(at).is_empty() => "send",
        None => "send and poll",
        Some(Op::Work { .. }) => "work",
        Some(Op::Assign { .. }) => "assign",
        Some(Op::Subscribe { .. }) => "subscribe",
        Some(Op::Rebalance { .. }) => "rebalance",
        Some(Op::Commit { .. }) => "commit",
        Some(Op::Committed { .. }) => "committed",
        Some(Op::CreateTopic { .. }) => "create-topic",
        Some(Op::DeleteTopic { .. }) => "delete-topic",
        Some(Op::GrowTopic { .. }) => "grow-topic",
        Some(Op::WriteConfig { .. }) => "write-config",
        Some(Op::ReadConfig { .. }) => "read-config",
        Some(Op::ListTopics { .. }) => "list-topics",
        Some(Op::Drain { .. }) => "drain",
        Some(Op::Put { .. }) => "put",
        Some(Op::Scan { .. }) => "scan",
        Some(Op::Trim { .. }) => "trim",
        Some(Op::Fault { .. }) => "fault",
        Some(Op::Leader { .. }) => "leader",
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Valid => "valid",
            Self::Anomalies => "anomalies",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{}: {} lines, {} records sent, {} read",
            self.validity, self.lines, self.records[0], self.records[1]
        )?;
        for (name, [ok, fail, info]) in &self.operations {
            writeln!(formatter, "  {name:<14} {ok:>10} ok {fail:>8} fail {info:>8} info")?;
        }
        for finding in &self.findings {
            let allowed = if finding.allowed { " (allowed)" } else { "" };
            writeln!(
                formatter,
                "\n{}{allowed}: {}. {}",
                finding.anomaly.name(),
                finding.total,
                finding.anomaly.meaning()
            )?;
            for example in &finding.examples {
                writeln!(formatter, "  {}", example.text)?;
                for involved in &example.operations {
                    writeln!(formatter, "    {involved}")?;
                }
            }
        }
        self.unknown.iter().try_for_each(|why| writeln!(formatter, "\nunknown: {why}"))
    }
}

impl fmt::Display for super::Involved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("line {}", self.invoked_line);
        if let Some(line) = self.line {
            write!(text, "-{line}")?;
        }
        write!(text, ", process {}, {}", self.process, seconds(self.invoked))?;
        if let Some(completed) = self.completed {
            write!(text, "-{}", seconds(completed))?;
        }
        let kind = match self.kind {
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info | Kind::Invoke => "info",
        };
        write!(formatter, "{text} s, {kind}: {}", self.role)
    }
}

fn seconds(nanos: u64) -> String {
    let micros = nanos / 1_000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
