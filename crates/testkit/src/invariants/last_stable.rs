//! The last stable offset is not beyond the high watermark, nor the log's start.

use super::{Invariant, World};

/// The invariant.
#[derive(Debug)]
pub struct LastStable;

impl Invariant for LastStable {
    fn name(&self) -> &'static str {
        "last_stable"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        let replicas =
            world.views.iter().flat_map(|view| view.replicas.iter().map(move |replica| (view.node, replica)));
        for (node, replica) in replicas {
            let offsets = replica.offsets;
            if offsets.last_stable > offsets.high_watermark || offsets.log_start > offsets.high_watermark {
                return Err(format!("partition {} on node {node}: {offsets:?}", replica.number));
            }
        }
        Ok(())
    }
}
