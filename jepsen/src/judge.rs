//! The verdict over a run.

use std::fs::{self, File};

use anyhow::Result;

use crate::check::{self, Finding};
use crate::nemesis::Done;
use crate::run::{Plan, Verdict};

/// Judges the history in the run's folder, and writes the verdict beside it.
///
/// # Errors
/// When the history cannot be read.
pub fn judge(plan: &Plan, mut problems: Vec<String>, skipped: Vec<String>, done: &Done) -> Result<Verdict> {
    let table = check::load(File::open(plan.folder.join("history.jsonl"))?)?;
    let options = check::Options { nodes: Some(plan.nodes as usize), ..check::Options::default() };
    let checked = check::check(&table, &options);
    fs::write(plan.folder.join("checked.txt"), checked.to_string())?;
    let findings = checked.findings.iter().filter(|finding| !finding.allowed);
    problems.extend(findings.map(describe));
    problems.extend(checked.unknown.iter().map(|unknown| format!("unknown: {unknown}")));
    let operations = checked.operations.iter().map(|(name, counts)| (name.clone(), counts[0])).collect();
    let faults = done.counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let notes = done.notes.clone();
    let verdict = Verdict { valid: problems.is_empty(), problems, skipped, operations, faults, notes };
    fs::write(plan.folder.join("verdict.json"), serde_json::to_vec_pretty(&verdict)?)?;
    Ok(verdict)
}

/// A kind of anomaly, with an example.
fn describe(finding: &Finding) -> String {
    let example = finding.examples.first().map(|example| example.text.as_str()).unwrap_or_default();
    format!("{} {}: {example}", finding.total, finding.anomaly.name())
}
