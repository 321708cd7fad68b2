//! poll-skip, nonmonotonic-poll, int-poll-skip, int-nonmonotonic-poll: who reads a partition reads all of it, in order.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::history::{Kind, Offset, Op, topic_of};

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};

/// What a process reads.
#[derive(Debug, Default)]
struct Reader {
    /// Whether its group tells it what to read: it may then be given a partition anew, at the committed offset.
    subscribed: bool,
    /// Where its last `ok` operation left off, and which one that was.
    last: HashMap<u32, (Offset, usize), FxBuildHasher>,
    /// What came or went, and in which line.
    rebalanced: HashMap<u32, u32, FxBuildHasher>,
}

/// Looks for all four.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let table = context.table;
    let mut readers: HashMap<u32, Reader, FxBuildHasher> = HashMap::default();
    for (at, operation) in table.operations.iter().enumerate() {
        match table.other(operation) {
            Some(op) if operation.kind != Kind::Fail => {
                readers.entry(operation.process).or_default().turn(context, op, operation.line);
            }
            Some(_) => {}
            None if table.runs_of(at).is_empty() => {}
            None => readers.entry(operation.process).or_default().poll(context, at, findings),
        }
    }
}

impl Reader {
    fn turn(&mut self, context: &Context<'_>, op: &Op, line: u32) {
        let name = |key: u32| context.table.keys.name(key);
        match op {
            Op::Assign { keys } => {
                self.subscribed = false;
                self.last.retain(|key, _| keys.iter().any(|assigned| assigned == name(*key)));
            }
            Op::Subscribe { topics } => {
                self.subscribed = true;
                self.last.retain(|key, _| topics.iter().any(|topic| topic == topic_of(name(*key))));
            }
            Op::Rebalance { keys } => {
                let numbers = keys.iter().filter_map(|key| context.table.keys.find(key));
                for key in numbers {
                    self.last.remove(&key);
                    self.rebalanced.insert(key, line);
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self, context: &Context<'_>, at: usize, findings: &mut Findings) {
        let Context { table, index, .. } = context;
        let begun = table.operations[at].invoked_line;
        let is_rebalanced = |key| self.rebalanced.get(&key).is_some_and(|line| *line > begun);
        let mut reached: HashMap<u32, Offset, FxBuildHasher> = HashMap::default();
        for run in table.runs_of(at) {
            let key = table.runs[run].key;
            if index.lives[key as usize].recreated {
                continue;
            }
            let step = Step { context, key, at };
            let records = &table.records[table.records_of(run)];
            let mut before = match reached.get(&key) {
                Some(before) => Some(*before),
                None => {
                    if let (Some((before, earlier)), Some(first)) = (self.last.get(&key), records.first()) {
                        step.between(*before, first.offset, *earlier, self.subscribed, findings);
                    }
                    None
                }
            };
            for record in records {
                if let Some(before) = before
                    && record.offset != before + 1
                    && !is_rebalanced(key)
                {
                    step.within(before, record.offset, findings);
                }
                before = Some(record.offset);
            }
            reached.extend(before.map(|before| (key, before)));
        }
        // What an operation read that failed, or of which nobody knows, is read again.
        if table.operations[at].kind == Kind::Ok {
            self.last.extend(reached.into_iter().map(|(key, offset)| (key, (offset, at))));
        }
    }
}

/// A place at which a reader went on.
struct Step<'a> {
    context: &'a Context<'a>,
    key: u32,
    at: usize,
}

impl Step<'_> {
    fn between(&self, from: Offset, to: Offset, earlier: usize, allowed: bool, findings: &mut Findings) {
        let describe = || self.describe(from, to).with(self.context.table, "read", earlier);
        match self.distance(from, to) {
            2.. => findings.put(Anomaly::PollSkip, allowed, describe),
            1 => {}
            _ => findings.put(Anomaly::NonmonotonicPoll, allowed, describe),
        }
    }

    fn within(&self, from: Offset, to: Offset, findings: &mut Findings) {
        match self.distance(from, to) {
            2.. => findings.add(Anomaly::IntPollSkip, || self.describe(from, to)),
            1 => {}
            _ => findings.add(Anomaly::IntNonmonotonicPoll, || self.describe(from, to)),
        }
    }

    fn distance(&self, from: Offset, to: Offset) -> i64 {
        self.context.index.logs[self.key as usize].distance(from, to)
    }

    fn describe(&self, from: Offset, to: Offset) -> Example {
        let Context { table, index, .. } = self.context;
        let (name, log) = (table.keys.name(self.key), &index.logs[self.key as usize]);
        let example = Example::new(format!("{name}: read on from {from} to {to}")).with(table, "read on", self.at);
        let skipped = log.at_or_after(from.saturating_add(1));
        match log.offsets.get(skipped) {
            Some(offset) if *offset < to => {
                let value = index.value(table, log.ids[skipped]);
                let skipped = log.ids[skipped];
                let more = self.distance(from, to) - 2;
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let text = format!("{}, past {value} at {offset}{more}", example.text);
                Example { text, ..example }.with_record(self.context, skipped)
            }
            _ => example,
        }
    }
}
