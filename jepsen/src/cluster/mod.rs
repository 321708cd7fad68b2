//! A cluster of real `caudal` processes.
//!
//! # Layout
//! - [`node`]: one process, its files and its faults
//! - [`http`]: what a node says of itself

pub mod http;
pub mod node;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::net::{Network, address};
use crate::stop::Stop;
pub use node::Node;

/// The programs that a cluster is made of.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server.
    pub caudal: PathBuf,
    /// The library that is preloaded into it.
    pub library: PathBuf,
}

/// A running cluster; its processes are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    network: Network,
}

impl Cluster {
    /// Starts as many nodes as the network has, with their files in `folder`, and waits until all serve.
    ///
    /// # Errors
    /// When they do not.
    pub fn start(network: Network, nodes: u32, folder: &Path, programs: &Programs, set: &[String]) -> Result<Self> {
        let make = |id| {
            let node = Node::create(id, &folder.join(format!("node-{id}")), &network.node(id), programs.clone())?;
            std::fs::write(node.folder().join("caudal.toml"), config(&node, nodes, set))?;
            Ok(node)
        };
        let nodes = (1..=nodes).map(make).collect::<Result<Vec<_>>>()?;
        let cluster = Self { nodes, network };
        cluster.nodes.iter().try_for_each(Node::start)?;
        cluster.await_ready(START_WITHIN).context("the cluster does not start")?;
        Ok(cluster)
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its number, from 1.
    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize - 1]
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What clients are given.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::listener).collect::<Vec<_>>().join(",")
    }

    /// Waits until all nodes serve.
    ///
    /// # Errors
    /// When they do not in time; it says which, and why.
    pub fn await_ready(&self, within: Duration) -> Result<()> {
        let (deadline, stop) = (Instant::now() + within, Stop::default());
        loop {
            let why = |node: &Node| Some(format!("node {}: {}", node.id(), node.unready()?));
            let why: Vec<_> = self.nodes.iter().filter_map(why).collect();
            if why.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("not ready within {within:?}: {}", why.join("; "));
            }
            stop.wait(Duration::from_millis(100));
        }
    }
}

/// Small memtables and short logs, so that minutes see what otherwise takes days: flushes, recycled logs, compactions.
fn config(node: &Node, nodes: u32, set: &[String]) -> String {
    let peers: Vec<_> = (1..=nodes).map(|id| format!("\"{id}@{}:10092\"", address(id))).collect();
    let mut lines = vec![
        ("node.id", node.id().to_string()),
        ("cluster.id", "\"jepsen\"".to_owned()),
        ("cluster.nodes", format!("[{}]", peers.join(", "))),
        ("listeners", format!("\"PLAINTEXT://{}\"", node.listener())),
        ("admin.listener", format!("\"{}\"", node.admin_listener())),
        ("log.dirs", format!("{:?}", node.data().display().to_string())),
        ("auto.create.topics.enable", "false".to_owned()),
        ("memory.limit", (256 << 20).to_string()),
        ("storage.log.memtable.bytes", (1 << 20).to_string()),
        ("log.cleaner.dedupe.buffer.size", (4 << 20).to_string()),
        ("coordinator.shards", "4".to_owned()),
        ("group.initial.rebalance.delay.ms", "500".to_owned()),
        ("log.level", "\"info\"".to_owned()),
    ];
    for (key, value) in set.iter().filter_map(|setting| setting.split_once('=')) {
        lines.retain(|(other, _)| *other != key);
        lines.push((key, format!("{value:?}")));
    }
    lines.into_iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

const START_WITHIN: Duration = Duration::from_secs(60);
