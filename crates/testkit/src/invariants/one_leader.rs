//! No two leaders in an epoch. Looked for in every Raft group, tables too.

use std::collections::BTreeMap;

use caudal_types::{NodeId, RaftGroupId};

use super::{Invariant, World};

/// The invariant, with who has led in which term.
#[derive(Debug, Default)]
pub struct OneLeader {
    leaders: BTreeMap<(RaftGroupId, u64), NodeId>,
}

impl Invariant for OneLeader {
    fn name(&self) -> &'static str {
        "one_leader"
    }

    fn check(&mut self, world: &World<'_>) -> Result<(), String> {
        for view in world.views {
            for group in &view.groups {
                let (id, now) = (group.raft.id(), group.leadership);
                if now.leader != Some(view.node) {
                    continue;
                }
                let known = *self.leaders.entry((id, now.term)).or_insert(view.node);
                if known != view.node {
                    let (term, node) = (now.term, view.node);
                    return Err(format!("Raft group {id}, term {term}: nodes {known} and {node} both have led"));
                }
            }
        }
        Ok(())
    }
}
