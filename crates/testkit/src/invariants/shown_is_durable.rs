//! What a replica shows is committed: the entry of its newest batch is on the synced disks of a majority.

use std::collections::BTreeMap;

use caudal_storage::keys::{index, log};
use caudal_storage::{ColumnFamily, ScanLimit};
use caudal_types::{NodeId, Offset, RaftGroupId};

use super::{Invariant, Replica, View, World};

/// The invariant, with how far each node was looked at, since its start.
#[derive(Debug, Default)]
pub struct ShownIsDurable {
    looked: BTreeMap<(NodeId, u64, RaftGroupId), Offset>,
}

impl Invariant for ShownIsDurable {
    fn name(&self) -> &'static str {
        "shown_is_durable"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        for view in world.views {
            for replica in &view.replicas {
                let end = replica.offsets.high_watermark;
                let looked = self.looked.entry((view.node, view.start, replica.group)).or_default();
                if end > *looked {
                    look(world, view, replica)?;
                    *looked = end;
                }
            }
        }
        Ok(())
    }
}

fn look(world: &World<'_>, view: &View, replica: &Replica) -> Result<(), String> {
    let (group, end) = (replica.group, replica.offsets.high_watermark);
    let (from, to) = (index::key(group, 0), index::key(group, end));
    let rows = view.engine.scan_back(ColumnFamily::Index, &from..&to, ScanLimit::rows(1));
    let rows = rows.map_err(|error| error.to_string())?;
    let Some((key, value)) = rows.first() else { return Ok(()) };
    let row = index::decode(key, value).map_err(|error| error.to_string())?;
    if row.last_offset < world.history.start(replica.number) {
        // It was deleted, and this replica has not heard of it yet.
        return Ok(());
    }
    let key = log::key(group, row.raft_index);
    let entry = view.engine.get(ColumnFamily::Log, &key).map_err(|error| error.to_string())?;
    let machines = world.cluster.machines.iter();
    let copies = machines.filter(|machine| machine.disk.durable(ColumnFamily::Log, &key) == entry).count();
    if entry.is_none() || copies * 2 <= world.cluster.machines.len() {
        return Err(format!(
            "partition {} on node {} shows {end}; entry {} is on {copies} disks",
            replica.number, view.node, row.raft_index
        ));
    }
    Ok(())
}
