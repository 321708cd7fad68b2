//! Where replicas go: the client's choice checked, or ours made.

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_types::NodeId;
use rand::Rng;

use super::Facts;
use crate::placement::{Candidate, Load, place};
use crate::{MetadataError, NodeImage, RaftGroupImage, TopicImage};

/// The registered nodes with their loads, over all topics of a wish.
pub(super) struct Placer {
    candidates: Vec<Candidate>,
}

impl Placer {
    pub(super) fn new(facts: &Facts<'_>) -> Self {
        let loads = count(facts.image.groups());
        let candidate = |(id, node): (&NodeId, &Arc<NodeImage>)| Candidate {
            id: *id,
            rack: node.rack.clone(),
            alive: (facts.alive)(*id),
            total: loads.get(id).copied().unwrap_or_default(),
            here: Load::default(),
        };
        Self { candidates: facts.image.nodes.iter().map(candidate).collect() }
    }

    /// Places new partitions of `topic` (none yet if it is new): on nodes that are alive if there are enough, else on all that are registered.
    ///
    /// # Errors
    /// When there are fewer nodes than replicas wished for.
    pub(super) fn place(
        &mut self,
        name: &str,
        topic: Option<&TopicImage>,
        partitions: usize,
        replication_factor: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<Vec<NodeId>>, MetadataError> {
        let registered = self.candidates.len();
        if replication_factor > registered {
            return Err(MetadataError::InvalidReplicationFactor(format!(
                "Unable to replicate the partitions of '{name}' {replication_factor} time(s): only {registered} broker(s) \
                 are registered; ask for at most {registered}, or start more nodes"
            )));
        }
        let here = count(topic.iter().flat_map(|topic| &topic.partitions));
        for candidate in &mut self.candidates {
            candidate.here = here.get(&candidate.id).copied().unwrap_or_default();
        }
        let (mut alive, dead): (Vec<_>, Vec<_>) = self.candidates.drain(..).partition(|candidate| candidate.alive);
        let enough = alive.len() >= replication_factor;
        if !enough {
            alive.extend(dead.iter().cloned());
        }
        let placed = place(&mut alive, partitions, replication_factor, rng);
        self.candidates = alive;
        if enough {
            self.candidates.extend(dead);
        }
        Ok(placed)
    }

    /// Checks the replicas that a client has chosen for one partition, and counts them.
    ///
    /// # Errors
    /// When the list is empty, has a node twice or an unknown one, or another length than `expected`.
    pub(super) fn check(&mut self, nodes: &[NodeId], expected: Option<usize>) -> Result<(), MetadataError> {
        let refuse = |text: String| Err(MetadataError::InvalidReplicaAssignment(text));
        if nodes.is_empty() {
            return refuse("The assignment of a partition has no brokers; name at least one".to_owned());
        }
        for (position, node) in nodes.iter().enumerate() {
            if nodes[..position].contains(node) {
                return refuse(format!("The assignment of a partition has the broker {node} twice; name each once"));
            }
            if !self.candidates.iter().any(|candidate| candidate.id == *node) {
                return refuse(format!(
                    "The assignment of a partition has the broker {node}, which is not registered; the registered ones are {:?}",
                    self.registered()
                ));
            }
        }
        if let Some(expected) = expected
            && nodes.len() != expected
        {
            return refuse(format!(
                "The assignment of a partition has {} replica(s), while other partitions of the topic have {expected}; \
                 give all partitions the same number",
                nodes.len()
            ));
        }
        let alive = |node: &NodeId| self.candidates.iter().any(|candidate| candidate.id == *node && candidate.alive);
        if !nodes.iter().any(alive) {
            return refuse(
                "None of the brokers in the assignment of a partition is alive; name one that is".to_owned(),
            );
        }
        Ok(())
    }

    fn registered(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.candidates.iter().map(|candidate| candidate.id.0).collect();
        ids.sort_unstable();
        ids
    }
}

/// What each node holds of some Raft groups.
fn count<'a>(partitions: impl Iterator<Item = &'a RaftGroupImage>) -> BTreeMap<NodeId, Load> {
    let mut loads: BTreeMap<NodeId, Load> = BTreeMap::new();
    for partition in partitions {
        for node in &partition.replicas {
            loads.entry(*node).or_default().replicas += 1;
        }
        if let Some(leader) = partition.replicas.first() {
            loads.entry(*leader).or_default().leaders += 1;
        }
    }
    loads
}
