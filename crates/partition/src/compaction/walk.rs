//! Reading a replica's batches in order, a run at a time, with the entries that hold them; each run while the one before it is worked on.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use caudal_protocol::batch::RecordBatch;
use caudal_raft::{LogEntry, RaftGroup};
use caudal_storage::keys::index::IndexRow;
use caudal_storage::{Engine, StorageError};
use caudal_types::{Offset, ProducerId};

use crate::command::Logged;
use crate::disk::{DiskReads, Reading};
use crate::read::index::DiskIndex;
use crate::read::{aborted, entries};
use crate::view::Published;
use crate::{AbortedTransaction, EndMarker};

/// A replica's batches. Everything here blocks.
#[derive(Clone)]
pub(crate) struct Walk {
    pub(crate) raft: Arc<RaftGroup>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) published: Arc<Published>,
    /// How many bytes are read at once, unless one batch has more.
    pub(crate) run_bytes: usize,
}

/// A batch, and the entry that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) row: IndexRow,
    pub(crate) entry: LogEntry,
    /// `None` when it holds no batch.
    pub(crate) logged: Option<Logged>,
}

/// Some batches in a row.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) batches: Vec<Found>,
    pub(crate) aborted: Aborted,
    /// Where the next one begins.
    pub(crate) next: Offset,
    pub(crate) bytes: u64,
}

/// The aborted transactions that have records in a run.
#[derive(Debug, Default)]
pub(crate) struct Aborted(HashMap<ProducerId, Vec<AbortedTransaction>>);

impl Aborted {
    pub(crate) fn new(transactions: impl IntoIterator<Item = AbortedTransaction>) -> Self {
        let mut by_producer: HashMap<_, Vec<_>> = HashMap::new();
        for transaction in transactions {
            by_producer.entry(transaction.producer_id).or_default().push(transaction);
        }
        Self(by_producer)
    }

    /// Whether a batch that begins at `base` belongs to one of them. A producer has one transaction at a time, and a batch is of one.
    pub(crate) fn holds(&self, batch: &RecordBatch, base: Offset) -> bool {
        let of_producer = self.0.get(&batch.producer_id()).filter(|_| batch.is_transactional());
        of_producer.is_some_and(|all| all.iter().any(|one| (one.first_offset..=one.last_offset).contains(&base)))
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("group", &self.raft.id()).finish_non_exhaustive()
    }
}

impl Walk {
    /// The batches that hold offsets from `from` on and begin before `to`, about as many bytes as are read at once; none when there are no more.
    pub(crate) fn run(&self, from: Offset, to: Offset) -> Result<Run, StorageError> {
        let mut from = from;
        loop {
            let start = from.max(self.published.view().oldest_base());
            match self.run_from(start, to) {
                // The log's start has passed by meanwhile: what was looked for is purged.
                Err(StorageError::Corrupt(_)) if self.published.view().oldest_base() > start => from = start,
                result => return result,
            }
        }
    }

    fn run_from(&self, from: Offset, to: Offset) -> Result<Run, StorageError> {
        let (mut rows, mut bytes) = (Vec::<IndexRow>::new(), 0);
        let index = DiskIndex { engine: self.engine.as_ref(), group: self.raft.id() };
        index.walk(from, to, |row| {
            bytes += row.length as usize;
            rows.push(row);
            bytes < self.run_bytes
        })?;
        let Some(last) = rows.last() else {
            return Ok(Run { next: to, ..Run::default() });
        };
        let (first, next) = (rows[0].base_offset, last.last_offset + 1);
        let entries = entries::holding(&self.raft, &rows)?;
        let batches = rows.into_iter().zip(entries).map(found).collect::<Result<Vec<_>, _>>()?;
        let transactional = |found: &Found| found.appended().is_some_and(RecordBatch::is_transactional);
        let aborted = if batches.iter().any(transactional) {
            aborted::stored(self.engine.as_ref(), self.raft.id(), first, next)?
        } else {
            Vec::new()
        };
        let bytes = batches.iter().map(|found| found.entry.payload.len() as u64).sum();
        Ok(Run { batches, aborted: Aborted::new(aborted), next, bytes })
    }
}

/// The runs of a part of a log, one after the other.
#[derive(Debug)]
pub(crate) struct Runs {
    walk: Walk,
    threads: DiskReads,
    /// Where the next run begins, and what there is up to.
    next: Offset,
    to: Offset,
    /// The next run, once it is being read.
    ahead: Option<Reading<Run>>,
}

impl Runs {
    pub(crate) fn new(walk: Walk, threads: DiskReads, from: Offset, to: Offset) -> Self {
        Self { walk, threads, next: from, to, ahead: None }
    }

    /// The next run; `None` when there are no more. Lets the one behind it be read meanwhile, if a thread is free.
    pub(crate) async fn next(&mut self) -> Result<Option<Run>, StorageError> {
        if self.next >= self.to {
            return Ok(None);
        }
        let run = match self.ahead.take() {
            Some(ahead) => ahead.end().await?,
            None => self.threads.run(self.reading()).await?,
        };
        self.next = run.next;
        if self.next < self.to {
            self.ahead = self.threads.try_begin(self.reading());
        }
        Ok(Some(run))
    }

    fn reading(&self) -> impl FnOnce() -> Result<Run, StorageError> + Send + 'static {
        let (walk, from, to) = (self.walk.clone(), self.next, self.to);
        move || walk.run(from, to)
    }
}

impl Found {
    /// The batch, if it is one of records.
    pub(crate) fn appended(&self) -> Option<&RecordBatch> {
        self.logged.as_ref()?.stamped.command.appended()
    }

    /// The marker of a transaction, if it is one.
    pub(crate) fn marker(&self) -> Option<&EndMarker> {
        self.logged.as_ref()?.stamped.command.marker()
    }
}

fn found((row, entry): (IndexRow, LogEntry)) -> Result<Found, StorageError> {
    let logged = Logged::decode(&entry.payload)
        .map_err(|reason| StorageError::Corrupt(format!("entry {} of a partition's log: {reason}", entry.index)))?;
    let logged = logged.stamped.command.batch().is_some().then_some(logged);
    Ok(Found { row, entry, logged })
}
