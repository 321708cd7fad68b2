//! Leaderships of a node that was lost are taken over at once, though by openraft's clock its lease may still run: no read here rests on
//! a lease.

use std::sync::Arc;
use std::time::Duration;

use caudal_types::NodeId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::TransferLeaderRequest;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::manage::Shared;
use crate::types::raft_id;
use crate::{Leadership, RaftGroup};

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
    let mut turns: Vec<Vec<(Arc<RaftGroup>, Leadership)>> = Vec::new();
    for group in shared.all() {
        let now = group.state.leader_now();
        let Some(turn) = turn(&shared, &group, lost).filter(|_| now.leader == Some(lost)) else { continue };
        turns.resize_with(turns.len().max(turn + 1), Vec::new);
        turns[turn].push((group, now));
    }
    let count: usize = turns.iter().map(Vec::len).sum();
    tracing::info!(node = %lost, groups = count, "taking over from a lost node");
    for (groups, turn) in turns.into_iter().zip(0u32..) {
        sleep_until(began + STAGGER * turn).await;
        let attempts = groups.into_iter().map(|(group, then)| take_over(shared.clone(), group, then, PATIENCE));
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
    let then = group.state.leader_now();
    let lost = then.leader.filter(|leader| *leader != shared.me() && !shared.is_alive(*leader));
    if lost.is_some_and(|lost| turn(&shared, &group, lost).is_some()) {
        take_over(shared, group, then, IMPATIENCE).await;
    }
}

/// Takes a group over, unless it has got another leader than it had `then`. `patience` is for the first round.
async fn take_over(shared: Arc<Shared>, group: Arc<RaftGroup>, then: Leadership, mut patience: Duration) {
    let mut leadership = group.leadership();
    let mut term = then.term;
    for _ in 0..ROUNDS {
        let now = *leadership.borrow_and_update();
        if now.leader.is_some() && now != then {
            return;
        }
        if now.term > term {
            // Somebody else campaigns; he has his chance.
            term = now.term;
        } else {
            attempt(&shared, &group, now).await;
        }
        let led = leadership.wait_for(|now| now.leader.is_some() && now.leader != then.leader);
        if timeout(patience, led).await.is_ok() {
            return;
        }
        // Two candidates that wait for the same time would meet again.
        sleep(IMPATIENCE.mul_f64(rand::random())).await;
        if group.raft.server_metrics().borrow_watched().vote.leader_id.voted_for == raft_id(shared.me()) {
            term = leadership.borrow().term;
        }
        patience = PATIENCE;
    }
}

async fn attempt(shared: &Shared, group: &RaftGroup, now: Leadership) {
    let me = raft_id(shared.me());
    let vote = group.raft.server_metrics().borrow_watched().vote;
    let asked = if now.leader.is_some() && vote.committed {
        // As if the lost leader had asked for it.
        let request = TransferLeaderRequest::new(vote, me, group.log.last());
        let asked = timeout(PATIENCE, group.raft.handle_transfer_leader(request)).await;
        asked.map(|handled| handled.map(drop)).unwrap_or(Ok(()))
    } else {
        group.raft.trigger().elect(false).await
    };
    if let Err(error) = asked {
        tracing::debug!(group = %group.id(), %error, "a Raft group cannot be taken over");
    }
}
