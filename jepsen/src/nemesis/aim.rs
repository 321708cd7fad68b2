//! Finds the node that coordinates something of the workload's, by asking as its clients do (FindCoordinator).

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::workload::request::{Coordinated, Requests};

/// Whom to ask, and for what.
#[derive(Debug)]
pub struct Aim {
    requests: Requests,
    of: Vec<Coordinated>,
}

impl Aim {
    /// For the coordinators of these.
    pub fn new(requests: Requests, of: Vec<Coordinated>) -> Self {
        Self { requests, of }
    }

    /// The node that coordinates one of them now, chosen by lot, and what it coordinates; `None` when no node tells.
    pub fn take(&self, seed: u64) -> Option<(u32, Coordinated)> {
        let mut random = StdRng::seed_from_u64(seed);
        let of = self.of.choose(&mut random)?;
        let mut nodes: Vec<_> = (1..=self.requests.nodes()).collect();
        nodes.shuffle(&mut random);
        let found = nodes.into_iter().find_map(|node| self.requests.coordinator(node, of).ok())?;
        // The answer is a number from the network, and nodes are found by it.
        (1..=self.requests.nodes()).contains(&found).then(|| (found, of.clone()))
    }
}
