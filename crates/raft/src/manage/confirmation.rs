//! Followers of quiet groups hear nothing of their leaders. Every now and then, and when it has opened a group, a node asks each other one, for all
//! groups together, whether it still leads what it is believed to lead. A leader that finds that the asker has missed something shows itself.
//! A node that starts knows from its disk who led, but not whether that one is there: it does not lead if it gives no sign of life. Nothing else tells:
//! a node is lost only to those who have seen it alive.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use caudal_types::{NodeId, RaftGroupId};
use tokio::time::Instant;

use crate::RaftGroup;
use crate::manage::Shared;
use crate::wire::{Believed, Request, Response};

/// How long a question waits after a group was opened: others are opened with it.
pub(crate) const SOON: Duration = Duration::from_millis(50);
/// How often to ask.
pub(crate) const EVERY: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const WITHIN: Duration = Duration::from_secs(1);
/// The most groups in one question.
const TOGETHER_MAX: usize = 8192;

/// Asks, and remembers who denied: a leader that denies twice in a row, or is not there for a while, does not lead.
#[derive(Debug, Default)]
pub(crate) struct Confirmation {
    denied: HashMap<RaftGroupId, u64>,
    /// Since when nodes give no sign of life.
    silent: HashMap<NodeId, Instant>,
}

impl Confirmation {
    /// Asks all nodes that are believed to lead something.
    pub(crate) async fn round(&mut self, shared: &Arc<Shared>) {
        let mut believed: HashMap<NodeId, Vec<Believed>> = HashMap::new();
        for group in shared.all() {
            if let Some((leader, term)) = group.state.named_leader().filter(|(leader, _)| *leader != shared.me()) {
                let applied = group.state.applied_now();
                believed.entry(leader).or_default().push(Believed { group: group.id().0, term, applied });
            }
        }
        let before = std::mem::take(&mut self.denied);
        for (leader, led) in believed {
            let mut doubted = 0;
            for led in led.chunks(TOGETHER_MAX) {
                let answer = ask(shared, leader, led).await;
                let gone = self.is_gone(shared, leader, answer.is_some());
                let Some(denied) = answer.or_else(|| gone.then(HashSet::new)) else { continue };
                for (place, Believed { group, term, .. }) in (0u32..).zip(led) {
                    let Some(group) = shared.get(RaftGroupId(*group)) else { continue };
                    if gone || (denied.contains(&place) && before.get(&group.id()) == Some(term)) {
                        doubted += usize::from(group.state.leader_now().leader == Some(leader));
                        group.state.doubt(*term);
                    } else if denied.contains(&place) {
                        self.denied.insert(group.id(), *term);
                    } else {
                        group.state.trust(*term, || shared.is_alive(leader));
                    }
                }
            }
            if doubted > 0 {
                tracing::warn!(node = %leader, groups = doubted, "a node does not lead what it was believed to lead");
            }
        }
    }

    /// Whether a node has given no sign of life for as long as an election may take.
    fn is_gone(&mut self, shared: &Shared, node: NodeId, answers: bool) -> bool {
        if answers || shared.is_alive(node) {
            self.silent.remove(&node);
            return false;
        }
        self.silent.entry(node).or_insert_with(Instant::now).elapsed() >= shared.config.election_timeout
    }
}

/// The places of the groups that `node` does not lead; `None` when it does not answer.
async fn ask(shared: &Shared, leader: NodeId, led: &[Believed]) -> Option<HashSet<u32>> {
    match shared.ask(leader, &Request::Confirm(led.to_vec()), WITHIN).await? {
        Response::Denied(places) => Some(places.into_iter().collect()),
        _ => None,
    }
}

/// The places of what this node does not lead.
pub(crate) async fn denied(shared: &Shared, led: &[Believed]) -> Vec<u32> {
    let mut denied = Vec::new();
    for (place, believed) in (0u32..).zip(led) {
        let group = shared.get(RaftGroupId(believed.group));
        let leads = |group: &RaftGroup| group.state.named_leader().filter(|(leader, _)| *leader == shared.me());
        let Some((group, (_, term))) = group.and_then(|group| leads(&group).map(|led| (group, led))) else {
            denied.push(place);
            continue;
        };
        if term != believed.term || group.state.applied_now() > believed.applied {
            // A group that is stopping has no need of a leader.
            let _ = group.raft.trigger().heartbeat().await;
        }
    }
    denied
}
