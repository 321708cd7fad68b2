//! Leaderships of a node that was lost are taken over at once.

use std::sync::Arc;
use std::time::Duration;

use caudal_types::NodeId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::RaftGroup;
use crate::manage::{Shared, campaign};
use crate::types::raft_id;

/// How long each candidate has before the next one tries.
const STAGGER: Duration = Duration::from_millis(250);
/// How long a campaign, one's own or another's, may take before the next one begins: some round trips and some flushes, on a disk
/// that may be slow.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long one waits who knows that the other candidate cannot win.
const IMPATIENCE: Duration = Duration::from_millis(30);
/// Rounds of one candidate. A round may fail for a vote that another candidate has given itself.
const ROUNDS: usize = 4;

/// Takes over this node's share of the groups that `lost` led: at once where this node is the first choice, a little later where those
/// before it did not succeed.
pub(crate) async fn run(shared: Arc<Shared>, lost: NodeId) {
    let began = Instant::now();
    let mut turns: Vec<Vec<Arc<RaftGroup>>> = Vec::new();
    for group in shared.all() {
        let Some((_, term)) = group.state.named_leader().filter(|(leader, _)| *leader == lost) else { continue };
        group.state.doubt(term);
        let Some(turn) = turn(&shared, &group, lost) else { continue };
        turns.resize_with(turns.len().max(turn + 1), Vec::new);
        turns[turn].push(group);
    }
    let count: usize = turns.iter().map(Vec::len).sum();
    tracing::info!(node = %lost, groups = count, "taking over from a lost node");
    for (groups, turn) in turns.into_iter().zip(0u32..) {
        sleep_until(began + STAGGER * turn).await;
        let attempts = groups.into_iter().map(|group| take_over(shared.clone(), group, PATIENCE));
        attempts.collect::<FuturesUnordered<_>>().collect::<()>().await;
    }
}

/// This node's place among those that may take a group over. Each group begins with another one, so that no node gets all. Without a
/// majority in sight it is this node that is lost, and a campaign would only disturb the others later.
fn turn(shared: &Shared, group: &RaftGroup, lost: NodeId) -> Option<usize> {
    let voters = group.members().voters;
    let begin = usize::try_from(group.id().0 % (voters.len().max(1) as u64)).unwrap_or_default();
    let order = voters.iter().cycle().skip(begin).take(voters.len());
    let live: Vec<_> = order.filter(|node| shared.is_alive(**node)).collect();
    if live.len() * 2 <= voters.len() {
        return None;
    }
    live.into_iter().filter(|node| **node != lost && shared.is_keen(**node)).position(|node| *node == shared.me())
}

/// Another candidate for a group whose leader is lost has asked for this replica's vote, though it lacks entries that are here.
pub(crate) async fn contend(shared: Arc<Shared>, group: Arc<RaftGroup>) {
    let lost = group.state.named_leader().map(|(leader, _)| leader).filter(|leader| *leader != shared.me());
    if lost.is_some_and(|lost| turn(&shared, &group, lost).is_some()) {
        take_over(shared, group, IMPATIENCE).await;
    }
}

/// Takes a group over, unless it has got another leader. `patience` is for the first round.
async fn take_over(shared: Arc<Shared>, group: Arc<RaftGroup>, mut patience: Duration) {
    let mut leadership = group.leadership();
    let mut term = leadership.borrow().term;
    for _ in 0..ROUNDS {
        let now = *leadership.borrow_and_update();
        if now.leader.is_some() {
            return;
        }
        if now.term > term {
            // Somebody else campaigns; he has his chance.
            term = now.term;
        } else {
            campaign::stand(&shared, &group).await;
        }
        if timeout(patience, leadership.wait_for(|now| now.leader.is_some())).await.is_ok() {
            return;
        }
        // Two candidates that wait for the same time would meet again.
        sleep(IMPATIENCE.mul_f64(rand::random())).await;
        if group.vote().leader_id.voted_for == raft_id(shared.me()) {
            term = leadership.borrow().term;
        }
        patience = PATIENCE;
    }
}
