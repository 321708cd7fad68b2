//! Tables are equal on all replicas at the same applied index: metadata, coordinator shards, and the partitions' states.

use std::collections::BTreeMap;

use bytes::Bytes;
use caudal_partition::REPLICAS_OWN_ROWS;
use caudal_raft::applied_on_disk;
use caudal_storage::ColumnFamily;
use caudal_storage::engine::ScanLimit;
use caudal_storage::keys::state;
use caudal_types::{NodeId, Offset, RaftGroupId};

use super::{Invariant, World};
use crate::workload::relaxed::RELAXED;

/// The invariant, with the tables' checksums by Raft group, applied index and log start, and who had them first.
#[derive(Debug, Default)]
pub struct TablesAgree {
    seen: BTreeMap<(RaftGroupId, u64, Offset), (NodeId, u32)>,
    looks: u64,
}

/// How many looks at the other invariants there are for each look at this one, which reads all rows.
const EVERY: u64 = 8;
/// How many checksums are remembered.
const REMEMBERED: usize = 20_000;

impl Invariant for TablesAgree {
    fn name(&self) -> &'static str {
        "tables_agree"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        self.looks += 1;
        if !world.at_rest && !self.looks.is_multiple_of(EVERY) {
            return Ok(());
        }
        for view in world.views {
            for group in &view.groups {
                let id = group.raft.id();
                // A snapshot's rows can be read while they are being synced; what they are the state of is shown after that.
                let stored = applied_on_disk(view.engine.as_ref(), id).map_err(|error| error.to_string())?;
                if stored.unwrap_or_default() != group.applied {
                    continue;
                }
                let (from, to) = state::user_range(id);
                let partition = view.partitions.iter().find(|partition| partition.group() == id);
                let is_relaxed = partition.is_some_and(|partition| &*partition.name().topic == RELAXED);
                if is_relaxed && !world.at_rest {
                    // It may lose what it has applied, when all machines lose their power, and then apply something else there.
                    continue;
                }
                let rows = view.engine.scan(ColumnFamily::State, &from..&to, ScanLimit::NONE);
                let rows = rows.map_err(|error| error.to_string())?;
                // How far a replica has cleaned its log is its own business. So is, in a compacted topic with transactions, which of the aborted ones it has
                // forgotten; the workload has no such topic.
                let own = |key: &Bytes| {
                    partition.is_some() && state::split(key).is_some_and(|(kind, _)| kind == REPLICAS_OWN_ROWS)
                };
                let crc = rows
                    .iter()
                    .filter(|(key, _)| !own(key))
                    .fold(0, |crc, (key, value)| crc32c::crc32c_append(crc32c::crc32c_append(crc, key), value));
                // A replica that began with a checkpoint knows nothing before it, even if the others still do at the same index.
                let start = partition.map_or(0, |partition| partition.offsets().borrow().log_start);
                let (node, known) = *self.seen.entry((id, group.applied, start)).or_insert((view.node, crc));
                if known != crc {
                    return Err(format!(
                        "Raft group {id}: nodes {node} and {} have applied {} and have different rows",
                        view.node, group.applied
                    ));
                }
            }
        }
        while self.seen.len() > REMEMBERED {
            self.seen.pop_first();
        }
        Ok(())
    }
}
