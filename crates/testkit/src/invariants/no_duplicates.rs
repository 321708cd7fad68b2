//! No two batches of a partition have the same producer, epoch and sequence, and each producer's sequences follow each other.

use std::collections::BTreeMap;

use caudal_protocol::batch::RecordBatch;
use caudal_types::{NodeId, Offset, ProducerEpoch, ProducerId, RaftGroupId};

use super::replicas_agree::rows;
use super::{Invariant, Replica, View, World};

/// The invariant, with the next sequence of each producer, as each node's log has it.
#[derive(Debug, Default)]
pub struct NoDuplicates {
    next: BTreeMap<(NodeId, u64, RaftGroupId), Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    looked: Offset,
    /// What was before `looked` was not all seen: it had been deleted.
    partly: bool,
    producers: BTreeMap<(ProducerId, ProducerEpoch), i32>,
}

impl Invariant for NoDuplicates {
    fn name(&self) -> &'static str {
        "no_duplicates"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        for view in world.views {
            for replica in &view.replicas {
                let seen = self.next.entry((view.node, view.start, replica.group)).or_default();
                if seen.looked < replica.offsets.high_watermark {
                    seen.look(view, replica)?;
                }
            }
        }
        Ok(())
    }
}

impl Seen {
    fn look(&mut self, view: &View, replica: &Replica) -> Result<(), String> {
        let Some(group) = view.groups.iter().find(|group| group.raft.id() == replica.group) else { return Ok(()) };
        for row in rows(&*view.engine, replica.group, self.looked, replica.offsets.high_watermark) {
            let row = row?;
            if row.base_offset > self.looked && row.base_offset <= replica.offsets.log_start {
                (self.partly, self.producers) = (true, BTreeMap::new());
            }
            let entries = group.raft.read(row.raft_index, row.raft_index + 1, usize::MAX);
            let Ok([entry]) = entries.as_deref() else { continue };
            let to = row.position as usize + row.length as usize;
            if to > entry.payload.len() {
                continue;
            }
            let batch = RecordBatch::from_trusted(entry.payload.slice(row.position as usize..to));
            self.looked = row.last_offset + 1;
            if batch.producer_id() < 0 {
                continue;
            }
            let first = if self.partly { batch.base_sequence() } else { 0 };
            let next = self.producers.entry((batch.producer_id(), batch.producer_epoch())).or_insert(first);
            if batch.base_sequence() != *next {
                let (producer, got) = (batch.producer_id(), batch.base_sequence());
                return Err(format!(
                    "partition {} on node {}: producer {producer} has sequence {got} at offset {} where {next} follows",
                    replica.number, view.node, row.base_offset
                ));
            }
            *next = batch.last_sequence() + 1;
        }
        Ok(())
    }
}
