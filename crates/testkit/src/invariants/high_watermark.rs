//! The high watermark never falls: not on a node while it runs, and not from one leader to the next.

use std::collections::BTreeMap;

use caudal_types::{NodeId, Offset, RaftGroupId};

use super::{Invariant, World};

/// The invariant, with what was seen.
#[derive(Debug, Default)]
pub struct HighWatermark {
    /// By node, its start, and Raft group.
    on_node: BTreeMap<(NodeId, u64, RaftGroupId), Offset>,
    groups: BTreeMap<RaftGroupId, Epochs>,
}

#[derive(Debug, Default)]
struct Epochs {
    /// The latest epoch of a leader that serves.
    term: u64,
    /// The highest seen, when a leader first served in that epoch.
    before: Offset,
    /// The highest seen.
    highest: Offset,
}

impl Invariant for HighWatermark {
    fn name(&self) -> &'static str {
        "high_watermark"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        let replicas = || world.views.iter().flat_map(|view| view.replicas.iter().map(move |replica| (view, replica)));
        for (view, replica) in replicas() {
            let now = replica.offsets.high_watermark;
            let before = self.on_node.entry((view.node, view.start, replica.group)).or_insert(now);
            if now < *before {
                let (number, node) = (replica.number, view.node);
                return Err(format!("partition {number} on node {node}: it fell from {before} to {now}"));
            }
            *before = now;
        }
        for (view, replica) in replicas() {
            let leads = replica.leadership.serving && replica.leadership.leader == Some(view.node);
            let (term, epochs) = (replica.leadership.term, self.groups.entry(replica.group).or_default());
            if leads && term > epochs.term {
                (epochs.term, epochs.before) = (term, epochs.highest);
            }
            let now = replica.offsets.high_watermark;
            if leads && term == epochs.term && now < epochs.before {
                let (number, node, before) = (replica.number, view.node, epochs.before);
                return Err(format!(
                    "partition {number}: the leader of epoch {term}, node {node}, serves up to {now}; {before} was committed"
                ));
            }
        }
        for (_, replica) in replicas() {
            let epochs = self.groups.entry(replica.group).or_default();
            epochs.highest = epochs.highest.max(replica.offsets.high_watermark);
        }
        Ok(())
    }
}
