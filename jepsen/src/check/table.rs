//! A history as columns: what ten million operations need must fit in memory and be read from front to back.

use crate::history::{Kind, Offset, Op, Value};

use super::names::Names;

/// The time of a completion that never came.
pub const NEVER: u64 = u64::MAX;

/// A send whose offset nobody told.
pub const NO_OFFSET: Offset = Offset::MIN;

/// An operation: an invocation and its completion. One without completion is an `info` that is [`NEVER`] completed.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who.
    pub process: u32,
    /// How it ended.
    pub kind: Kind,
    /// What it was.
    pub what: What,
    /// The line of the invocation, from 1.
    pub invoked_line: u32,
    /// The line of the completion; `u32::MAX` when there is none.
    pub line: u32,
    /// When it was invoked, in nanoseconds.
    pub invoked: u64,
    /// When it completed.
    pub completed: u64,
    /// Its first entry in [`Table::sends`].
    pub sends: u32,
    /// Its first entry in [`Table::runs`].
    pub runs: u32,
}

/// What an operation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Sends and polls.
    Work {
        /// Whether they are one transaction.
        transactional: bool,
    },
    /// Anything else: an entry of [`Table::others`].
    Other(u32),
}

/// A send of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// What was sent.
    pub value: Value,
    /// Where the broker says that it is, or [`NO_OFFSET`].
    pub offset: Offset,
    /// To which partition: an entry of [`Table::keys`].
    pub key: u32,
    /// By which operation.
    pub operation: u32,
}

/// What one poll returned of one partition.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The partition.
    pub key: u32,
    /// Its first entry in [`Table::records`].
    pub records: u32,
}

/// A record as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it was.
    pub offset: Offset,
    /// What it was.
    pub value: Value,
}

/// What the nemesis did or saw.
#[derive(Clone, Debug)]
pub struct Watched {
    /// When.
    pub time: u64,
    /// What.
    pub op: Op,
}

/// The whole history.
#[derive(Debug, Default)]
pub struct Table {
    /// The partitions.
    pub keys: Names,
    /// The operations, in the order in which they completed; those that never did come last.
    pub operations: Vec<Operation>,
    /// What was sent, by operation.
    pub sends: Vec<Sent>,
    /// What was polled, by operation.
    pub runs: Vec<Run>,
    /// The records of the runs.
    pub records: Vec<Record>,
    /// The operations that are not [`Op::Work`], as their completions tell them.
    pub others: Vec<Op>,
    /// What the nemesis did and saw.
    pub watched: Vec<Watched>,
    /// Why operations failed or are in doubt.
    pub errors: Names,
    /// How often each of [`Table::errors`] was the reason, for `fail` and for `info`.
    pub error_counts: Vec<[u64; 2]>,
    /// How many lines were read.
    pub lines: u32,
    /// The time of the last event.
    pub end: u64,
}

impl Table {
    /// What an operation sent, with where that begins in [`Table::sends`].
    #[must_use]
    pub fn sends_of(&self, operation: usize) -> (usize, &[Sent]) {
        let end = self.operations.get(operation + 1).map_or(self.sends.len(), |next| next.sends as usize);
        let start = self.operations[operation].sends as usize;
        (start, &self.sends[start..end])
    }

    /// Which runs an operation polled, as places in [`Table::runs`].
    #[must_use]
    pub fn runs_of(&self, operation: usize) -> std::ops::Range<usize> {
        let end = self.operations.get(operation + 1).map_or(self.runs.len(), |next| next.runs as usize);
        self.operations[operation].runs as usize..end
    }

    /// The records of a run, as places in [`Table::records`].
    #[must_use]
    pub fn records_of(&self, run: usize) -> std::ops::Range<usize> {
        let end = self.runs.get(run + 1).map_or(self.records.len(), |next| next.records as usize);
        self.runs[run].records as usize..end
    }

    /// The operation, where it is something else than sends and polls.
    #[must_use]
    pub fn other(&self, operation: &Operation) -> Option<&Op> {
        match operation.what {
            What::Work { .. } => None,
            What::Other(at) => Some(&self.others[at as usize]),
        }
    }

    /// The operations that are something else than sends and polls.
    pub fn all_others(&self) -> impl Iterator<Item = (usize, &Operation, &Op)> {
        let operations = self.operations.iter().enumerate();
        operations.filter_map(|(at, operation)| Some((at, operation, self.other(operation)?)))
    }

    /// Whether any operation was a transaction.
    #[must_use]
    pub fn has_transactions(&self) -> bool {
        self.operations.iter().any(|operation| operation.is_transaction())
    }
}

impl Operation {
    /// Whether it sends and polls.
    #[must_use]
    pub fn is_work(&self) -> bool {
        matches!(self.what, What::Work { .. })
    }

    /// Whether it is all or nothing.
    #[must_use]
    pub fn is_transaction(&self) -> bool {
        self.what == What::Work { transactional: true }
    }
}
