//! The state behind the adapter: the state machine, what it has applied, and its snapshots.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use caudal_storage::keys::raft as raft_keys;
use caudal_storage::{ColumnFamily, Durability, StorageError, WriteBatch};
use caudal_types::off_thread;
use openraft::EntryPayload;
use tokio::sync::{Mutex, watch};

use crate::codec;
use crate::log::{GroupLog, group_log};
use crate::machine::rows;
use crate::state::GroupState;
use crate::types::{LogEntry, LogId, LoggedMembership, Snapshot, SnapshotData, SnapshotMeta};
use crate::{ApplyError, CommittedEntry, SnapshotContent, StateMachine};

/// Where the data of a snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotKeeping {
    /// From the state machine when somebody needs it: newer than the purge point, which is right for a table, whose log is not data.
    Fresh,
    /// Stored when it was taken: exactly at the purge point, which is right for a partition, whose log behind it is the data.
    Stored,
}

/// Shared by the adapter, snapshot builders and the group's handle.
pub(crate) struct MachineCore {
    state: Arc<GroupState>,
    log: Arc<GroupLog>,
    keeping: SnapshotKeeping,
    inner: Arc<Mutex<Inner>>,
    built: watch::Sender<Built>,
}

/// The outcome of the newest attempt to take a snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Built {
    /// Counts the attempts.
    pub(crate) attempt: u64,
    /// Up to where the newest snapshot speaks.
    pub(crate) upto: Option<LogId>,
}

struct Inner {
    machine: Box<dyn StateMachine>,
    applied: Option<LogId>,
    membership: LoggedMembership,
    /// The newest snapshot taken or installed.
    snapshot: Option<SnapshotMeta>,
    /// The group has stopped; what is still on its way must not write any more.
    closed: bool,
}

impl fmt::Debug for MachineCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineCore").field("group", &self.log.group).finish_non_exhaustive()
    }
}

impl MachineCore {
    /// Reads from the disk how far the state machine had come. Blocks.
    pub(crate) fn open(
        state: Arc<GroupState>,
        log: Arc<GroupLog>,
        machine: Box<dyn StateMachine>,
        keeping: SnapshotKeeping,
    ) -> Result<Arc<Self>, StorageError> {
        let (engine, group) = (log.engine.as_ref(), log.group);
        let applied = rows::read_applied(engine, group)?;
        let membership = rows::read_membership(engine, group, u64::MAX)?;
        let stored = engine.get(ColumnFamily::Raft, &raft_keys::key(group, raft_keys::RaftField::Snapshot))?;
        let snapshot = stored.map(|value| codec::decode_snapshot_meta(&value)).transpose()?.map(|(meta, _)| meta);
        if let Some(applied) = &applied {
            state.applied_upto(applied.index);
            state.applied_in(group_log::term(Some(*applied)));
        }
        let inner = Arc::new(Mutex::new(Inner { machine, applied, membership, snapshot, closed: false }));
        Ok(Arc::new(Self { state, log, keeping, inner, built: watch::Sender::default() }))
    }

    pub(crate) fn built(&self) -> watch::Receiver<Built> {
        self.built.subscribe()
    }

    /// Writes nothing any more.
    pub(crate) async fn close(&self) {
        self.inner.lock().await.closed = true;
    }

    /// What is applied, and under which membership.
    pub(crate) async fn applied(&self) -> (Option<LogId>, LoggedMembership) {
        let inner = self.inner.lock().await;
        (inner.applied, inner.membership.clone())
    }

    /// Applies entries and stores their effect with the applied position; one reply per entry.
    pub(crate) async fn apply(&self, entries: &[LogEntry]) -> Result<Vec<Bytes>, ApplyError> {
        let Some(last) = entries.last().map(|entry| entry.log_id) else { return Ok(Vec::new()) };
        self.log.wait_flushed(last.index).await?;
        let committed: Vec<_> = entries.iter().map(committed).collect();
        let mut inner = self.inner.lock().await;
        if inner.closed {
            return Err(StorageError::Closed.into());
        }
        let mut batch = WriteBatch::new();
        let replies = inner.machine.apply(&committed, &mut batch)?;
        if replies.len() != entries.len() {
            let reason = format!("{} replies came for {} entries", replies.len(), entries.len());
            return Err(ApplyError::Undecodable { index: last.index, reason });
        }
        for entry in entries {
            if let EntryPayload::Membership(members) = &entry.payload {
                inner.membership = LoggedMembership::new(Some(entry.log_id), members.clone());
                rows::put_membership(&mut batch, self.log.group, &inner.membership);
            }
        }
        rows::put_applied(&mut batch, self.log.group, &last);
        self.log.engine.write(batch, Durability::Buffered).inspect_err(|error| self.log.writer.fail(error))?;
        self.publish(&mut inner, last);
        Ok(replies)
    }

    /// Writes rows of the state machine's own between two applies: `rows` is asked while nothing is applied or installed, and may have none.
    pub(crate) async fn write_beside(&self, rows: impl FnOnce() -> Option<WriteBatch>) -> Result<bool, StorageError> {
        let inner = self.inner.lock().await;
        if inner.closed {
            return Err(StorageError::Closed);
        }
        let Some(batch) = rows() else { return Ok(false) };
        let written = self.log.engine.write(batch, Durability::Buffered);
        written.inspect_err(|error| self.log.writer.fail(error)).map(|()| true)
    }

    /// Takes a snapshot and stores its pointer, so that the log before it may go.
    pub(crate) async fn build(self: Arc<Self>) -> Result<Snapshot, ApplyError> {
        let (core, mut inner) = (self.clone(), self.inner.clone().lock_owned().await);
        let (meta, batch) = elsewhere(move || core.build_blocking(&mut inner)).await?;
        if let Some(batch) = batch {
            self.log.writer.write(batch).await?;
            self.inner.lock().await.snapshot = Some(meta.clone());
        }
        self.report_built(meta.last_log_id);
        Ok(Snapshot { meta, snapshot: SnapshotData::default() })
    }

    /// Whether a snapshot could say anything.
    pub(crate) async fn has_applied(&self) -> bool {
        self.inner.lock().await.applied.is_some()
    }

    /// Ends an attempt to take a snapshot.
    pub(crate) fn report_built(&self, upto: Option<LogId>) {
        self.built.send_modify(|built| *built = Built { attempt: built.attempt + 1, upto });
    }

    /// The newest snapshot with its data.
    pub(crate) async fn current(self: Arc<Self>) -> Result<Option<Snapshot>, ApplyError> {
        let mut inner = self.inner.clone().lock_owned().await;
        elsewhere(move || {
            if inner.snapshot.is_none() {
                return Ok(None);
            }
            match self.keeping {
                SnapshotKeeping::Stored => self.read_stored(),
                SnapshotKeeping::Fresh => {
                    let content = inner.machine.snapshot()?;
                    let (meta, data) = self.describe(&inner, content)?;
                    Ok(Some(Snapshot { meta, snapshot: SnapshotData(data) }))
                }
            }
        })
        .await
    }

    /// Replaces all state with a snapshot's, durably.
    pub(crate) async fn install(self: Arc<Self>, meta: SnapshotMeta, data: Bytes) -> Result<(), ApplyError> {
        let Some(last) = meta.last_log_id else { return Ok(()) };
        let (core, described) = (self.clone(), meta.clone());
        let mut inner = self.inner.clone().lock_owned().await;
        let batch = elsewhere(move || {
            let mut batch = WriteBatch::new();
            let content = SnapshotContent { index: last.index, data: data.clone() };
            inner.machine.install(&content, &mut batch)?;
            rows::clear_memberships(&mut batch, core.log.group);
            rows::put_membership(&mut batch, core.log.group, &described.last_membership);
            rows::put_applied(&mut batch, core.log.group, &last);
            core.put_pointer(&mut batch, &described, data);
            Ok(batch)
        })
        .await?;
        self.log.writer.write(batch).await?;
        let mut inner = self.inner.lock().await;
        inner.membership = meta.last_membership.clone();
        inner.snapshot = Some(meta);
        self.publish(&mut inner, last);
        Ok(())
    }

    /// Lets the world see that everything up to `last` is applied.
    fn publish(&self, inner: &mut Inner, last: LogId) {
        inner.applied = Some(last);
        self.state.applied_upto(last.index);
        inner.machine.applied();
        self.state.applied_in(group_log::term(Some(last)));
    }

    /// The snapshot to take now, and what to write; nothing to write when it says no more than the newest one.
    fn build_blocking(&self, inner: &mut Inner) -> Result<(SnapshotMeta, Option<WriteBatch>), ApplyError> {
        if inner.applied.is_none() {
            return Ok((inner.snapshot.clone().unwrap_or_default(), None));
        }
        let content = inner.machine.snapshot()?;
        if let Some(newest) = &inner.snapshot
            && newest.last_log_id.is_some_and(|id| id.index >= content.index)
        {
            return Ok((newest.clone(), None));
        }
        let (meta, data) = self.describe(inner, content)?;
        let mut batch = WriteBatch::new();
        self.put_pointer(&mut batch, &meta, data);
        rows::prune_memberships(&mut batch, self.log.group, &meta.last_membership);
        Ok((meta, Some(batch)))
    }

    /// Finds the log id and the membership that belong to a snapshot.
    fn describe(&self, inner: &Inner, content: SnapshotContent) -> Result<(SnapshotMeta, Bytes), ApplyError> {
        let group = self.log.group;
        let applied = inner.applied.filter(|applied| content.index <= applied.index);
        let Some(applied) = applied else {
            let reason = "the snapshot speaks of entries that are not applied".to_owned();
            return Err(ApplyError::Undecodable { index: content.index, reason });
        };
        let known = inner.snapshot.as_ref().and_then(|meta| meta.last_log_id);
        let id = [Some(applied), known].into_iter().flatten().find(|id| id.index == content.index);
        let id = match id {
            Some(id) => id,
            None => self.log.id_at(content.index)?.ok_or_else(|| {
                StorageError::Corrupt(format!(
                    "entry {} of Raft group {group} is gone before its snapshot",
                    content.index
                ))
            })?,
        };
        let last_membership = rows::read_membership(self.log.engine.as_ref(), group, id.index)?;
        Ok((SnapshotMeta { last_log_id: Some(id), last_membership }, content.data))
    }

    fn put_pointer(&self, batch: &mut WriteBatch, meta: &SnapshotMeta, data: Bytes) {
        let key = raft_keys::key(self.log.group, raft_keys::RaftField::Snapshot);
        let data = if self.keeping == SnapshotKeeping::Stored { data } else { Bytes::new() };
        batch.put_parts(ColumnFamily::Raft, key, codec::encode_snapshot_meta(meta), data);
    }

    fn read_stored(&self) -> Result<Option<Snapshot>, ApplyError> {
        let key = raft_keys::key(self.log.group, raft_keys::RaftField::Snapshot);
        let Some(value) = self.log.engine.get(ColumnFamily::Raft, &key)? else { return Ok(None) };
        let (meta, used) = codec::decode_snapshot_meta(&value)?;
        Ok(Some(Snapshot { meta, snapshot: SnapshotData(value.slice(used..)) }))
    }
}

fn committed(entry: &LogEntry) -> CommittedEntry {
    let (payload, command) = match &entry.payload {
        EntryPayload::Normal(command) => (command.0.clone(), true),
        EntryPayload::Blank | EntryPayload::Membership(_) => (Bytes::new(), false),
    };
    CommittedEntry { index: entry.log_id.index, term: group_log::term(Some(entry.log_id)), payload, command }
}

/// Runs what may touch the disk for long off the async threads.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApplyError> + Send + 'static,
) -> Result<T, ApplyError> {
    let done = off_thread::run(work).await;
    done.unwrap_or_else(|error| Err(StorageError::Io(format!("work on a snapshot broke off: {error}")).into()))
}
