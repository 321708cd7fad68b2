//! What a node's namespace drops: packets of those that it does not hear, and some at random.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use parking_lot::Mutex;

use super::shape::Deaf;
use super::{Network, address, run_with_input};

/// The rules in force.
#[derive(Debug, Default)]
pub struct Rules {
    nodes: Mutex<BTreeMap<u32, NodeRules>>,
}

#[derive(Clone, Debug, Default)]
struct NodeRules {
    deaf: BTreeSet<u32>,
    loss_percent: u32,
}

impl Rules {
    /// Partitions the nodes; an empty `deaf` ends it.
    ///
    /// # Errors
    /// When rules cannot be set.
    pub fn partition(&self, network: &Network, deaf: &Deaf) -> Result<()> {
        let mut nodes = self.nodes.lock();
        for node in 1..=network.nodes {
            let rules = nodes.entry(node).or_default();
            rules.deaf = deaf.get(&node).cloned().unwrap_or_default();
            apply(network, node, rules)?;
        }
        Ok(())
    }

    /// Makes a node lose a part of the packets that come in, from nodes and clients.
    ///
    /// # Errors
    /// When rules cannot be set.
    pub fn lose(&self, network: &Network, node: u32, percent: u32) -> Result<()> {
        let mut nodes = self.nodes.lock();
        let rules = nodes.entry(node).or_default();
        rules.loss_percent = percent;
        apply(network, node, rules)
    }
}

fn apply(network: &Network, node: u32, rules: &NodeRules) -> Result<()> {
    let mut text = "table inet jepsen {}\ndelete table inet jepsen\n".to_owned();
    text.push_str("table inet jepsen {\nchain in {\ntype filter hook input priority 0;\n");
    for other in &rules.deaf {
        text.push_str(&format!("ip saddr {} counter drop\n", address(*other)));
    }
    if rules.loss_percent > 0 {
        text.push_str(&format!("numgen random mod 100 < {} counter drop\n", rules.loss_percent));
    }
    text.push_str("}\n}\n");
    run_with_input("ip", &["netns", "exec", &network.node(node), "nft", "-f", "-"], &text).map(drop)
}
