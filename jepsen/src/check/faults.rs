//! When the nemesis did what, from the history.

use std::collections::BTreeSet;

use crate::history::Op;

use super::table::Table;

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Such as `kill`.
    pub name: String,
    /// To which nodes.
    pub nodes: Vec<u32>,
    /// When it began.
    pub begins: u64,
    /// When it ended; when it began, if it only happened.
    pub ends: u64,
}

/// The faults, in the order in which they began. The invocation of a fault and its completion may both be told: it lasts from the first
/// word of its beginning to the last of its end.
#[must_use]
pub fn faults(table: &Table) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for watched in &table.watched {
        let Op::Fault { name, nodes, begins } = &watched.op else { continue };
        let same = faults.iter_mut().rev().find(|fault| fault.name == *name && fault.nodes == *nodes);
        match same {
            Some(fault) if !begins => fault.ends = watched.time,
            // Told again: within a second it is the completion of the same.
            Some(fault) if fault.ends == fault.begins && watched.time - fault.begins < 1_000_000_000 => {}
            _ if *begins => faults.push(Fault {
                name: name.clone(),
                nodes: nodes.clone(),
                begins: watched.time,
                ends: watched.time,
            }),
            _ => {}
        }
    }
    faults
}

/// How many nodes there are, as far as faults and leaders tell.
#[must_use]
pub(super) fn nodes(table: &Table) -> usize {
    let mut nodes = BTreeSet::new();
    for watched in &table.watched {
        match &watched.op {
            Op::Fault { nodes: hurt, .. } => nodes.extend(hurt.iter().copied()),
            Op::Leader { node, .. } => nodes.extend(*node),
            _ => {}
        }
    }
    nodes.len()
}

/// Names that begin like this hinder no node from being part of a majority.
const HARMLESS: [&str; 3] = ["clock", "leader", "transfer"];

/// The times in which so many nodes are hindered that the others are no majority, ascending and apart from each other.
#[must_use]
pub fn without_majority(faults: &[Fault], nodes: usize) -> Vec<(u64, u64)> {
    times(faults, |hindered| (nodes - hindered.min(nodes)) * 2 <= nodes)
}

/// The times in which some node is hindered, ascending and apart from each other.
pub(super) fn with_hindered(faults: &[Fault]) -> Vec<(u64, u64)> {
    times(faults, |hindered| hindered > 0)
}

/// The times in which as many nodes are hindered as are asked for.
fn times(faults: &[Fault], asked_for: impl Fn(usize) -> bool) -> Vec<(u64, u64)> {
    let hindering = || faults.iter().filter(|fault| !HARMLESS.iter().any(|name| fault.name.starts_with(name)));
    let mut moments: Vec<u64> = hindering().flat_map(|fault| [fault.begins, fault.ends]).collect();
    moments.sort_unstable();
    moments.dedup();
    let mut times: Vec<(u64, u64)> = Vec::new();
    for pair in moments.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let active = hindering().filter(|fault| fault.begins <= from && to <= fault.ends);
        let hindered: BTreeSet<u32> = active.flat_map(|fault| fault.nodes.iter().copied()).collect();
        if asked_for(hindered.len()) {
            match times.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => times.push((from, to)),
            }
        }
    }
    times
}
