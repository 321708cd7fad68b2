//! stale-committed, lost-committed, garbage-committed: a committed offset stays until somebody commits another.
//!
//! Each partition of a group is a register. An answer is right when some commit of that offset, which has not failed, may have taken effect
//! after all else that is known to have been held before the question was asked.

use std::collections::{BTreeMap, HashMap};

use crate::history::{Kind, Offset, Op, topic_of};

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};
use super::table::Operation;

/// Looks for all three.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let table = context.table;
    let mut moments = Vec::new();
    for (at, operation, op) in table.all_others() {
        if matches!(op, Op::Commit { .. } | Op::Committed { .. }) && operation.kind != Kind::Fail {
            moments.push((operation.invoked_line, false, at));
            if operation.kind == Kind::Ok {
                moments.push((operation.line, true, at));
            }
        }
    }
    moments.sort_unstable();
    let mut judge = Judge { context, registers: BTreeMap::new(), asked: HashMap::new() };
    for (_, returns, at) in moments {
        match table.other(&table.operations[at]) {
            Some(Op::Commit { group, offsets }) => judge.commit(at, group, offsets, returns),
            Some(Op::Committed { group, .. }) if !returns => judge.ask(at, group),
            Some(Op::Committed { group, offsets }) => judge.answer(at, group, offsets, findings),
            _ => {}
        }
    }
}

/// Something that was held at a time between an operation's invocation and its completion.
#[derive(Clone, Copy, Debug)]
struct Fact {
    invoked: u32,
    held: Option<Offset>,
    operation: usize,
}

/// The committed offset of a partition.
#[derive(Clone, Debug, Default)]
struct Register {
    /// The fact that began last, and the last that began of another offset.
    latest: [Option<Fact>; 2],
    /// By offset the line by which all its commits had taken effect; none for ever while one is open or in doubt.
    effective: HashMap<Offset, Option<u32>>,
    /// How many commits of an offset have not returned.
    open: HashMap<Offset, u32>,
}

impl Register {
    fn learn(&mut self, fact: Fact) {
        let [latest, other] = self.latest;
        match latest {
            Some(before) if before.held == fact.held => {
                if before.invoked < fact.invoked {
                    self.latest[0] = Some(fact);
                }
            }
            Some(before) if before.invoked < fact.invoked => self.latest = [Some(fact), latest],
            None => self.latest[0] = Some(fact),
            Some(_) if other.is_none_or(|other| other.invoked < fact.invoked) => self.latest[1] = Some(fact),
            Some(_) => {}
        }
    }
}

/// What was known of the partitions of a group when its offsets were asked for.
type Known<'a> = Vec<(&'a str, [Option<Fact>; 2])>;

struct Judge<'a> {
    context: &'a Context<'a>,
    registers: BTreeMap<(&'a str, &'a str), Register>,
    asked: HashMap<usize, Known<'a>>,
}

impl<'a> Judge<'a> {
    fn commit(&mut self, at: usize, group: &'a str, offsets: &'a BTreeMap<String, Offset>, returns: bool) {
        let Operation { invoked_line, line, .. } = self.context.table.operations[at];
        for (key, offset) in offsets {
            let register = self.registers.entry((group, key)).or_default();
            let open = register.open.entry(*offset).or_default();
            if returns {
                *open -= 1;
                register.effective.insert(*offset, (*open == 0).then_some(line));
                register.learn(Fact { invoked: invoked_line, held: Some(*offset), operation: at });
            } else {
                *open += 1;
                register.effective.insert(*offset, None);
            }
        }
    }

    fn ask(&mut self, at: usize, group: &'a str) {
        let of_group = self.registers.iter().filter(|((name, _), _)| *name == group);
        self.asked.insert(at, of_group.map(|((_, key), register)| (*key, register.latest)).collect());
    }

    fn answer(&mut self, at: usize, group: &'a str, offsets: &'a BTreeMap<String, Offset>, findings: &mut Findings) {
        let known = self.asked.remove(&at).unwrap_or_default();
        let mut facts: BTreeMap<&str, [Option<Fact>; 2]> =
            offsets.keys().map(|key| (key.as_str(), [None; 2])).collect();
        facts.extend(known);
        for (key, latest) in facts {
            let register = self.registers.entry((group, key)).or_default();
            let held = offsets.get(key).copied();
            let latest = latest.into_iter().flatten().find(|fact| fact.held != held);
            let describe = |text: String| {
                let example = Example::new(format!("{group}, {key}: {text}")).with(self.context.table, "asked", at);
                latest.iter().fold(example, |example, fact| example.with(self.context.table, "before", fact.operation))
            };
            let effective = match held {
                None => Some(0),
                Some(offset) => match register.effective.get(&offset) {
                    Some(line) => *line,
                    None => {
                        findings
                            .add(Anomaly::GarbageCommitted, || describe(format!("{offset}, which nobody committed")));
                        Some(0)
                    }
                },
            };
            if let (Some(fact), Some(effective)) = (latest, effective)
                && effective < fact.invoked
                && !deleted(self.context, key)
                && held.is_none_or(|offset| register.effective.contains_key(&offset))
            {
                let is_commit = matches!(
                    self.context.table.other(&self.context.table.operations[fact.operation]),
                    Some(Op::Commit { .. })
                );
                let anomaly = if is_commit { Anomaly::LostCommitted } else { Anomaly::StaleCommitted };
                findings.add(anomaly, || describe(format!("{} was held, and later {}", shown(fact.held), shown(held))));
            }
            let invoked = self.context.table.operations[at].invoked_line;
            register.learn(Fact { invoked, held, operation: at });
        }
    }
}

fn shown(held: Option<Offset>) -> String {
    held.map_or_else(|| "nothing".to_owned(), |offset| offset.to_string())
}

/// The offsets of a topic that may have been deleted need not be kept.
fn deleted(context: &Context<'_>, key: &str) -> bool {
    let others = context.table.all_others();
    others.filter(|(_, operation, _)| operation.kind != Kind::Fail).any(|(_, _, op)| match op {
        Op::DeleteTopic { topic } => topic == topic_of(key),
        _ => false,
    })
}
