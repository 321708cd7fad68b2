//! The life of a log: offset-changed, start-fell, kept-lost, came-back, lost-key, resurrected; and of records with names also G1a and garbage-read.
//!
//! What retention, DeleteRecords and log compaction take away must be what they may take away, and it must stay away.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::{Kept, Kind, Offset, Op, Put, Start, Value};

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};
use super::table::Operation;

/// Looks at each partition for itself.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    for (name, partition) in partitions(context) {
        let judge = Judge { context, name, partition: &partition };
        judge.contents(findings);
        judge.origins(findings);
        judge.starts(findings);
        for scan in &partition.scans {
            if scan.compacted {
                judge.compacted(scan, findings)
            } else {
                judge.kept(scan, findings)
            }
            judge.came_back(scan, findings);
        }
    }
}

/// What was done with a partition, in the order of completion.
#[derive(Default)]
struct Partition<'a> {
    puts: Vec<Written<'a>>,
    scans: Vec<Scan<'a>>,
    trims: Vec<(usize, Offset)>,
}

#[derive(Clone, Copy)]
struct Written<'a> {
    at: usize,
    kind: Kind,
    put: &'a Put,
}

struct Scan<'a> {
    at: usize,
    compacted: bool,
    last: bool,
    records: &'a [Kept],
    end: Offset,
    start: Option<Start>,
}

fn partitions<'a>(context: &Context<'a>) -> BTreeMap<&'a str, Partition<'a>> {
    let mut partitions: BTreeMap<&str, Partition<'_>> = BTreeMap::new();
    for (at, operation, op) in context.table.all_others() {
        match op {
            Op::Put { puts, .. } => {
                for put in puts {
                    let kind = operation.kind;
                    partitions.entry(&put.key).or_default().puts.push(Written { at, kind, put });
                }
            }
            Op::Scan { key, compacted, last, records, end, start } if operation.kind == Kind::Ok => {
                let (compacted, last, end, start) = (*compacted, *last, *end, *start);
                let scan = Scan { at, compacted, last, records, end, start };
                partitions.entry(key).or_default().scans.push(scan);
            }
            Op::Trim { key, start: Some(start), .. } if operation.kind == Kind::Ok => {
                partitions.entry(key).or_default().trims.push((at, *start));
            }
            _ => {}
        }
    }
    partitions
}

struct Judge<'a> {
    context: &'a Context<'a>,
    name: &'a str,
    partition: &'a Partition<'a>,
}

impl<'a> Judge<'a> {
    fn operation(&self, at: usize) -> &Operation {
        &self.context.table.operations[at]
    }

    /// Whether the first operation had ended when the second began.
    fn is_before(&self, first: usize, second: usize) -> bool {
        self.operation(first).line < self.operation(second).invoked_line
    }

    fn example(&self, text: &str) -> Example {
        Example::new(format!("{}: {text}", self.name))
    }

    /// Each offset has one record, by all acknowledgements and all scans.
    fn contents(&self, findings: &mut Findings) {
        let mut known: HashMap<Offset, (u32, Option<Value>, usize)> = HashMap::new();
        let written = self.partition.puts.iter().filter(|written| written.kind == Kind::Ok);
        let written = written.filter_map(|Written { at, put, .. }| Some((*at, put.offset?, put.name, put.value)));
        let read = self
            .partition
            .scans
            .iter()
            .flat_map(|scan| scan.records.iter().map(|record| (scan.at, record.offset, record.name, record.value)));
        for (at, offset, name, value) in written.chain(read) {
            let (other_name, other, first) = *known.entry(offset).or_insert((name, value, at));
            if (other_name, other) != (name, value) {
                findings.add(Anomaly::OffsetChanged, || {
                    let text = format!("{offset} held {other_name}={other:?}, and then {name}={value:?}");
                    self.example(&text).with(self.context.table, "before", first).with(self.context.table, "then", at)
                });
            }
        }
    }

    /// What is read was written, and not by who failed.
    fn origins(&self, findings: &mut Findings) {
        let values = self.partition.puts.iter().filter_map(|written| Some((written.put.value?, *written)));
        let values: HashMap<Value, Written<'_>> = values.collect();
        let read =
            self.partition.scans.iter().flat_map(|scan| scan.records.iter().map(move |record| (scan.at, record)));
        for (at, record) in read {
            let Some(value) = record.value else { continue };
            let written = values.get(&value).filter(|written| {
                written.put.name == record.name && self.operation(written.at).invoked_line < self.operation(at).line
            });
            let text = || self.example(&format!("{}={value} was read at {}", record.name, record.offset));
            match written {
                None => findings.add(Anomaly::GarbageRead, || text().with(self.context.table, "read", at)),
                Some(written) if written.kind == Kind::Fail => findings.add(Anomaly::G1a, || {
                    let table = self.context.table;
                    text().with(table, "failed", written.at).with(table, "read", at)
                }),
                Some(_) => {}
            }
        }
    }

    /// Where the log began, with the epoch of who said so; who trims does not learn it.
    fn known_starts(&self) -> impl Iterator<Item = (usize, Option<i32>, Offset)> + '_ {
        let scans = self.partition.scans.iter();
        let scans = scans.filter_map(|scan| scan.start.map(|start| (scan.at, Some(start.epoch), start.offset)));
        scans.chain(self.partition.trims.iter().map(|(at, start)| (*at, None, *start)))
    }

    /// A leader that was replaced, and does not know it yet, may tell an earlier start; one of a newer epoch may not, and nobody in the end.
    fn starts(&self, findings: &mut Findings) {
        for scan in &self.partition.scans {
            let Some(now) = scan.start else { continue };
            let fell = self.known_starts().find(|(at, epoch, start)| {
                let counts = scan.last || epoch.is_some_and(|epoch| epoch <= now.epoch);
                counts && *start > now.offset && self.is_before(*at, scan.at)
            });
            if let Some((at, _, start)) = fell {
                findings.add(Anomaly::StartFell, || {
                    let text = format!("the log began at {start}, and then at {}", now.offset);
                    self.example(&text).with(self.context.table, "before", at).with(self.context.table, "then", scan.at)
                });
            }
        }
    }

    /// What is not compacted is all there from the start to where it was read to.
    fn kept(&self, scan: &Scan<'_>, findings: &mut Findings) {
        let Some(start) = scan.start else { return };
        let there: HashSet<Offset> = scan.records.iter().map(|record| record.offset).collect();
        for Written { at, put, .. } in self.acknowledged_before(scan) {
            let Some(offset) = put.offset else { continue };
            if offset >= start.offset && offset < scan.end && !there.contains(&offset) {
                findings.add(Anomaly::KeptLost, || {
                    let (name, value, end) = (put.name, put.value, scan.end);
                    let text = format!("{name}={value:?}, at {offset}, is not in {}..{end}", start.offset);
                    self.example(&text).with(self.context.table, "put", *at).with(self.context.table, "read", scan.at)
                });
            }
        }
    }

    fn acknowledged_before<'s>(&'s self, scan: &'s Scan<'_>) -> impl Iterator<Item = &'s Written<'a>> + 's {
        let puts = self.partition.puts.iter();
        puts.filter(move |written| written.kind == Kind::Ok && self.is_before(written.at, scan.at))
    }

    /// What was gone before the last scan began stays away.
    fn came_back(&self, scan: &Scan<'_>, findings: &mut Findings) {
        let Some(first) = scan.records.first().filter(|_| scan.last) else { return };
        let known = self.known_starts().find(|(at, _, start)| *start > first.offset && self.is_before(*at, scan.at));
        if let Some((at, _, start)) = known {
            findings.add(Anomaly::CameBack, || {
                let text = format!("{} is there again, though the log began at {start}", first.offset);
                self.example(&text).with(self.context.table, "began", at).with(self.context.table, "read", scan.at)
            });
        }
    }

    /// Of each name its newest acknowledged record is there, or a newer one, or nothing because of a tombstone.
    fn compacted(&self, scan: &Scan<'_>, findings: &mut Findings) {
        let mut newest: BTreeMap<u32, (Offset, &Written<'_>)> = BTreeMap::new();
        for written in self.acknowledged_before(scan) {
            let Some(offset) = written.put.offset.filter(|offset| *offset < scan.end) else { continue };
            let of_name = newest.entry(written.put.name).or_insert((offset, written));
            if of_name.0 < offset {
                *of_name = (offset, written);
            }
        }
        let read: HashMap<u32, &Kept> = scan.records.iter().map(|record| (record.name, record)).collect();
        for (name, (offset, written)) in newest {
            let there = read.get(&name).map(|record| record.offset);
            if there.is_some_and(|there| there >= offset) {
                continue;
            }
            let anomaly = match there {
                _ if !self.may_be_gone(name, offset) => Anomaly::LostKey,
                // A reader may have been there before its record went, and behind it when the tombstone had gone, too.
                Some(there) if self.was_there_before(scan, name, there) => Anomaly::Resurrected,
                _ => continue,
            };
            findings.add(anomaly, || {
                let value = written.put.value;
                let text = format!("{name}={value:?} was put at {offset}, and the newest that is there is {there:?}");
                self.example(&text).with(self.context.table, "put", written.at).with(
                    self.context.table,
                    "read",
                    scan.at,
                )
            });
        }
    }

    /// Whether a tombstone, be it in doubt, may stand at this offset or behind it.
    fn may_be_gone(&self, name: u32, offset: Offset) -> bool {
        self.partition.puts.iter().any(|Written { kind, put, .. }| {
            let is_tombstone = put.name == name && put.value.is_none() && *kind != Kind::Fail;
            is_tombstone && put.offset.is_none_or(|at| at >= offset)
        })
    }

    /// Whether another of the last scans, which had ended before this one began, had the same newest record of a name.
    fn was_there_before(&self, scan: &Scan<'_>, name: u32, offset: Offset) -> bool {
        let earlier = |other: &&Scan<'_>| other.last && self.is_before(other.at, scan.at);
        scan.last
            && self.partition.scans.iter().filter(earlier).any(|other| {
                let newest = other.records.iter().rfind(|record| record.name == name);
                newest.is_some_and(|record| record.offset == offset)
            })
    }
}
