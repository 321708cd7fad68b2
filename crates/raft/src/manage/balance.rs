//! Leaderships go back to the preferred leaders, and away from a node that stops or whose disk is full.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::NodeId;
use futures::StreamExt;
use futures::stream;
use tokio::time::{Instant, sleep};

use crate::RaftGroup;
use crate::manage::Shared;

/// How many groups are given back in one step.
const STEP: usize = 64;
/// How many entries the next leader may lack.
const LAG: u64 = 1000;
/// How many groups are handed over at a time when the node stops.
const AT_A_TIME: usize = 128;

/// Gives leaderships back.
pub(crate) struct Balance {
    shared: Arc<Shared>,
    /// A node that has only just come does not know who else has, and all have when a whole cluster starts.
    began: Instant,
    /// The nodes that were fit to lead at the last step already: one that has only just come has other things to do.
    settled: HashSet<NodeId>,
}

impl Balance {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, began: Instant::now(), settled: HashSet::new() }
    }

    /// Gives some leaderships back to preferred leaders that are alive and have caught up, or to whoever wants them if this node does not.
    pub(crate) fn step(&mut self) {
        if self.shared.is_keen(self.shared.me()) { self.give_back() } else { self.give_away() }
    }

    /// What nobody else wants stays here.
    fn give_away(&self) {
        let wanted = |group: Arc<RaftGroup>| {
            let to = successor(&self.shared, &group).filter(|to| self.shared.is_keen(*to))?;
            (lag(&group, to)? <= LAG).then_some((group, to))
        };
        self.start(self.at_rest().filter_map(wanted));
    }

    fn give_back(&mut self) {
        let peers = self.shared.transport.peers().map(|peer| peer.node());
        let (liveness, after) = (self.shared.transport.liveness_table(), self.shared.config.rebalance_after);
        if self.began.elapsed() < after {
            return;
        }
        let alive: HashSet<_> = peers.filter(|node| liveness.is_settled(*node, after)).collect();
        let settled = std::mem::replace(&mut self.settled, alive);
        let settled: HashSet<_> = settled.intersection(&self.settled).copied().collect();
        if settled.is_empty() {
            return;
        }
        let preferred = |group: Arc<RaftGroup>| {
            let first = group.members().voters.first().copied()?;
            let fit = settled.contains(&first) && group.state.leader_now().serving && lag(&group, first)? <= LAG;
            fit.then_some((group, first))
        };
        self.start(self.at_rest().filter_map(preferred));
    }

    /// What is led here and not handed over already: a hand-over takes longer than a step when nobody takes over.
    fn at_rest(&self) -> impl Iterator<Item = Arc<RaftGroup>> {
        self.shared.led_here().into_iter().filter(|group| !group.is_handing_over())
    }

    fn start(&self, moves: impl Iterator<Item = (Arc<RaftGroup>, NodeId)>) {
        let moves: Vec<_> = moves.take(STEP).collect();
        if !moves.is_empty() {
            self.shared.tasks.spawn("raft balance", hand_over(moves));
        }
    }
}

/// Whether a node may be given the leadership of a group that is led here; else why not.
pub(crate) fn is_fit(shared: &Shared, group: &RaftGroup, node: NodeId) -> Result<(), String> {
    if !shared.is_alive(node) {
        return Err(format!("node {node} is not alive"));
    }
    if !shared.is_keen(node) {
        return Err(format!("node {node} takes no leaderships: it is about to stop, or its disk is full"));
    }
    match lag(group, node) {
        Some(lag) if lag <= LAG => Ok(()),
        Some(lag) => Err(format!("node {node} has not caught up: it lacks {lag} entries; try again when it has")),
        None => Err(format!("how far node {node} has caught up is not known yet; try again in a moment")),
    }
}

/// How many entries a node lacks, if it is known.
fn lag(group: &RaftGroup, node: NodeId) -> Option<u64> {
    let status = group.status();
    let matched = status.matched.iter().find(|(id, _)| *id == node)?.1;
    Some(status.last_log_index.saturating_sub(matched))
}

async fn hand_over(moves: Vec<(Arc<RaftGroup>, NodeId)>) {
    stream::iter(moves)
        .for_each_concurrent(AT_A_TIME, |(group, to)| async move {
            match group.transfer_leadership(to).await {
                Ok(()) => tracing::debug!(group = %group.id(), %to, "leadership moved"),
                Err(error) => tracing::debug!(group = %group.id(), %to, %error, "leadership did not move"),
            }
        })
        .await;
}

/// Hands over all leaderships to live followers that have caught up best, until none is left or the time is over.
pub(crate) async fn transfer_all(shared: &Shared, within: Duration) {
    // Or the others would give leaderships back.
    shared.transport.set_reluctant();
    let work = async {
        loop {
            let led = shared.led_here();
            let moves: Vec<_> =
                led.into_iter().filter_map(|group| Some((group.clone(), successor(shared, &group)?))).collect();
            if moves.is_empty() {
                return;
            }
            let began = Instant::now();
            hand_over(moves).await;
            // A transfer that failed at once must not be tried in a tight loop.
            sleep(Duration::from_millis(20).saturating_sub(began.elapsed())).await;
        }
    };
    if tokio::time::timeout(within, work).await.is_err() {
        tracing::warn!(left = shared.led_here().len(), "some leaderships could not be handed over in time");
    }
}

/// The live voter that lacks least; each group begins its search with another one.
fn successor(shared: &Shared, group: &RaftGroup) -> Option<NodeId> {
    let voters = group.members().voters;
    let begin = usize::try_from(group.id().0 % (voters.len().max(1) as u64)).unwrap_or_default();
    let others = voters.iter().cycle().skip(begin).take(voters.len()).filter(|node| **node != shared.me());
    let cost = |node: &NodeId| (!shared.is_keen(*node), lag(group, *node).unwrap_or(u64::MAX));
    others.filter(|node| shared.is_alive(**node)).min_by_key(|node| cost(node)).copied()
}
