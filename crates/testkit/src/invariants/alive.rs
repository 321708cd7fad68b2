//! After the faults everything is live within a bound: all nodes serve clients, every Raft group has a leader, every kind of client gets
//! on, and all replicas come to have the same.

use std::collections::BTreeMap;

use super::View;
use crate::cluster::Cluster;
use crate::workload::History;

/// The kinds of clients that must get on.
const KINDS: [&str; 9] =
    ["produce", "fetch", "latest", "commit", "offset fetch", "heartbeat", "transaction", "committed fetch", "trim"];

/// What is not live yet, after `before` was what clients had achieved when the faults ended.
pub fn missing(cluster: &Cluster, history: &History, before: &BTreeMap<&'static str, u64>) -> Vec<String> {
    let mut missing = Vec::new();
    for machine in cluster.machines.iter().filter(|machine| !machine.is_open()) {
        missing.push(format!("node {} serves no clients", machine.id));
    }
    for (node, running) in cluster.running() {
        let led = |group| running.parts.controller.leaders().leader(group).is_some();
        let unled = running.parts.controller.image().groups().filter(|group| !led(group.group)).count();
        if unled > 0 {
            missing.push(format!("node {node} knows no leader of {unled} Raft groups"));
        }
    }
    let now = history.progress();
    let achieved = |all: &BTreeMap<&'static str, u64>, kind: &str| all.get(kind).copied().unwrap_or_default();
    for kind in KINDS.into_iter().filter(|kind| achieved(&now, kind) < achieved(before, kind) + 3) {
        missing.push(format!("clients get nowhere: {kind}"));
    }
    missing
}

/// What is not at rest yet, when nobody writes any more.
pub fn restless(cluster: &Cluster) -> Vec<String> {
    let views: Vec<_> = cluster.running().into_iter().map(|(node, running)| View::new(node, &running)).collect();
    let mut applied: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for view in &views {
        for group in &view.groups {
            applied.entry(group.raft.id()).or_default().push((view.node, group.applied));
        }
    }
    let differ = |seen: &[(_, u64)]| seen.len() < views.len() || seen.iter().any(|(_, index)| *index != seen[0].1);
    let restless = applied.into_iter().filter(|(_, seen)| differ(seen));
    restless.map(|(group, seen)| format!("Raft group {group} is applied up to {seen:?}")).collect()
}
