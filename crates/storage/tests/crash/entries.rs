//! Entries whose content follows from where they are, so that whoever finds one can tell whether it is intact.

use std::path::Path;

use bytes::{Buf, Bytes};
use caudal_storage::keys::log::{self, EntryKind, StoredEntry};
use caudal_storage::keys::state;
use caudal_storage::{ColumnFamily, DataDirectory, Engine, RocksEngine, RocksOptions, ScanLimit, WriteBatch};
use caudal_types::{NodeId, RaftGroupId};

/// Locks and opens the database, with memtables so small that files are flushed and recycled all the time.
pub(super) fn open(path: &Path) -> (DataDirectory, RocksEngine) {
    let directory = DataDirectory::open(path, NodeId(1), "crash-test").unwrap();
    let options = RocksOptions { log_memtable_bytes: 1 << 20, ..RocksOptions::default() };
    let engine = RocksEngine::open(&directory.database_path(), &options).unwrap();
    (directory, engine)
}

/// The batch that appends entry `index`. Now and then it purges old entries, too.
pub(super) fn append(group: RaftGroupId, index: u64) -> WriteBatch {
    let entry = expected(group, index);
    let head = log::encode_head(group, index, &entry);
    let mut batch = WriteBatch::new();
    batch.put_parts(ColumnFamily::Log, log::key(group, index), head, entry.payload);
    if index.is_multiple_of(PURGE_EVERY) {
        batch.delete_range(ColumnFamily::Log, log::key(group, 0), log::key(group, first_kept(index)));
    }
    batch
}

/// The batch that notes that entry `index` was applied.
pub(super) fn apply(group: RaftGroupId, index: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(ColumnFamily::State, state::key(group, APPLIED, &[]), index.to_be_bytes().to_vec());
    batch
}

/// The index of the last entry that was applied; 0 if none was.
pub(super) fn applied(engine: &dyn Engine, group: RaftGroupId) -> u64 {
    engine.get(ColumnFamily::State, &state::key(group, APPLIED, &[])).unwrap().map_or(0, |mut value| value.get_u64())
}

/// The index of the last entry; 0 if there is none.
pub(super) fn last_index(engine: &dyn Engine, group: RaftGroupId) -> u64 {
    let (from, to) = log::group_range(group);
    let last = engine.scan_back(ColumnFamily::Log, &from..&to, ScanLimit::rows(1)).unwrap();
    last.first().map_or(0, |(key, _)| log::index_of(key).unwrap())
}

/// Checks that the log of `group` is intact and without gaps, and gives its last index.
pub(super) fn check_log(engine: &dyn Engine, group: RaftGroupId) -> u64 {
    let (from, to) = log::group_range(group);
    let rows = engine.scan(ColumnFamily::Log, &from..&to, ScanLimit::NONE).unwrap();
    let last = last_index(engine, group);
    let indexes: Vec<u64> = rows.iter().map(|(key, _)| log::index_of(key).unwrap()).collect();
    let whole: Vec<u64> = (first_kept(last)..=last).collect();
    assert_eq!(indexes, whole, "Raft group {group} has gaps, or purged entries are back");
    for (index, (_, value)) in indexes.into_iter().zip(&rows) {
        assert_eq!(log::decode(group, index, value).unwrap(), expected(group, index));
    }
    last
}

/// The first entry that is there when `last` is the last one.
fn first_kept(last: u64) -> u64 {
    (last / PURGE_EVERY * PURGE_EVERY).saturating_sub(KEPT).max(1)
}

fn expected(group: RaftGroupId, index: u64) -> StoredEntry {
    let seed = (group.0 << 32 | index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Most are small, some lie in blob files, and a few span many blocks of the WAL.
    let len = match seed >> 60 {
        0 => 100_000,
        1..=5 => 16_384,
        _ => (seed >> 40) & 0x7ff,
    };
    let payload: Bytes = (0..len).map(|i| (seed >> (i % 57)).wrapping_add(i).to_le_bytes()[0]).collect();
    StoredEntry { term: index / 100, kind: EntryKind::Normal, payload }
}

const PURGE_EVERY: u64 = 200;
const KEPT: u64 = 100;
const APPLIED: u8 = state::FIRST_USER_KIND;
