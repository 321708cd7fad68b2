//! Which Raft groups have left something on the disk.

use std::collections::BTreeSet;

use caudal_storage::keys::raft as raft_keys;
use caudal_storage::{ColumnFamily, Engine, ScanLimit, StorageError};
use caudal_types::RaftGroupId;

use crate::machine::rows;

/// All Raft groups of which the disk has something. Blocks.
///
/// # Errors
/// When the disk refuses.
pub fn groups_on_disk(engine: &dyn Engine) -> Result<BTreeSet<RaftGroupId>, StorageError> {
    let mut groups = BTreeSet::new();
    let (mut from, _) = raft_keys::group_range(RaftGroupId(0));
    let past = [0xff; 16];
    loop {
        let rows = engine.scan(ColumnFamily::Raft, from.as_ref()..past.as_slice(), ScanLimit::rows(1))?;
        let Some(id) = rows.first().and_then(|(key, _)| key.first_chunk().copied().map(u64::from_be_bytes)) else {
            return Ok(groups);
        };
        groups.insert(RaftGroupId(id));
        if id == u64::MAX {
            return Ok(groups);
        }
        (from, _) = raft_keys::group_range(RaftGroupId(id + 1));
    }
}

/// The index up to which a Raft group's rows have the effect of its entries. What [`crate::RaftGroup::applied`] says follows once they are synced, where a snapshot
/// brought them. Blocks.
///
/// # Errors
/// When the disk refuses.
pub fn applied_on_disk(engine: &dyn Engine, group: RaftGroupId) -> Result<Option<u64>, StorageError> {
    Ok(rows::read_applied(engine, group)?.map(|id| id.index))
}

#[cfg(test)]
mod tests {
    use caudal_storage::keys::raft::RaftField;
    use caudal_storage::{Durability, MemEngine, WriteBatch};

    use super::*;

    #[test]
    fn the_groups_on_disk_are_found() {
        let engine = MemEngine::new();
        let mut batch = WriteBatch::new();
        for id in [0, 1, 7, u64::MAX] {
            for field in [RaftField::Vote, RaftField::Committed] {
                batch.put(ColumnFamily::Raft, raft_keys::key(RaftGroupId(id), field), vec![1]);
            }
        }
        engine.write(batch, Durability::Synced).unwrap();
        assert_eq!(groups_on_disk(&engine).unwrap(), [0, 1, 7, u64::MAX].map(RaftGroupId).into());
    }
}
