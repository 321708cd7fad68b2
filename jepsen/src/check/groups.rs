//! commit-ahead: a group commits only what it has read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Kind, Offset, Op};

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};
use super::log::Log;

/// Which places of a partition's log a group has read.
#[derive(Debug)]
struct Progress {
    read: Vec<bool>,
    /// The first that was not.
    frontier: usize,
}

/// What a group is.
#[derive(Debug, Default)]
struct Group {
    /// The partitions that were read or committed.
    progress: HashMap<u32, Progress>,
    /// The processes that committed for it.
    members: BTreeSet<u32>,
}

/// Goes through reads and commits in the order in which reads ended and commits began.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let table = context.table;
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    let mut subscribed = BTreeSet::new();
    let mut commits = Vec::new();
    for (at, operation, op) in table.all_others() {
        match op {
            Op::Commit { group, offsets } => {
                groups.entry(group).or_default().members.insert(operation.process);
                if operation.kind != Kind::Fail {
                    commits.push((operation.invoked_line, at, group.as_str(), offsets));
                }
            }
            Op::Subscribe { .. } => _ = subscribed.insert(operation.process),
            _ => {}
        }
    }
    if commits.is_empty() {
        return;
    }
    let committers: BTreeSet<u32> = groups.values().flat_map(|group| group.members.iter().copied()).collect();
    commits.sort_unstable_by_key(|(line, at, ..)| (*line, *at));
    let mut operations = table.operations.iter().enumerate().peekable();
    for (line, commit, name, offsets) in commits {
        while let Some((at, operation)) = operations.next_if(|(_, operation)| operation.line < line) {
            if operation.kind == Kind::Fail {
                continue;
            }
            for group in groups.values_mut() {
                // Who subscribes and never commits may be of any group.
                let process = operation.process;
                if group.members.contains(&process) || subscribed.contains(&process) && !committers.contains(&process) {
                    group.read(context, at);
                }
            }
        }
        if let Some(group) = groups.get_mut(name) {
            group.commit(context, name, commit, offsets, findings);
        }
    }
}

impl Group {
    fn progress<'g>(&'g mut self, log: &Log, key: u32) -> &'g mut Progress {
        self.progress.entry(key).or_insert_with(|| Progress { read: vec![false; log.offsets.len()], frontier: 0 })
    }

    fn read(&mut self, context: &Context<'_>, at: usize) {
        let Context { table, index, .. } = context;
        for run in table.runs_of(at) {
            let key = table.runs[run].key;
            let log = &index.logs[key as usize];
            let progress = self.progress(log, key);
            for record in &table.records[table.records_of(run)] {
                progress.read[log.at_or_after(record.offset)] = true;
            }
        }
    }

    fn commit(
        &mut self,
        context: &Context<'_>,
        name: &str,
        commit: usize,
        offsets: &BTreeMap<String, Offset>,
        findings: &mut Findings,
    ) {
        let Context { table, index, .. } = context;
        for (key, offset) in offsets {
            let Some(number) = table.keys.find(key).filter(|number| !index.lives[*number as usize].recreated) else {
                continue;
            };
            let log = &index.logs[number as usize];
            let progress = self.progress(log, number);
            for place in progress.frontier..log.at_or_after(*offset) {
                if !progress.read[place] {
                    findings.add(Anomaly::CommitAhead, || {
                        let (value, at) = (index.value(table, log.ids[place]), log.offsets[place]);
                        let text =
                            format!("{name}, {key}: {offset} was committed, and no member had read {value}, at {at}");
                        Example::new(text).with(table, "committed", commit).with_record(context, log.ids[place])
                    });
                }
                progress.frontier = place + 1;
            }
        }
    }
}
