//! The verdict over a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;

use anyhow::Result;

use crate::history::{self, Event, Key, Kind, Micro, Offset, Op, Value};
use crate::nemesis::Done;
use crate::run::{Plan, Verdict};

/// Judges the history in the run's folder, and writes the verdict beside it.
///
/// # Errors
/// When the history cannot be read.
pub fn judge(plan: &Plan, mut problems: Vec<String>, skipped: Vec<String>, done: &Done) -> Result<Verdict> {
    let path = plan.folder.join("history.jsonl");
    let events = history::read(BufReader::new(File::open(&path)?))?;
    problems.extend(basics(&events));
    let operations = operations(&events);
    if operations.is_empty() {
        problems.push("nothing was acknowledged".to_owned());
    }
    let faults = done.counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let notes = done.notes.clone();
    let verdict = Verdict { valid: problems.is_empty(), problems, skipped, operations, faults, notes };
    fs::write(plan.folder.join("verdict.json"), serde_json::to_vec_pretty(&verdict)?)?;
    Ok(verdict)
}

/// What no queue may do: forget what it acknowledged, hold a value twice, or two values at an offset.
fn basics(events: &[Event]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut acked: BTreeMap<Value, (&Key, Option<Offset>)> = BTreeMap::new();
    let mut read: BTreeMap<Value, BTreeSet<(&Key, Offset)>> = BTreeMap::new();
    let mut at: BTreeMap<(&Key, Offset), BTreeSet<Value>> = BTreeMap::new();
    let mut drained: BTreeSet<&Key> = BTreeSet::new();
    for event in events.iter().filter(|event| event.kind != Kind::Invoke) {
        if let Op::Drain { ends } = &event.op {
            drained.extend(ends.keys());
        }
        let Op::Work { micros, .. } = &event.op else { continue };
        for micro in micros {
            match micro {
                Micro::Send { key, value, offset } => {
                    if event.kind == Kind::Ok {
                        acked.insert(*value, (key, *offset));
                    }
                    if let Some(offset) = offset {
                        at.entry((key, *offset)).or_default().insert(*value);
                    }
                }
                Micro::Poll { records } => {
                    for (key, (offset, value)) in records.iter().flat_map(|(key, all)| all.iter().map(move |r| (key, r))) {
                        read.entry(*value).or_default().insert((key, *offset));
                        at.entry((key, *offset)).or_default().insert(*value);
                    }
                }
            }
        }
    }
    let lost = acked.iter().filter(|(value, (key, _))| drained.contains(key) && !read.contains_key(value));
    let lost: Vec<_> = lost.map(|(value, (key, offset))| format!("{value} ({key} at {offset:?})")).collect();
    if !lost.is_empty() {
        problems.push(format!("{} acknowledged values are lost: {}", lost.len(), some(&lost)));
    }
    let twice: Vec<_> = read.iter().filter(|(_, at)| at.len() > 1).map(|(value, at)| format!("{value} at {at:?}")).collect();
    if !twice.is_empty() {
        problems.push(format!("{} values are there more than once: {}", twice.len(), some(&twice)));
    }
    let torn = at.iter().filter(|(_, values)| values.len() > 1);
    let torn: Vec<_> = torn.map(|((key, offset), values)| format!("{key} at {offset}: {values:?}")).collect();
    if !torn.is_empty() {
        problems.push(format!("{} offsets have more than one value: {}", torn.len(), some(&torn)));
    }
    problems
}

fn some(all: &[String]) -> String {
    all.iter().take(5).cloned().collect::<Vec<_>>().join("; ")
}

/// How many operations of each kind succeeded.
fn operations(events: &[Event]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind == Kind::Ok) {
        let name = match &event.op {
            Op::Fault { .. } | Op::Leader { .. } | Op::Assign { .. } | Op::Subscribe { .. } => continue,
            Op::Work { micros, .. } if matches!(micros.first(), Some(Micro::Poll { .. })) => "poll",
            Op::Work { .. } => "send",
            Op::Commit { .. } => "commit",
            Op::Committed { .. } => "committed",
            Op::CreateTopic { .. } => "create-topic",
            Op::DeleteTopic { .. } => "delete-topic",
            Op::GrowTopic { .. } => "grow-topic",
            Op::WriteConfig { .. } => "write-config",
            Op::ReadConfig { .. } => "read-config",
            Op::ListTopics { .. } => "list-topics",
            Op::Drain { .. } => "drain",
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}
