//! A state machine for tests: the list of all commands, as rows.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use caudal_storage::engine::ScanLimit;
use caudal_storage::keys::state;
use caudal_storage::{ColumnFamily, Engine, WriteBatch};
use caudal_types::RaftGroupId;

use crate::{ApplyError, CommittedEntry, SnapshotContent, StateMachine};

const ENTRIES: u8 = state::FIRST_USER_KIND;
const CHECKPOINT: u8 = ENTRIES + 1;

/// Stores each command under its index, and answers with the command's bytes turned round. A command `checkpoint` makes the state machine
/// answer snapshots with its index from then on, as a partition does, instead of with what is applied.
#[derive(Debug)]
pub(crate) struct ListMachine {
    group: RaftGroupId,
    engine: Arc<dyn Engine>,
    applied: u64,
    checkpoint: Option<u64>,
}

impl ListMachine {
    pub(crate) fn boxed(group: RaftGroupId, engine: Arc<dyn Engine>) -> Box<dyn StateMachine> {
        let row = engine.get(ColumnFamily::State, &state::key(group, CHECKPOINT, &[])).unwrap();
        let checkpoint = row.map(|value| u64::from_be_bytes(value[..].try_into().unwrap()));
        let applied = rows(group, engine.as_ref()).last().map_or(0, |(index, _)| *index);
        Box::new(Self { group, engine, applied, checkpoint })
    }
}

/// All commands that are applied, with their indexes.
pub(crate) fn rows(group: RaftGroupId, engine: &dyn Engine) -> Vec<(u64, Bytes)> {
    let (from, to) = state::kind_range(group, ENTRIES);
    let rows = engine.scan(ColumnFamily::State, &from..&to, ScanLimit::NONE).unwrap();
    let index = |key: &Bytes| u64::from_be_bytes(state::split(key).unwrap().1[..].try_into().unwrap());
    rows.iter().map(|(key, value)| (index(key), value.clone())).collect()
}

impl StateMachine for ListMachine {
    fn apply(&mut self, entries: &[CommittedEntry], batch: &mut WriteBatch) -> Result<Vec<Bytes>, ApplyError> {
        let mut replies = Vec::new();
        for entry in entries {
            self.applied = entry.index;
            if entry.command {
                let key = state::key(self.group, ENTRIES, &entry.index.to_be_bytes());
                batch.put(ColumnFamily::State, key, entry.payload.clone());
            }
            if entry.payload == "checkpoint" {
                self.checkpoint = Some(entry.index);
                let value = entry.index.to_be_bytes().to_vec();
                batch.put(ColumnFamily::State, state::key(self.group, CHECKPOINT, &[]), value);
            }
            replies.push(entry.payload.iter().rev().copied().collect());
        }
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<SnapshotContent, ApplyError> {
        let index = self.checkpoint.unwrap_or(self.applied);
        let mut data = BytesMut::new();
        for (at, value) in rows(self.group, self.engine.as_ref()) {
            if at <= index {
                data.put_u64(at);
                data.put_u32(u32::try_from(value.len()).unwrap());
                data.put_slice(&value);
            }
        }
        Ok(SnapshotContent { index, data: data.freeze() })
    }

    fn install(&mut self, snapshot: &SnapshotContent, batch: &mut WriteBatch) -> Result<(), ApplyError> {
        use bytes::Buf;
        let (from, to) = state::user_range(self.group);
        batch.delete_range(ColumnFamily::State, from, to);
        let mut data = snapshot.data.clone();
        while data.has_remaining() {
            let (index, length) = (data.get_u64(), data.get_u32());
            let value = data.split_to(usize::try_from(length).unwrap());
            batch.put(ColumnFamily::State, state::key(self.group, ENTRIES, &index.to_be_bytes()), value);
        }
        self.applied = snapshot.index;
        self.checkpoint = None;
        Ok(())
    }
}
