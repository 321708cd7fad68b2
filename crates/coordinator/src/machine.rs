//! The shard's state machine: applies entries to the [`Tables`] and writes the rows that change.
//!
//! A snapshot is all rows: version (u8), then for each row its kind (u8), key and value.

use std::sync::Arc;

use bytes::Bytes;
use caudal_raft::{ApplyError, CommittedEntry, SnapshotContent, StateMachine};
use caudal_storage::keys::state;
use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError, WriteBatch};
use caudal_types::RaftGroupId;
use parking_lot::RwLock;

use crate::codec::{DecodeError, Reader, Writer};
use crate::command::Entry;
use crate::rows::{GROUP_KIND, GroupRow, META_KIND, MetaRow, OFFSET_KIND, OffsetRow, OffsetRowKey};
use crate::tables::{Changes, Tables};

const SNAPSHOT_VERSION: u8 = 1;

/// How many rows one scan reads as a shard opens.
const LOAD_ROWS: usize = 4096;

/// The shard's state machine.
#[derive(Debug)]
pub(crate) struct ShardMachine {
    group: RaftGroupId,
    tables: Arc<RwLock<Tables>>,
}

impl ShardMachine {
    /// Over the rows that the engine has. Blocks.
    ///
    /// # Errors
    /// When the disk refuses or a row is damaged.
    pub(crate) fn open(engine: &dyn Engine, group: RaftGroupId) -> Result<Self, StorageError> {
        let tables = Arc::new(RwLock::new(load(engine, group)?));
        Ok(Self { group, tables })
    }

    /// The rows, for reading.
    pub(crate) fn tables(&self) -> Arc<RwLock<Tables>> {
        self.tables.clone()
    }

    fn key(&self, kind: u8, row_key: &[u8]) -> Bytes {
        state::key(self.group, kind, row_key)
    }

    /// The rows that have changed, each once, however often it has.
    fn write(&self, tables: &Tables, changes: &Changes, batch: &mut WriteBatch) {
        let cf = ColumnFamily::State;
        for group in &changes.groups {
            let key = self.key(GROUP_KIND, group.as_bytes());
            match tables.group(group) {
                Some(row) => batch.put(cf, key, row.encode()),
                None => batch.delete(cf, key),
            }
        }
        for offset in &changes.offsets {
            let key = self.key(OFFSET_KIND, &offset.encode());
            match tables.offset(&offset.group, &offset.topic, offset.partition) {
                Some(row) => batch.put(cf, key, row.encode()),
                None => batch.delete(cf, key),
            }
        }
        batch.put(cf, self.key(META_KIND, &[]), tables.meta.encode());
    }
}

impl StateMachine for ShardMachine {
    fn apply(&mut self, entries: &[CommittedEntry], batch: &mut WriteBatch) -> Result<Vec<Bytes>, ApplyError> {
        let mut changes = Changes::default();
        let mut tables = self.tables.write();
        for entry in entries {
            if entry.command {
                let decoded = Entry::decode(entry.payload.clone());
                let decoded =
                    decoded.map_err(|DecodeError(reason)| ApplyError::Undecodable { index: entry.index, reason })?;
                tables.apply(decoded, &mut changes);
            }
            tables.meta.applied_index = entry.index;
        }
        self.write(&tables, &changes, batch);
        Ok(vec![Bytes::new(); entries.len()])
    }

    fn snapshot(&mut self) -> Result<SnapshotContent, ApplyError> {
        let tables = self.tables.read();
        Ok(SnapshotContent { index: tables.meta.applied_index, data: encode_snapshot(&tables) })
    }

    fn install(&mut self, snapshot: &SnapshotContent, batch: &mut WriteBatch) -> Result<(), ApplyError> {
        let undecodable = |DecodeError(reason)| ApplyError::Undecodable { index: snapshot.index, reason };
        let (from, to) = state::user_range(self.group);
        batch.delete_range(ColumnFamily::State, from, to);
        let mut tables = decode_snapshot(snapshot.data.clone(), |kind, key, value| {
            batch.put(ColumnFamily::State, state::key(self.group, kind, &key), value);
        })
        .map_err(undecodable)?;
        tables.meta.applied_index = snapshot.index;
        batch.put(ColumnFamily::State, self.key(META_KIND, &[]), tables.meta.encode());
        *self.tables.write() = tables;
        Ok(())
    }
}

fn load(engine: &dyn Engine, group: RaftGroupId) -> Result<Tables, StorageError> {
    let mut tables = Tables::default();
    let (mut from, to) = state::user_range(group);
    loop {
        let rows = engine.scan(ColumnFamily::State, &from..&to, ScanLimit::rows(LOAD_ROWS))?;
        let Some((last, _)) = rows.last() else { return Ok(tables) };
        // The next key in order.
        let mut next = last.to_vec();
        next.push(0);
        let more = rows.len() == LOAD_ROWS;
        for (key, value) in rows {
            let (kind, row_key) =
                state::split(&key).ok_or_else(|| StorageError::Corrupt(format!("the key {key:?}")))?;
            load_row(&mut tables, kind, row_key, value).map_err(|DecodeError(reason)| {
                StorageError::Corrupt(format!("a row of Raft group {group}: {reason}"))
            })?;
        }
        if !more {
            return Ok(tables);
        }
        from = next.into();
    }
}

fn load_row(tables: &mut Tables, kind: u8, key: Bytes, value: Bytes) -> Result<(), DecodeError> {
    match kind {
        META_KIND => tables.meta = MetaRow::decode(value)?,
        GROUP_KIND => {
            let group = std::str::from_utf8(&key).map_err(|_| DecodeError("a group's id is not UTF-8".to_owned()))?;
            tables.put_group(group.into(), GroupRow::decode(value)?);
        }
        OFFSET_KIND => tables.put_offset(OffsetRowKey::decode(key)?, OffsetRow::decode(value)?),
        other => return Err(DecodeError(format!("{other} is no kind of row"))),
    }
    Ok(())
}

fn encode_snapshot(tables: &Tables) -> Bytes {
    let mut out = Writer::new();
    out.u8(SNAPSHOT_VERSION);
    let mut row = |kind: u8, key: &[u8], value: &[u8]| {
        out.u8(kind);
        out.bytes(key);
        out.bytes(value);
    };
    row(META_KIND, &[], &tables.meta.encode());
    for (group, group_row) in tables.groups() {
        row(GROUP_KIND, group.as_bytes(), &group_row.encode());
    }
    for (key, offset) in tables.all_offsets() {
        row(OFFSET_KIND, &key.encode(), &offset.encode());
    }
    out.finish()
}

/// Reads a snapshot, and shows every row but the meta row to `put`.
fn decode_snapshot(data: Bytes, mut put: impl FnMut(u8, Bytes, Bytes)) -> Result<Tables, DecodeError> {
    let mut tables = Tables::default();
    let mut reader = Reader::new(data);
    match reader.u8()? {
        SNAPSHOT_VERSION => {}
        version => return Err(DecodeError(format!("the snapshot has the unknown version {version}"))),
    }
    while !reader.is_empty() {
        let (kind, key, value) = (reader.u8()?, reader.bytes()?, reader.bytes()?);
        if kind != META_KIND {
            put(kind, key.clone(), value.clone());
        }
        load_row(&mut tables, kind, key, value)?;
    }
    Ok(tables)
}
