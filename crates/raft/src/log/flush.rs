//! A log that may be synced later than its entries are acknowledged, and what of it is not synced yet.
//!
//! The mark [`RaftField::Relaxed`] is on the disk, synced, before the first entry is written so, and names the run of the machine. A replica that finds the
//! mark of another run may lack entries that it acknowledged. The mark goes when the log is synced at once again, or the replica is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use caudal_storage::keys::raft::{self as raft_keys, RaftField};
use caudal_storage::{ColumnFamily, Completion, StorageError, WriteBatch};
use openraft::EntryPayload;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::codec;
use crate::log::GroupLog;
use crate::types::LogEntry;

/// By when a log is synced that need not be before its entries are acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct FlushPolicy {
    /// So many records may be unsynced.
    pub records: u64,
    /// For so long.
    pub within: Duration,
    /// How many records a command has; nothing for one that is to be synced before it is acknowledged, with all before it.
    pub count: fn(&Bytes) -> Option<u64>,
}

impl PartialEq for FlushPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.records == other.records && self.within == other.within
    }
}

/// What this replica has written, and may have acknowledged, and not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unflushed {
    /// The log is not synced before its entries are acknowledged.
    pub relaxed: bool,
    /// Records.
    pub records: u64,
    /// Bytes of log entries.
    pub bytes: u64,
    /// For how long the oldest of them has been.
    pub oldest: Duration,
}

/// How a group's log is synced.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    /// Whether `ordering` has to be asked.
    relaxed: AtomicBool,
    /// Held by who appends while the log is relaxed, until the writer has it in its queue, and by who changes that: so no such append comes behind the removal
    /// of the mark.
    ordering: AsyncMutex<Ordered>,
    amount: Mutex<Amount>,
}

#[derive(Debug, Default)]
struct Ordered {
    policy: Option<FlushPolicy>,
    /// The disk has the mark of this run of the machine.
    is_marked: bool,
}

#[derive(Debug, Default)]
struct Amount {
    /// Records that are on their way to the disk or there, and not synced.
    admitted: u64,
    /// Of these, what was written.
    records: u64,
    bytes: u64,
    oldest: Option<Instant>,
}

impl Flush {
    pub(crate) fn unflushed(&self) -> Unflushed {
        let amount = self.amount.lock();
        Unflushed {
            relaxed: self.relaxed.load(Ordering::Acquire),
            records: amount.records,
            bytes: amount.bytes,
            oldest: amount.oldest.map_or(Duration::ZERO, |oldest| oldest.elapsed()),
        }
    }

    fn admit(&self, records: u64, at_most: u64) -> bool {
        let mut amount = self.amount.lock();
        let fits = amount.admitted.saturating_add(records) < at_most;
        amount.admitted += if fits { records } else { 0 };
        fits
    }

    fn written(&self, records: u64, bytes: u64) {
        let mut amount = self.amount.lock();
        amount.records += records;
        amount.bytes += bytes;
        amount.oldest.get_or_insert_with(Instant::now);
    }

    /// What was admitted is synced, or will never be.
    fn synced(&self, records: u64, bytes: u64) {
        let mut amount = self.amount.lock();
        amount.admitted = amount.admitted.saturating_sub(records);
        amount.records = amount.records.saturating_sub(records);
        amount.bytes = amount.bytes.saturating_sub(bytes);
        if amount.bytes == 0 {
            amount.oldest = None;
        }
    }
}

impl GroupLog {
    /// Syncs the log before its entries are acknowledged, or by `policy`.
    ///
    /// # Errors
    /// When the disk refuses; then nothing is relaxed that was not.
    pub(crate) async fn set_flush(&self, policy: Option<FlushPolicy>) -> Result<(), StorageError> {
        let mut ordered = self.flush.ordering.lock().await;
        if policy.is_some() && !ordered.is_marked {
            let mut batch = WriteBatch::new();
            batch.put(ColumnFamily::Raft, self.relaxed_key(), codec::encode_boot(self.engine.boot()));
            self.writer.write(batch).await?;
            ordered.is_marked = true;
        }
        ordered.policy = policy;
        self.flush.relaxed.store(policy.is_some(), Ordering::Release);
        if policy.is_none() && (ordered.is_marked || self.is_marked_relaxed()) {
            let mut batch = WriteBatch::new();
            batch.delete(ColumnFamily::Raft, self.relaxed_key());
            // Syncs all that was written before.
            self.writer.write(batch).await?;
            ordered.is_marked = false;
            self.forget_relaxed();
        }
        Ok(())
    }

    fn relaxed_key(&self) -> Bytes {
        raft_keys::key(self.group, RaftField::Relaxed)
    }

    /// Appends entries; `done` is called when they count as flushed.
    pub(crate) async fn append(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = LogEntry>,
        done: impl FnOnce(&Arc<Self>, Option<u64>) -> Completion,
    ) -> Result<(), StorageError> {
        if !self.flush.relaxed.load(Ordering::Acquire) {
            let (batch, last) = self.push(entries);
            let done = done(self, last);
            return match self.last().and_then(|last| self.patience.of(last)) {
                None => self.writer.append(batch, done).await,
                Some(within) => self.append_patiently(batch, within, done).await,
            };
        }
        let ordered = self.flush.ordering.lock().await;
        let Some(policy) = ordered.policy else {
            let (batch, last) = self.push(entries);
            return self.writer.append(batch, done(self, last)).await;
        };
        // Raft's own entries, of which membership is one, are synced at once.
        let mut records = Some(0_u64);
        let (batch, last) = self.push(entries.into_iter().inspect(|entry| {
            let more = match &entry.payload {
                EntryPayload::Normal(command) => (policy.count)(&command.0),
                EntryPayload::Blank | EntryPayload::Membership(_) => None,
            };
            records = records.zip(more).map(|(records, more)| records.saturating_add(more));
        }));
        let done = done(self, last);
        let Some(records) = records.filter(|records| self.flush.admit(*records, policy.records)) else {
            return self.writer.append(batch, done).await;
        };
        let bytes = batch.bytes() as u64;
        let (log, synced_log) = (Arc::clone(self), Arc::clone(self));
        let written = Box::new(move |result: Result<(), StorageError>| {
            if result.is_ok() {
                log.flush.written(records, bytes);
            }
            done(result);
        });
        // Of what could not be synced, the store's own state tells.
        let synced = Box::new(move |_: Result<(), StorageError>| synced_log.flush.synced(records, bytes));
        self.writer.append_relaxed(batch, policy.within, written, synced).await
    }

    /// Appends what is complete when it is synced, within a time. Under the lock, and not in a log that has just become relaxed: what is appended there is
    /// complete when it is written, which may be before this is synced, and openraft takes completions in the order of the appends.
    async fn append_patiently(
        &self,
        batch: WriteBatch,
        within: Duration,
        done: Completion,
    ) -> Result<(), StorageError> {
        let ordered = self.flush.ordering.lock().await;
        if ordered.policy.is_some() {
            return self.writer.append(batch, done).await;
        }
        self.writer.append_relaxed(batch, within, Box::new(|_| {}), done).await
    }
}
