//! A state machine on an engine in memory, driven without Raft.

use std::sync::Arc;

use bytes::Bytes;
use caudal_raft::{CommittedEntry, SnapshotContent, StateMachine};
use caudal_storage::keys::{index, state};
use caudal_storage::{ColumnFamily, Durability, Engine, MemEngine, ScanLimit, WriteBatch};
use caudal_types::{RaftGroupId, TimestampMs};

use crate::PartitionOffsets;
use crate::command::{Command, Stamped};
use crate::machine::PartitionStateMachine;

/// An entry of the log to be applied.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    /// The leader's clock and the command; `None` for one of Raft's own entries.
    pub(crate) command: Option<(TimestampMs, Command)>,
}

impl Entry {
    fn at(&self, index: u64) -> CommittedEntry {
        let encode =
            |(time, command): &(TimestampMs, Command)| Stamped { time: *time, command: command.clone() }.encode();
        CommittedEntry {
            index,
            term: self.term,
            payload: self.command.as_ref().map(encode).unwrap_or_default(),
            command: self.command.is_some(),
        }
    }
}

/// A replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) engine: Arc<MemEngine>,
    pub(crate) machine: PartitionStateMachine,
    /// The last index applied.
    pub(crate) index: u64,
}

impl Replica {
    pub(crate) const GROUP: RaftGroupId = RaftGroupId(7);

    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemEngine::new()), 0)
    }

    fn on(engine: Arc<MemEngine>, index: u64) -> Self {
        let shared: Arc<dyn Engine> = Arc::clone(&engine) as Arc<dyn Engine>;
        let machine = PartitionStateMachine::open(shared, Self::GROUP, Arc::default()).unwrap();
        Self { engine, machine, index }
    }

    /// Applies entries in one call.
    pub(crate) fn apply(&mut self, entries: &[Entry]) -> Vec<Bytes> {
        let committed: Vec<_> = (self.index + 1..).zip(entries).map(|(index, entry)| entry.at(index)).collect();
        let mut batch = WriteBatch::new();
        let replies = self.machine.apply(&committed, &mut batch).unwrap();
        self.engine.write(batch, Durability::Synced).unwrap();
        self.machine.applied();
        self.index += entries.len() as u64;
        replies
    }

    /// Applies entries as they lie in another replica's log, some in one call.
    pub(crate) fn apply_logged(&mut self, entries: &[CommittedEntry]) {
        for some in entries.chunks(7) {
            let mut batch = WriteBatch::new();
            self.machine.apply(some, &mut batch).unwrap();
            self.engine.write(batch, Durability::Synced).unwrap();
            self.machine.applied();
        }
    }

    /// Forgets everything in memory, and starts again from the rows.
    pub(crate) fn reopen(self) -> Self {
        Self::on(self.engine, self.index)
    }

    /// An empty replica that takes `snapshot`.
    pub(crate) fn installed(snapshot: &SnapshotContent) -> Self {
        let mut replica = Self::new();
        let mut batch = WriteBatch::new();
        replica.machine.install(snapshot, &mut batch).unwrap();
        replica.engine.write(batch, Durability::Synced).unwrap();
        replica.index = snapshot.index;
        replica
    }

    pub(crate) fn offsets(&self) -> PartitionOffsets {
        self.machine.published().offsets()
    }
}

/// All rows of a group's replica.
pub(crate) fn dump(engine: &dyn Engine, group: RaftGroupId) -> Vec<(Bytes, Bytes)> {
    let scan = |cf, (from, to): (Bytes, Bytes)| engine.scan(cf, from.as_ref()..to.as_ref(), ScanLimit::NONE).unwrap();
    let mut rows = scan(ColumnFamily::State, state::user_range(group));
    rows.extend(scan(ColumnFamily::Index, index::group_range(group)));
    rows
}
