//! A log's start never falls: not on a node while it runs, and not from one leader to the next. And no more goes than somebody deleted, or retention lets go.

use std::collections::BTreeMap;

use caudal_types::{NodeId, Offset, RaftGroupId};

use super::{Invariant, World};
use crate::workload::RETENTION_BYTES;

/// The invariant, with what was seen.
#[derive(Debug, Default)]
pub struct LogStart {
    /// By node, its start, and Raft group.
    on_node: BTreeMap<(NodeId, u64, RaftGroupId), Offset>,
    /// The largest that any replica showed, and had to be shown by every leader of a later epoch.
    highest: BTreeMap<RaftGroupId, Offset>,
    /// The latest epoch of a leader that serves, and what it had to show at least.
    leaders: BTreeMap<RaftGroupId, (u64, Offset)>,
}

impl Invariant for LogStart {
    fn name(&self) -> &'static str {
        "log_start"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        for (view, replica) in world.replicas() {
            let (number, node, now) = (replica.number, view.node, replica.offsets.log_start);
            let before = self.on_node.entry((node, view.start, replica.group)).or_insert(now);
            if now < *before {
                return Err(format!("partition {number} on node {node}: it fell from {before} to {now}"));
            }
            *before = now;
            let (leads, term) = (replica.leadership.leader == Some(node), replica.leadership.term);
            if !(leads && replica.leadership.serving) {
                continue;
            }
            let highest = self.highest.get(&replica.group).copied().unwrap_or_default();
            let (epoch, least) = self.leaders.entry(replica.group).or_insert((term, highest));
            if term > *epoch {
                (*epoch, *least) = (term, highest);
            }
            if term == *epoch && now < *least {
                return Err(format!(
                    "partition {number}: the leader of epoch {term}, node {node}, begins at {now} after {least}"
                ));
            }
            let kept = replica.partition.log_bytes();
            if now > world.history.deleted_up_to(number) && kept < RETENTION_BYTES {
                return Err(format!(
                    "partition {number} on node {node}: it begins at {now}, and {kept} bytes are kept"
                ));
            }
        }
        for (_, replica) in world.replicas() {
            let highest = self.highest.entry(replica.group).or_default();
            *highest = replica.offsets.log_start.max(*highest);
        }
        Ok(())
    }
}
