//! nonmonotonic-send, int-nonmonotonic-send, int-send-skip: what a process sends in order lies in order.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::history::{Kind, Op, topic_of};

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};
use super::index::RecordId;

/// The last record that a process sent to each partition.
type Last = HashMap<u32, RecordId, FxBuildHasher>;

/// Looks for all three.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let Context { table, .. } = context;
    let mut processes: HashMap<u32, Last, FxBuildHasher> = HashMap::default();
    let mut own = Last::default();
    for (at, operation) in table.operations.iter().enumerate() {
        if let Some(op) = table.other(operation) {
            if operation.kind != Kind::Fail {
                let last = processes.entry(operation.process).or_default();
                last.retain(|key, _| keeps(op, table.keys.name(*key)));
            }
            continue;
        }
        let (start, sends) = table.sends_of(at);
        if sends.is_empty() {
            continue;
        }
        let start = u32::try_from(start).expect("sends have short numbers");
        let last = processes.entry(operation.process).or_default();
        own.clear();
        for (id, send) in (start..).zip(sends) {
            if let Some(before) = own.insert(send.key, id) {
                within(context, send.key, before, id, findings);
            } else if let (Some(before), true) = (last.get(&send.key), operation.kind != Kind::Fail) {
                let distance = distance(context, send.key, *before, id);
                if distance.is_some_and(|distance| distance < 1) {
                    findings.add(Anomaly::NonmonotonicSend, || describe(context, send.key, *before, id));
                }
            }
        }
        if operation.kind != Kind::Fail {
            last.extend(own.iter());
        }
    }
}

/// After an assignment only partitions that are still assigned are compared with what was before, as in `jepsen.tests.kafka`;
/// `send-order` knows no such exemption.
fn keeps(op: &Op, key: &str) -> bool {
    match op {
        Op::Assign { keys } => keys.iter().any(|assigned| assigned == key),
        Op::Subscribe { topics } => topics.iter().any(|topic| topic == topic_of(key)),
        _ => true,
    }
}

fn within(context: &Context<'_>, key: u32, before: RecordId, id: RecordId, findings: &mut Findings) {
    match distance(context, key, before, id) {
        Some(distance) if distance > 1 => {
            findings.add_allowed(Anomaly::IntSendSkip, || describe(context, key, before, id));
        }
        Some(distance) if distance < 1 => {
            findings.add(Anomaly::IntNonmonotonicSend, || describe(context, key, before, id))
        }
        _ => {}
    }
}

/// How far the second of two records lies behind the first, if it is known where both are.
fn distance(context: &Context<'_>, key: u32, before: RecordId, id: RecordId) -> Option<i64> {
    let index = context.index;
    if index.lives[key as usize].recreated {
        return None;
    }
    let (from, to) = (index.last_offset(key, before)?, index.last_offset(key, id)?);
    Some(index.logs[key as usize].distance(from, to))
}

fn describe(context: &Context<'_>, key: u32, before: RecordId, id: RecordId) -> Example {
    let Context { table, index, .. } = context;
    let told = |id| (index.value(table, id), index.last_offset(key, id).unwrap_or_default());
    let ((first, at), (second, second_at)) = (told(before), told(id));
    let text = format!("{}: {first} was sent, then {second}; they lie at {at} and {second_at}", table.keys.name(key));
    Example::new(text).with_record(context, before).with_record(context, id)
}
