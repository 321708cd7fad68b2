//! The verdict over a run.

use std::fs::{self, File};

use anyhow::Result;

use crate::check::{self, Finding, Options};
use crate::nemesis::Done;
use crate::report::{self, Metadata};
use crate::run::{Plan, Verdict};

/// Judges the history in the run's folder, and writes the verdict and a report beside it.
///
/// # Errors
/// When the history cannot be read, or the report not be written.
pub fn judge(plan: &Plan, mut problems: Vec<String>, skipped: Vec<String>, done: &Done) -> Result<Verdict> {
    let table = check::load(File::open(plan.folder.join("history.jsonl"))?)?;
    let mut metadata = Metadata::of_run(&plan.folder)?;
    if !problems.is_empty() {
        metadata.more.insert("problems beside the history".to_owned(), problems.join("; "));
    }
    let options = Options { nodes: Some(plan.nodes as usize), ..Options::default() };
    let checked = check::check(&table, &options);
    report::write(&plan.folder, &metadata, &table, &checked)?;
    let findings = checked.findings.iter().filter(|finding| !finding.allowed);
    problems.extend(findings.map(describe));
    problems.extend(checked.unknown.iter().map(|unknown| format!("unknown: {unknown}")));
    let operations = checked.operations.iter().map(|(name, counts)| (name.clone(), counts[0])).collect();
    let faults = done.counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let notes = done.notes.clone();
    let verdict = Verdict { valid: problems.is_empty(), problems, skipped, operations, faults, notes };
    fs::write(plan.folder.join(RESULT), serde_json::to_vec_pretty(&verdict)?)?;
    Ok(verdict)
}

/// The file in a run's folder with the run's [`Verdict`].
pub const RESULT: &str = "result.json";

/// A kind of anomaly, with an example.
fn describe(finding: &Finding) -> String {
    let example = finding.examples.first().map(|example| example.text.as_str()).unwrap_or_default();
    format!("{} {}: {example}", finding.total, finding.anomaly.name())
}
