//! Replicas agree on every offset's batch: where it lies, and its bytes.

use std::collections::BTreeMap;

use caudal_storage::engine::ScanLimit;
use caudal_storage::keys::index::{self, IndexRow};
use caudal_storage::{ColumnFamily, Engine};
use caudal_types::{NodeId, Offset, RaftGroupId};

use super::{Invariant, Replica, View, World};

/// The invariant, with the batches that were seen.
#[derive(Debug, Default)]
pub struct ReplicasAgree {
    batches: BTreeMap<(RaftGroupId, Offset), Batch>,
    /// How far each node was looked at, since its start.
    looked: BTreeMap<(NodeId, u64, RaftGroupId), Offset>,
}

/// A batch as some replica has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Batch {
    row: IndexRow,
    crc: u32,
}

/// How many rows are looked at in one go.
const ROWS: usize = 256;

impl Invariant for ReplicasAgree {
    fn name(&self) -> &'static str {
        "replicas_agree"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        for view in world.views {
            for replica in &view.replicas {
                self.look(view, replica)?;
            }
        }
        Ok(())
    }
}

impl ReplicasAgree {
    /// Looks at the batches that a replica has shown since the last time.
    fn look(&mut self, view: &View, replica: &Replica) -> Result<(), String> {
        let looked = self.looked.entry((view.node, view.start, replica.group)).or_default();
        if *looked >= replica.offsets.high_watermark {
            return Ok(());
        }
        let place = || format!("partition {} on node {}", replica.number, view.node);
        for row in rows(&*view.engine, replica.group, *looked, replica.offsets.high_watermark) {
            let row = row.map_err(|error| format!("{}: {error}", place()))?;
            // Behind what was deleted the rows begin with a whole segment.
            if row.base_offset != *looked && row.base_offset > replica.offsets.log_start {
                return Err(format!("{}: behind {looked} comes {}", place(), row.base_offset));
            }
            let crc = read(view, replica, &row).map_err(|error| format!("{}: {row:?}: {error}", place()))?;
            let batch = Batch { row, crc };
            let known = self.batches.entry((replica.group, row.base_offset)).or_insert_with(|| batch.clone());
            if *known != batch {
                return Err(format!("{} has {batch:?}, another replica {known:?}", place()));
            }
            *looked = row.last_offset + 1;
        }
        Ok(())
    }
}

/// The index rows from one offset up to another.
pub(super) fn rows(
    engine: &dyn Engine,
    group: RaftGroupId,
    from: Offset,
    to: Offset,
) -> impl Iterator<Item = Result<IndexRow, String>> {
    let (from, to) = (index::key(group, from), index::key(group, to));
    let rows = engine.scan(ColumnFamily::Index, &from..&to, ScanLimit::rows(ROWS));
    let (rows, failed) = match rows {
        Ok(rows) => (rows, None),
        Err(error) => (Vec::new(), Some(Err(error.to_string()))),
    };
    let decoded = rows.into_iter().map(|(key, value)| index::decode(&key, &value).map_err(|error| error.to_string()));
    failed.into_iter().chain(decoded)
}

/// The checksum of a batch's bytes behind what is filled in at a read.
fn read(view: &View, replica: &Replica, row: &IndexRow) -> Result<u32, String> {
    let group =
        view.groups.iter().find(|group| group.raft.id() == replica.group).ok_or("its Raft group is not there")?;
    let read = group.raft.read(row.raft_index, row.raft_index + 1, usize::MAX).map_err(|error| error.to_string())?;
    let entry = read.first().filter(|entry| entry.index == row.raft_index).ok_or("its entry is not there")?;
    let (from, to) = (row.position as usize, row.position as usize + row.length as usize);
    entry.payload.get(from..to).map(crc32c::crc32c).ok_or_else(|| "its bytes are not in its entry".to_owned())
}
