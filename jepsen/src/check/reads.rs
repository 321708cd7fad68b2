//! garbage-read, G1a, precommitted-read: nobody may read what was not written, or not committed.

use std::collections::HashSet;

use crate::history::Kind;

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};

/// Looks for all three.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    for (reader, operation) in table.operations.iter().enumerate() {
        for run in table.runs_of(reader) {
            let key = table.runs[run].key;
            for at in table.records_of(run) {
                let (id, record) = (index.ids[at], table.records[at]);
                let Some(writer) = index.writer(table, id) else {
                    findings.add(Anomaly::GarbageRead, || {
                        let (name, value, offset) = (table.keys.name(key), record.value, record.offset);
                        let text = format!("{name}: {value} was read at {offset}, and nobody sent it there");
                        Example::new(text).with(table, &format!("read {value}"), reader)
                    });
                    continue;
                };
                let writing = &table.operations[writer];
                let describe = |what: &str| {
                    let (name, value, offset) = (table.keys.name(key), record.value, record.offset);
                    let example = Example::new(format!("{name}: {value} was read at {offset}, {what}"));
                    example.with(table, &format!("sent {value}"), writer).with(table, &format!("read {value}"), reader)
                };
                if operation.line < writing.invoked_line {
                    findings.add(Anomaly::GarbageRead, || describe("before it was sent"));
                }
                if writing.kind == Kind::Fail && operation.kind == Kind::Ok {
                    findings.add(Anomaly::G1a, || describe("though its send had failed"));
                }
            }
        }
        if operation.is_transaction() {
            precommitted(context, reader, findings);
        }
    }
}

/// A transaction never sees its own records. One finding for each partition.
fn precommitted(context: &Context<'_>, at: usize, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    let mut keys = HashSet::new();
    for run in table.runs_of(at) {
        let own = table.records_of(run).find(|record| index.writer(table, index.ids[*record]) == Some(at));
        if let Some(record) = own
            && keys.insert(table.runs[run].key)
        {
            findings.add(Anomaly::PrecommittedRead, || {
                let (name, value) = (table.keys.name(table.runs[run].key), table.records[record].value);
                Example::new(format!("{name}: a transaction read {value}, which it sent itself")).with(
                    table,
                    "sent and read",
                    at,
                )
            });
        }
    }
}
