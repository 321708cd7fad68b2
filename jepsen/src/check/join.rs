//! Joins the pieces of a history, and each invocation with its completion.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::bail;
use rustc_hash::FxBuildHasher;

use crate::history::{Kind, NEMESIS, Op};

use super::chunk::{Body, Chunk, Entry};
use super::table::{NEVER, Operation, Run, Sent, Table, Watched, What};

/// Takes pieces one after the other.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    table: Table,
    pending: HashMap<u32, Pending, FxBuildHasher>,
}

/// An invocation that waits for its completion.
#[derive(Debug)]
struct Pending {
    line: u32,
    time: u64,
    what: Waiting,
}

#[derive(Debug)]
enum Waiting {
    Work { transactional: bool, sends: Vec<Sent> },
    Other(Box<Op>),
}

/// A piece, and how much of its columns was taken.
struct Piece<'c> {
    chunk: &'c Chunk,
    /// The numbers of its keys in the table.
    keys: Vec<u32>,
    sends: usize,
    runs: usize,
    records: usize,
}

impl Joiner {
    /// How many lines were joined.
    pub(super) fn lines(&self) -> u32 {
        self.table.lines
    }

    /// Joins the next piece.
    ///
    /// # Errors
    /// When a completion has no invocation, or a process asks two things at once.
    pub(super) fn add(&mut self, mut chunk: Chunk) -> anyhow::Result<()> {
        let entries = std::mem::take(&mut chunk.entries);
        let keys = chunk.keys.iter().map(|key| self.table.keys.number(key)).collect();
        let errors: Vec<u32> = chunk.errors.iter().map(|error| self.table.errors.number(error)).collect();
        self.table.error_counts.resize(self.table.errors.len(), [0; 2]);
        let mut piece = Piece { chunk: &chunk, keys, sends: 0, runs: 0, records: 0 };
        for entry in entries {
            self.table.end = self.table.end.max(entry.time);
            if let (Some(error), Kind::Fail | Kind::Info) = (entry.error, entry.kind) {
                let counts = &mut self.table.error_counts[errors[error as usize] as usize];
                counts[usize::from(entry.kind == Kind::Info)] += 1;
            }
            self.entry(entry, &mut piece)?;
        }
        self.table.lines += chunk.lines;
        Ok(())
    }

    /// What never completed may still happen.
    pub(super) fn finish(mut self) -> Table {
        let mut left: Vec<_> = self.pending.drain().collect();
        left.sort_unstable_by_key(|(_, pending)| pending.line);
        for (process, pending) in left {
            let mut operation = self.begin(process, &pending);
            operation.what = self.waited(pending.what);
            self.table.operations.push(operation);
        }
        self.table
    }

    fn entry(&mut self, entry: Entry, piece: &mut Piece<'_>) -> anyhow::Result<()> {
        let line = self.table.lines + entry.line;
        let watches = matches!(&entry.body, Body::Other(op) if matches!(**op, Op::Fault { .. } | Op::Leader { .. }));
        if entry.process == NEMESIS || watches {
            if let Body::Other(op) = entry.body {
                self.table.watched.push(Watched { time: entry.time, op: *op });
            }
            return Ok(());
        }
        if entry.kind == Kind::Invoke {
            return self.invoke(entry, line, piece);
        }
        let rebalance = matches!(&entry.body, Body::Other(op) if matches!(**op, Op::Rebalance { .. }));
        let pending = if rebalance { None } else { self.pending.remove(&entry.process) };
        let pending = match pending {
            Some(pending) => pending,
            None if rebalance => {
                Pending { line, time: entry.time, what: Waiting::Work { transactional: false, sends: vec![] } }
            }
            None => bail!("line {line}: process {} completes what it did not invoke", entry.process),
        };
        let mut operation = self.begin(entry.process, &pending);
        (operation.kind, operation.line, operation.completed) = (entry.kind, line, entry.time);
        operation.what = match entry.body {
            Body::Work { transactional, sends, runs } => {
                match pending.what {
                    // The completion may know less than the invocation, when nothing was answered.
                    Waiting::Work { sends: invoked, .. } if piece.sends == sends as usize => {
                        self.send(invoked.into_iter())
                    }
                    _ => self.send(piece.sends(sends as usize)),
                }
                self.poll(runs as usize, piece);
                What::Work { transactional }
            }
            Body::Other(op) => self.waited(Waiting::Other(op)),
        };
        self.table.operations.push(operation);
        Ok(())
    }

    fn invoke(&mut self, entry: Entry, line: u32, piece: &mut Piece<'_>) -> anyhow::Result<()> {
        let what = match entry.body {
            Body::Work { transactional, sends, runs } => {
                let sends = piece.sends(sends as usize).collect();
                // Nothing was read yet.
                piece.skip(runs as usize);
                Waiting::Work { transactional, sends }
            }
            Body::Other(op) => Waiting::Other(op),
        };
        if let Some(earlier) = self.pending.insert(entry.process, Pending { line, time: entry.time, what }) {
            bail!("line {line}: process {} has not completed what it invoked in line {}", entry.process, earlier.line);
        }
        Ok(())
    }

    fn begin(&self, process: u32, pending: &Pending) -> Operation {
        Operation {
            process,
            kind: Kind::Info,
            what: What::Work { transactional: false },
            invoked_line: pending.line,
            line: u32::MAX,
            invoked: pending.time,
            completed: NEVER,
            sends: short(self.table.sends.len()),
            runs: short(self.table.runs.len()),
        }
    }

    fn waited(&mut self, what: Waiting) -> What {
        match what {
            Waiting::Work { transactional, sends } => {
                self.send(sends.into_iter());
                What::Work { transactional }
            }
            Waiting::Other(op) => {
                self.table.others.push(*op);
                What::Other(short(self.table.others.len() - 1))
            }
        }
    }

    fn send(&mut self, sends: impl Iterator<Item = Sent>) {
        let operation = short(self.table.operations.len());
        self.table.sends.extend(sends.map(|send| Sent { operation, ..send }));
    }

    fn poll(&mut self, end: usize, piece: &mut Piece<'_>) {
        for run in piece.runs..end {
            let (key, records) = piece.run(run);
            if !records.is_empty() {
                self.table.runs.push(Run { key, records: short(self.table.records.len()) });
                self.table.records.extend_from_slice(&piece.chunk.records[records]);
            }
        }
        piece.runs = end;
    }
}

impl Piece<'_> {
    /// The sends up to `end` that were not taken yet.
    fn sends(&mut self, end: usize) -> impl ExactSizeIterator<Item = Sent> {
        let start = std::mem::replace(&mut self.sends, end);
        let (chunk, keys) = (self.chunk, &self.keys);
        let sent = |(key, offset, value): &(u32, i64, u64)| Sent {
            value: *value,
            offset: *offset,
            key: keys[*key as usize],
            operation: u32::MAX,
        };
        chunk.sends[start..end].iter().map(sent)
    }

    /// Takes a run: its partition, and where its records are.
    fn run(&mut self, run: usize) -> (u32, Range<usize>) {
        let (key, end) = self.chunk.runs[run];
        let start = std::mem::replace(&mut self.records, end as usize);
        (self.keys[key as usize], start..end as usize)
    }

    /// Takes the runs up to `end` without a look.
    fn skip(&mut self, end: usize) {
        for run in self.runs..end {
            self.run(run);
        }
        self.runs = end;
    }
}

fn short(length: usize) -> u32 {
    u32::try_from(length).expect("a history has less than four thousand million records")
}
