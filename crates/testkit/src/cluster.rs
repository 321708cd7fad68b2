//! The nodes of a cluster with the network between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caudal_types::NodeId;
use tokio::time::Instant;

use crate::clock::SimClock;
use crate::disk::Disk;
use crate::entropy;
use crate::net::{Net, Silence};
use crate::node::{Machine, Running};
use crate::trace::{Event, Trace};

/// A simulated cluster; a cheap handle.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The machines, in the order of their nodes' ids.
    pub machines: Arc<Vec<Machine>>,
    /// The network.
    pub net: Net,
    /// What happened.
    pub trace: Trace,
    starts: Arc<AtomicU64>,
}

/// What a generator of chance is for.
const NETWORK: u64 = 1;
const DISKS: u64 = 100;

impl Cluster {
    /// A cluster of `size` machines, on which nothing runs yet.
    pub fn new(seed: u64, size: u32, trace: Trace) -> Self {
        let net = Net::new(entropy::generator(seed, NETWORK), trace.clone());
        let ids: Vec<_> = (1..=size).map(NodeId).collect();
        let began = Instant::now();
        let machine = |id: &NodeId| {
            let disk = Disk::new(u64::from(id.0), entropy::generator(seed, DISKS + u64::from(id.0)), trace.clone());
            Machine::new(*id, disk, SimClock::new(began), net.clone(), ids.clone())
        };
        let machines = Arc::new(ids.iter().map(machine).collect());
        Self { machines, net, trace, starts: Arc::default() }
    }

    /// Starts the nodes that are not there.
    pub fn start_all(&self) {
        self.machines.iter().for_each(|machine| self.start(machine.id));
    }

    /// Starts a node, if it is not there.
    pub fn start(&self, node: NodeId) {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        self.machine(node).start(number);
    }

    /// Crashes a node; see [`Machine::crash`].
    pub fn crash(&self, node: NodeId, silence: Silence, kept: usize) {
        self.machine(node).crash(silence, kept);
    }

    /// The machine of a node.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn machine(&self, node: NodeId) -> &Machine {
        self.machines.iter().find(|machine| machine.id == node).expect("the node is one of the cluster's")
    }

    /// The nodes that run, with their components.
    pub fn running(&self) -> Vec<(NodeId, Running)> {
        self.machines.iter().filter_map(|machine| Some((machine.id, machine.running()?))).collect()
    }

    /// Writes down what was done to the cluster.
    pub fn note(&self, text: &impl std::fmt::Display) {
        self.trace.say(Event::Fault, text);
    }
}
