//! lost-write, unseen, torn-transaction, log-truncated: what was written must be read in the end.

use std::collections::BTreeMap;

use crate::history::{Kind, Offset, Op};

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings, first_reader};
use super::index::RecordId;

/// Looks for all four.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    lost(context, findings);
    let ends = ends(context);
    unseen(context, &ends, findings);
    truncated(context, &ends, findings);
}

/// What lies before the highest record that an `ok` operation read must have been read too, by whomever and whenever. For a record with
/// several offsets the first counts to tell how far reading got, and the last to tell what lies before.
fn lost(context: &Context<'_>, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    for (key, log) in (0..).zip(&index.logs) {
        if index.lives[key as usize].deleted {
            continue;
        }
        let first = |id: RecordId| index.offsets[id as usize];
        let all = || log.ids.iter().copied().chain(log.conflicts.iter().map(|(_, id)| *id));
        let Some(highest) = all().filter(|id| index.read[*id as usize]).max_by_key(|id| first(*id)) else { continue };
        let mut seen = std::collections::HashSet::new();
        let candidates = all().filter(|id| !index.read[*id as usize]).filter(|id| {
            let happened = index.happened.get(*id as usize).copied().unwrap_or(false);
            happened && index.last_offset(key, *id).is_some_and(|last| last <= first(highest))
        });
        for id in candidates.filter(|id| seen.insert(*id)) {
            findings.add(Anomaly::LostWrite, || {
                let (value, read) = (index.value(table, id), index.value(table, highest));
                let (at, read_at) = (first(id), first(highest));
                let name = table.keys.name(key);
                let text = format!("{name}: {value}, at {at}, was never read, though {read}, at {read_at}, was");
                Example::new(text).with_record(context, id).with_record(context, highest)
            });
        }
    }
}

/// The ends of the partitions when they were drained, by the last drain.
fn ends(context: &Context<'_>) -> BTreeMap<u32, (Offset, usize)> {
    let mut ends = BTreeMap::new();
    for (at, operation, op) in context.table.all_others() {
        if let (Kind::Ok, Op::Drain { ends: drained }) = (operation.kind, op) {
            let keys = drained.iter().filter_map(|(key, end)| Some((context.table.keys.find(key)?, *end)));
            ends.extend(keys.map(|(key, end)| (key, (end, at))));
        }
    }
    ends
}

/// Only a drain tells that what was not read is not there.
fn unseen(context: &Context<'_>, ends: &BTreeMap<u32, (Offset, usize)>, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    let mut undrained = BTreeMap::new();
    for (id, send) in (0..).zip(&table.sends) {
        let operation = &table.operations[send.operation as usize];
        if index.read[id as usize] || !index.happened[id as usize] || index.lives[send.key as usize].deleted {
            continue;
        }
        let name = table.keys.name(send.key);
        match ends.get(&send.key) {
            Some((_, drain)) if !before(context, id, *drain) => {}
            None => *undrained.entry(name).or_insert(0_u64) += 1,
            Some((end, drain)) if operation.kind == Kind::Ok => findings.add(Anomaly::Unseen, || {
                let value = send.value;
                let text = format!("{name}: {value} was acknowledged and not read up to the end, {end}");
                Example::new(text).with_record(context, id).with(table, "drained", *drain)
            }),
            Some((end, drain)) => findings.add(Anomaly::TornTransaction, || {
                let value = send.value;
                let (start, all) = table.sends_of(send.operation as usize);
                let read = (start..start + all.len()).find(|id| index.read[*id]).unwrap_or(start);
                let text =
                    format!("{name}: {value} was not read up to the end, {end}, another part of its transaction was");
                let read = RecordId::try_from(read).expect("records have short numbers");
                Example::new(text).with_record(context, id).with_record(context, read).with(table, "drained", *drain)
            }),
        }
    }
    for (name, count) in undrained {
        findings.unknown(format!(
            "{name} was not drained at the end, and {count} of its acknowledged records were not read"
        ));
    }
}

/// Whether a record was there when a drain began, as far as its send tells. Of a transaction in doubt another part was read.
fn before(context: &Context<'_>, id: RecordId, drain: usize) -> bool {
    let (table, drain) = (context.table, &context.table.operations[drain]);
    context.index.writer(table, id).map(|writer| &table.operations[writer]).is_some_and(|writer| match writer.kind {
        Kind::Ok => writer.line < drain.invoked_line,
        _ => writer.line.min(writer.invoked_line) < drain.invoked_line,
    })
}

/// Whether a record was there when a drain began, as far as its readers tell.
fn read_before(context: &Context<'_>, id: RecordId, drain: usize) -> bool {
    let operations = &context.table.operations;
    first_reader(context, id).is_some_and(|reader| operations[reader].line < operations[drain].invoked_line)
}

fn truncated(context: &Context<'_>, ends: &BTreeMap<u32, (Offset, usize)>, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    for (key, (end, drain)) in ends {
        let log = &index.logs[*key as usize];
        if index.lives[*key as usize].deleted {
            continue;
        }
        for (offset, id) in log.entries().skip(log.at_or_after(*end)) {
            let writer = index.writer(table, id).map(|writer| &table.operations[writer]);
            if writer.is_some_and(|writer| writer.kind == Kind::Ok) && before(context, id, *drain)
                || read_before(context, id, *drain)
            {
                findings.add(Anomaly::LogTruncated, || {
                    let (name, value) = (table.keys.name(*key), index.value(table, id));
                    let text = format!("{name}: {value} was at {offset}, and the partition ends at {end}");
                    Example::new(text).with_record(context, id).with(table, "drained", *drain)
                });
            }
        }
    }
}
