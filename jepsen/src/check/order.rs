//! send-order, read-order: each partition keeps the order of each process, whatever it is assigned meanwhile.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::history::{Kind, Offset};

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};
use super::index::RecordId;
use super::table::NO_OFFSET;

/// Looks for both.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    acknowledged(context, findings);
    read(context, findings);
}

/// By the offsets that the acknowledgements told, operation by operation.
fn acknowledged(context: &Context<'_>, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    let mut highest: HashMap<(u32, u32), (Offset, RecordId), FxBuildHasher> = HashMap::default();
    for (at, operation) in table.operations.iter().enumerate().filter(|(_, operation)| operation.kind == Kind::Ok) {
        let (start, sends) = table.sends_of(at);
        let start = u32::try_from(start).expect("sends have short numbers");
        let told = || (start..).zip(sends).filter(|(_, send)| send.offset != NO_OFFSET);
        for (id, send) in told().filter(|(_, send)| !index.lives[send.key as usize].recreated) {
            let before = highest.get(&(operation.process, send.key)).copied();
            // Within an operation int-nonmonotonic-send looks.
            let before = before.filter(|(offset, before)| *before < start && *offset >= send.offset);
            if let Some((offset, before)) = before {
                findings.add(Anomaly::SendOrder, || {
                    let (name, value, later) = (table.keys.name(send.key), index.value(table, before), send.value);
                    let text =
                        format!("{name}: {value} was given {offset}, and {later}, sent after it, {}", send.offset);
                    Example::new(text).with_record(context, before).with_record(context, id)
                });
            }
        }
        for (id, send) in told() {
            let highest = highest.entry((operation.process, send.key)).or_insert((send.offset, id));
            *highest = (*highest).max((send.offset, id));
        }
    }
}

/// By where the records lie. A record with two offsets counts where it lies first: it is a duplicate already.
fn read(context: &Context<'_>, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    let mut latest: HashMap<u32, RecordId, FxBuildHasher> = HashMap::default();
    for (key, log) in (0..).zip(&index.logs).filter(|(key, _)| !index.lives[*key].recreated) {
        latest.clear();
        for (offset, id) in log.entries().filter(|(offset, id)| index.offsets[*id as usize] == *offset) {
            let Some(writer) = index.writer(table, id) else { continue };
            let latest = latest.entry(table.operations[writer].process).or_insert(id);
            if id < *latest {
                findings.add(Anomaly::ReadOrder, || {
                    let name = table.keys.name(u32::try_from(key).expect("keys have short numbers"));
                    let (value, later) = (index.value(table, id), index.value(table, *latest));
                    let text =
                        format!("{name}: {value}, at {offset}, lies behind {later}, which its process sent later");
                    Example::new(text).with_record(context, id).with_record(context, *latest)
                });
            }
            *latest = id.max(*latest);
        }
    }
}
