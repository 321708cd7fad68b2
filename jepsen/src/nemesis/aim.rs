//! Finds the node that coordinates something of the workload's, by asking as its clients do (FindCoordinator).

use std::fmt;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::stop::Stop;
use crate::workload::request::{Coordinated, Requests};

/// A node to be struck, and why it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aimed {
    /// The node.
    pub node: u32,
    /// What it coordinates.
    pub of: Coordinated,
    /// Whether that is in the midst of a transaction.
    pub in_transaction: bool,
}

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

    /// The node that coordinates one of them now, chosen by lot; of a transactional id, once a transaction of it is open. `None` when no node tells.
    pub fn take(&self, seed: u64, stop: &Stop) -> Option<Aimed> {
        let mut random = StdRng::seed_from_u64(seed);
        let of = self.of.choose(&mut random)?;
        let mut nodes: Vec<_> = (1..=self.requests.nodes()).collect();
        nodes.shuffle(&mut random);
        let deadline = Instant::now() + IN_TRANSACTION_WITHIN;
        loop {
            let node = nodes.iter().find_map(|node| self.requests.coordinator(*node, of).ok())?;
            // The answer is a number from the network, and nodes are found by it.
            if !nodes.contains(&node) {
                return None;
            }
            let Coordinated::TransactionalId(id) = of else {
                return Some(Aimed { node, of: of.clone(), in_transaction: false });
            };
            let in_transaction = self.requests.is_in_transaction(node, id);
            if in_transaction || Instant::now() > deadline || stop.wait(LOOK) {
                return Some(Aimed { node, of: of.clone(), in_transaction });
            }
        }
    }
}

impl fmt::Display for Aimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.in_transaction { ", in the midst of a transaction" } else { "" };
        write!(f, "the coordinator of {}{when}", self.of)
    }
}

/// Transactions are short, and follow each other: one that is open is found soon, once clients have begun at all.
const IN_TRANSACTION_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);
