//! An acknowledged batch is readable at its offset for ever: a leader that serves has it, and in the end every replica has.

use std::collections::BTreeMap;

use caudal_types::Offset;

use super::{Invariant, World};

/// The invariant, with the latest epoch in which each partition was served, and up to where it was acknowledged then.
#[derive(Debug, Default)]
pub struct AckedIsReadable {
    served: BTreeMap<i32, Served>,
}

#[derive(Debug, Default)]
struct Served {
    term: u64,
    acked: Offset,
}

impl Invariant for AckedIsReadable {
    fn name(&self) -> &'static str {
        "acked_is_readable"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        let replicas =
            world.views.iter().flat_map(|view| view.replicas.iter().map(move |replica| (view.node, replica)));
        for (node, replica) in replicas {
            let (number, now) = (replica.number, replica.leadership);
            let newest = world.history.acked_end(number);
            let end = replica.offsets.high_watermark;
            if world.at_rest && end < newest {
                return Err(format!("partition {number} on node {node} ends at {end}; {newest} was acknowledged"));
            }
            let served = self.served.entry(number).or_default();
            if now.serving && now.leader == Some(node) && now.term >= served.term {
                // Who leads has acknowledged what was acknowledged since the last look.
                if now.term > served.term && end < served.acked {
                    let (term, acked) = (now.term, served.acked);
                    return Err(format!(
                        "partition {number}: the leader of epoch {term}, node {node}, ends at {end}; {acked} was acknowledged"
                    ));
                }
                *served = Served { term: now.term, acked: newest };
            }
        }
        Ok(())
    }
}
