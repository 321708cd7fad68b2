//! An acknowledged batch is on the synced disks of a majority.

use caudal_storage::keys::{index, log};
use caudal_storage::{ColumnFamily, ScanLimit};
use caudal_types::{Offset, RaftGroupId};

use super::{Invariant, Replica, World};

/// The invariant, with what was not looked at yet.
#[derive(Debug, Default)]
pub struct AckedIsDurable {
    /// How many acknowledgements were taken.
    taken: usize,
    /// Those of which nobody who runs could say yet where they lie.
    waiting: Vec<(i32, Offset)>,
}

impl Invariant for AckedIsDurable {
    fn name(&self) -> &'static str {
        "acked_is_durable"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        let new = world.history.acks_since(self.taken);
        self.taken += new.len();
        // What was deleted need not be anywhere any more.
        let kept = |(number, offset): &(i32, Offset)| *offset >= world.history.start(*number);
        for (number, offset) in std::mem::take(&mut self.waiting).into_iter().chain(new).filter(kept) {
            let Some((group, entry)) = entry_of(world, number, offset) else {
                self.waiting.push((number, offset));
                continue;
            };
            let key = log::key(group, entry);
            let machines = world.cluster.machines.iter();
            let copies = machines.filter(|machine| machine.disk.durable(ColumnFamily::Log, &key).is_some()).count();
            if copies * 2 <= world.cluster.machines.len() {
                return Err(format!(
                    "partition {number}: offset {offset} was acknowledged, its entry {entry} is on {copies} disks"
                ));
            }
        }
        Ok(())
    }
}

/// The entry that holds an offset, as a replica that has applied it says.
fn entry_of(world: &World<'_>, number: i32, offset: Offset) -> Option<(RaftGroupId, u64)> {
    let replicas = world.views.iter().flat_map(|view| view.replicas.iter().map(move |replica| (view, replica)));
    let applied = |replica: &Replica| replica.number == number && replica.offsets.high_watermark > offset;
    let (view, replica) = replicas.into_iter().find(|(_, replica)| applied(replica))?;
    let (from, to) = (index::key(replica.group, 0), index::key(replica.group, offset + 1));
    let rows = view.engine.scan_back(ColumnFamily::Index, &from..&to, ScanLimit::rows(1)).ok()?;
    let (key, value) = rows.first()?;
    index::decode(key, value).ok().map(|row| (replica.group, row.raft_index))
}
