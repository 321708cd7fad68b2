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
use crate::rows::{
    CONSUMER_GROUP_KIND, CONSUMER_MEMBER_KIND, CONSUMER_TARGET_KIND, ConsumerGroupRow, ConsumerMemberKey,
    ConsumerMemberRow, GROUP_KIND, GroupRow, META_KIND, MetaRow, OFFSET_KIND, OffsetRow, OffsetRowKey, PENDING_KIND,
    PendingRow, PendingRowKey, TRANSACTION_KIND, TransactionRow, consumer_target,
};
use crate::tables::{Changes, Tables};
use crate::transactions::reply::Reply;

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
        for id in &changes.transactions {
            let key = self.key(TRANSACTION_KIND, id.as_bytes());
            match tables.transactions.get(id) {
                Some(row) => batch.put(cf, key, row.encode()),
                None => batch.delete(cf, key),
            }
        }
        for pending in &changes.pending {
            let key = self.key(PENDING_KIND, &pending.encode());
            match tables.pending.get(pending) {
                Some(row) => batch.put(cf, key, row.encode()),
                None => batch.delete(cf, key),
            }
        }
        self.write_consumers(tables, changes, batch);
        batch.put(cf, self.key(META_KIND, &[]), tables.meta.encode());
    }

    fn write_consumers(&self, tables: &Tables, changes: &Changes, batch: &mut WriteBatch) {
        let mut write = |kind: u8, key: &[u8], row: Option<Bytes>| {
            let key = self.key(kind, key);
            match row {
                Some(row) => batch.put(ColumnFamily::State, key, row),
                None => batch.delete(ColumnFamily::State, key),
            }
        };
        for group in &changes.consumers {
            let row = tables.consumer_group(group).map(|rows| rows.row.encode());
            write(CONSUMER_GROUP_KIND, group.as_bytes(), row);
        }
        for key in &changes.consumer_members {
            let rows = tables.consumer_group(&key.group);
            let row = rows.and_then(|rows| rows.members.get(&key.member)).map(ConsumerMemberRow::encode);
            write(CONSUMER_MEMBER_KIND, &key.encode(), row);
        }
        for key in &changes.consumer_targets {
            let rows = tables.consumer_group(&key.group);
            let row = rows.and_then(|rows| rows.targets.get(&key.member)).map(consumer_target::encode);
            write(CONSUMER_TARGET_KIND, &key.encode(), row);
        }
    }
}

impl StateMachine for ShardMachine {
    fn apply(&mut self, entries: &[CommittedEntry], batch: &mut WriteBatch) -> Result<Vec<Bytes>, ApplyError> {
        let mut changes = Changes::default();
        let mut replies = Vec::with_capacity(entries.len());
        let mut tables = self.tables.write();
        for entry in entries {
            let mut reply = None;
            if entry.command {
                let decoded = Entry::decode(entry.payload.clone());
                let decoded =
                    decoded.map_err(|DecodeError(reason)| ApplyError::Undecodable { index: entry.index, reason })?;
                reply = tables.apply(entry.index, decoded, &mut changes);
            } else {
                tables.meta.applied_index = entry.index;
            }
            replies.push(reply.map(Reply::encode).unwrap_or_default());
        }
        self.write(&tables, &changes, batch);
        Ok(replies)
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
            tables.put_group(text(&key)?, GroupRow::decode(value)?);
        }
        CONSUMER_GROUP_KIND => tables.put_consumer_group(text(&key)?, ConsumerGroupRow::decode(value)?),
        CONSUMER_MEMBER_KIND => {
            tables.put_consumer_member(ConsumerMemberKey::decode(key)?, ConsumerMemberRow::decode(value)?);
        }
        CONSUMER_TARGET_KIND => {
            tables.put_consumer_target(ConsumerMemberKey::decode(key)?, consumer_target::decode(value)?);
        }
        OFFSET_KIND => tables.put_offset(OffsetRowKey::decode(key)?, OffsetRow::decode(value)?),
        TRANSACTION_KIND => tables.transactions.put(text(&key)?, Some(TransactionRow::decode(value)?)),
        PENDING_KIND => tables.pending.put(PendingRowKey::decode(key)?, PendingRow::decode(value)?),
        other => return Err(DecodeError(format!("{other} is no kind of row"))),
    }
    Ok(())
}

/// A key that is a text.
fn text(key: &[u8]) -> Result<Arc<str>, DecodeError> {
    std::str::from_utf8(key).map(Arc::from).map_err(|_| DecodeError("a row's key is not UTF-8".to_owned()))
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
    for (group, rows) in tables.consumer_groups() {
        row(CONSUMER_GROUP_KIND, group.as_bytes(), &rows.row.encode());
        let key = |member: &Arc<str>| ConsumerMemberKey { group: group.clone(), member: member.clone() }.encode();
        for (member, member_row) in &rows.members {
            row(CONSUMER_MEMBER_KIND, &key(member), &member_row.encode());
        }
        for (member, target) in &rows.targets {
            row(CONSUMER_TARGET_KIND, &key(member), &consumer_target::encode(target));
        }
    }
    for (key, offset) in tables.all_offsets() {
        row(OFFSET_KIND, &key.encode(), &offset.encode());
    }
    for (id, transaction) in tables.transactions.iter() {
        row(TRANSACTION_KIND, id.as_bytes(), &transaction.encode());
    }
    for (key, pending) in tables.pending.iter() {
        row(PENDING_KIND, &key.encode(), &pending.encode());
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

#[cfg(test)]
mod tests {
    use caudal_storage::{Durability, MemEngine};
    use caudal_types::TopicId;

    use super::*;
    use crate::command::ConsumerChange;
    use crate::command::{Command, OffsetCommit, TopicCommit};
    use crate::consumer::Partitions;
    use crate::rows::{MemberRow, RestState};

    const GROUP: RaftGroupId = RaftGroupId(7);

    fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> Command {
        let commit = OffsetCommit { partition, offset, leader_epoch: 1, retention_ms: None, metadata: "é".to_owned() };
        let topics = vec![TopicCommit { topic: topic.into(), id: TopicId::NIL, offsets: vec![commit] }];
        Command::CommitOffsets { group: group.into(), topics }
    }

    fn put_group(group: &str) -> Command {
        let member = MemberRow { id: "m".to_owned(), ..MemberRow::default() };
        let row = GroupRow { state: RestState::Stable, generation: 4, members: vec![member], ..GroupRow::default() };
        Command::PutGroup { group: group.into(), row }
    }

    fn entry(index: u64, commands: &[Command]) -> CommittedEntry {
        let commands: Vec<Bytes> = commands.iter().map(Command::encode).collect();
        CommittedEntry { index, term: 1, payload: Entry::encode(100, 3, &commands), command: true }
    }

    /// Applies entries together and writes what comes of it; how many writes that were.
    fn apply(engine: &MemEngine, machine: &mut ShardMachine, entries: &[CommittedEntry]) -> usize {
        let mut batch = WriteBatch::new();
        assert_eq!(machine.apply(entries, &mut batch).unwrap().len(), entries.len());
        let writes = batch.ops().len();
        engine.write(batch, Durability::Synced).unwrap();
        writes
    }

    fn tables(machine: &ShardMachine) -> Tables {
        machine.tables().read().clone()
    }

    /// A group of the consumer protocol with two members, of which one has a target.
    fn consumers(group: &str) -> Command {
        let change = ConsumerChange {
            row: ConsumerGroupRow { epoch: 2, assignment_epoch: 1, topics: 3 },
            members: vec![
                ("a".into(), Some(ConsumerMemberRow::default())),
                ("b".into(), Some(ConsumerMemberRow::default())),
            ],
            targets: vec![("a".into(), Some(Partitions::new()))],
        };
        Command::ChangeConsumerGroup { group: group.into(), change }
    }

    fn filled(engine: &MemEngine) -> ShardMachine {
        let mut machine = ShardMachine::open(engine, GROUP).unwrap();
        let entries = [
            entry(1, &[put_group("g"), put_group("h"), commit("g", "t", 0, 1), commit("g", "t", 1, 1), consumers("k")]),
            entry(
                2,
                &[commit("g", "t", 0, 2), commit("simple", "u", 9, 5), Command::DeleteGroup { group: "h".into() }],
            ),
        ];
        apply(engine, &mut machine, &entries);
        machine
    }

    #[test]
    fn a_shard_that_is_opened_again_is_as_it_was() {
        let engine = MemEngine::new();
        let machine = filled(&engine);
        let again = ShardMachine::open(&engine, GROUP).unwrap();
        assert_eq!(tables(&again), tables(&machine));
        assert_eq!(tables(&again).meta, MetaRow { applied_index: 2, image_version: 3 });
        assert_eq!(tables(&again).group_ids().len(), 3);
        assert_eq!(
            tables(&again).consumer_group("k").map(|rows| (rows.members.len(), rows.targets.len())),
            Some((2, 1))
        );
        assert_eq!(tables(&ShardMachine::open(&engine, RaftGroupId(8)).unwrap()), Tables::default());
    }

    #[test]
    fn a_row_is_written_once_however_often_it_changes() {
        let engine = MemEngine::new();
        let mut machine = ShardMachine::open(&engine, GROUP).unwrap();
        let commits: Vec<_> = (1..100).map(|n| entry(n, &[commit("g", "t", 0, i64::try_from(n).unwrap())])).collect();
        assert_eq!(apply(&engine, &mut machine, &commits), 2, "the offset and the shard's position");
        assert_eq!(tables(&ShardMachine::open(&engine, GROUP).unwrap()).offset("g", "t", 0).unwrap().offset, 99);
    }

    #[test]
    fn a_snapshot_replaces_everything() {
        let engine = MemEngine::new();
        let mut machine = filled(&engine);
        let snapshot = machine.snapshot().unwrap();
        assert_eq!(snapshot.index, 2);
        let other_engine = MemEngine::new();
        let mut other = ShardMachine::open(&other_engine, GROUP).unwrap();
        apply(&other_engine, &mut other, &[entry(1, &[put_group("old"), commit("old", "t", 0, 1)])]);
        let mut batch = WriteBatch::new();
        other.install(&snapshot, &mut batch).unwrap();
        other_engine.write(batch, Durability::Synced).unwrap();
        assert_eq!(tables(&other), tables(&machine));
        assert_eq!(tables(&ShardMachine::open(&other_engine, GROUP).unwrap()), tables(&machine));
    }

    #[test]
    fn rafts_own_entries_move_the_position_alone() {
        let engine = MemEngine::new();
        let mut machine = filled(&engine);
        let mut expected = tables(&machine);
        expected.meta.applied_index = 3;
        let blank = CommittedEntry { index: 3, term: 2, payload: Bytes::new(), command: false };
        assert_eq!(apply(&engine, &mut machine, &[blank]), 1);
        assert_eq!(tables(&machine), expected);
    }

    #[test]
    fn what_cannot_be_read_stops_the_replica() {
        let engine = MemEngine::new();
        let mut machine = ShardMachine::open(&engine, GROUP).unwrap();
        let damaged = CommittedEntry { payload: Bytes::from_static(&[9]), ..entry(5, &[]) };
        let error = machine.apply(&[damaged], &mut WriteBatch::new()).unwrap_err();
        assert!(matches!(error, ApplyError::Undecodable { index: 5, .. }), "{error}");
        let snapshot = SnapshotContent { index: 5, data: Bytes::from_static(&[1, 17, 0, 0]) };
        assert!(machine.install(&snapshot, &mut WriteBatch::new()).is_err());
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::State, state::key(GROUP, OFFSET_KIND, b"x"), Bytes::from_static(b"y"));
        engine.write(batch, Durability::Synced).unwrap();
        assert!(matches!(ShardMachine::open(&engine, GROUP), Err(StorageError::Corrupt(_))));
    }

    #[test]
    fn many_rows_are_loaded_in_pieces() {
        let engine = MemEngine::new();
        let mut machine = ShardMachine::open(&engine, GROUP).unwrap();
        let count = i32::try_from(LOAD_ROWS).unwrap() * 2 + 1;
        let commits: Vec<Command> = (0..count).map(|partition| commit("g", "t", partition, 1)).collect();
        apply(&engine, &mut machine, &[entry(1, &commits)]);
        assert_eq!(tables(&ShardMachine::open(&engine, GROUP).unwrap()), tables(&machine));
    }
}
