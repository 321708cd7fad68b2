//! Replicas of a topic that is acknowledged before it is synced may have lost its newest records, all of them the same ones: once all has come to rest, they
//! have the same batches at the same offsets, without a gap.

use std::sync::Arc;

use caudal_partition::Partition;
use caudal_storage::keys::index::IndexRow;
use caudal_types::NodeId;

use super::replicas_agree::rows;
use super::{Invariant, View, World};
use crate::workload::relaxed::RELAXED;

/// The invariant.
#[derive(Debug)]
pub struct RelaxedAgree;

impl Invariant for RelaxedAgree {
    fn name(&self) -> &'static str {
        "relaxed_agree"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        if !world.at_rest {
            return Ok(());
        }
        let mut first: Option<(NodeId, Vec<(IndexRow, u32)>)> = None;
        for view in world.views {
            let replicas = view.partitions.iter().filter(|partition| &*partition.name().topic == RELAXED);
            for partition in replicas {
                let batches = batches(view, partition)?;
                match &first {
                    None => first = Some((view.node, batches)),
                    Some((_, known)) if *known == batches => {}
                    Some((node, known)) => {
                        let (one, other) = (known.len(), batches.len());
                        let at = known.iter().zip(&batches).position(|(one, other)| one != other);
                        return Err(format!(
                            "node {node} has {one} batches, node {} has {other}; the first difference is at {at:?}",
                            view.node
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// All batches of a replica, each with the checksum of its bytes.
fn batches(view: &View, partition: &Arc<Partition>) -> Result<Vec<(IndexRow, u32)>, String> {
    let (group, end) = (partition.group(), partition.offsets().borrow().high_watermark);
    let raft = view.groups.iter().find(|found| found.raft.id() == group).ok_or("its Raft group is not there")?;
    let (mut next, mut found) = (0, Vec::new());
    while next < end {
        let before = next;
        for row in rows(&*view.engine, group, next, end) {
            let row = row?;
            if row.base_offset != next {
                return Err(format!("node {}: behind {next} comes {}", view.node, row.base_offset));
            }
            let read = raft.raft.read(row.raft_index, row.raft_index + 1, usize::MAX);
            let entries = read.map_err(|error| error.to_string())?;
            let entry = entries.first().ok_or_else(|| format!("node {}: {row:?} has no entry", view.node))?;
            next = row.last_offset + 1;
            found.push((row, crc32c::crc32c(&entry.payload)));
        }
        if next == before {
            return Err(format!("node {}: nothing lies at {next}, and the end is {end}", view.node));
        }
    }
    Ok(found)
}
