//! duplicate and inconsistent-offsets: a record has one offset, and an offset one record.

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings, some_offsets, some_values};

/// Looks for both.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    let Context { table, index, .. } = context;
    for (key, log) in (0..).zip(&index.logs) {
        if index.lives[key as usize].recreated {
            continue;
        }
        let name = table.keys.name(key);
        let mut duplicates: Vec<_> = log.duplicates.iter().collect();
        duplicates.sort_unstable();
        for (id, offsets) in duplicates {
            findings.add(Anomaly::Duplicate, || {
                let value = index.value(table, *id);
                Example::new(format!("{name}: {value} lies at the offsets {}", some_offsets(offsets)))
                    .with_record(context, *id)
            });
        }
        for (offset, id) in &log.conflicts {
            findings.add(Anomaly::InconsistentOffsets, || {
                let first = log.ids[log.at_or_after(*offset)];
                let values = [index.value(table, first), index.value(table, *id)];
                let text = format!("{name}: the offset {offset} holds the records {}", some_values(&values));
                Example::new(text).with_record(context, first).with_record(context, *id)
            });
        }
    }
}
