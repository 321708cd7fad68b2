//! What watches over all Raft groups of a node: one task that acts, and one that asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_storage::StoreState;
use caudal_types::NodeId;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::manage::balance::Balance;
use crate::manage::confirmation::Confirmation;
use crate::manage::elections::Leaderless;
use crate::manage::{Shared, confirmation, takeover};

/// How often groups without a leader are looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// How often leaderships are balanced.
const BALANCE: Duration = Duration::from_millis(800);

/// Begins to watch. What the tasks know they find again when they are started anew, but for which losses of nodes were answered.
pub(crate) fn start(shared: &Arc<Shared>) {
    let answered = Losses::new(shared.transport.liveness_table().losses().borrow().clone());
    let (watched, answered) = (shared.clone(), Arc::new(answered));
    shared.tasks.supervise("raft overseer", move || run(watched.clone(), answered.clone()));
    let watched = shared.clone();
    shared.tasks.supervise("raft confirmation", move || confirm(watched.clone()));
}

/// How often each node was lost, as far as that was answered with takeovers.
type Losses = Mutex<BTreeMap<NodeId, u64>>;

/// Watches until the groups are shut down.
async fn run(shared: Arc<Shared>, answered: Arc<Losses>) {
    let mut changes = shared.changes.subscribe();
    let mut losses = shared.transport.liveness_table().losses();
    let mut store = shared.writer.state();
    let mut liveness = shared.transport.liveness_table().shown();
    let mut leaderless = Leaderless::new(shared.clone());
    let mut balance = Balance::new(shared.clone());
    let mut looks = interval(LOOK);
    let mut balancing = interval(BALANCE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    balancing.set_missed_tick_behavior(MissedTickBehavior::Delay);
    leaderless.look_at_all();
    let seen = losses.borrow_and_update().clone();
    take_over(&shared, &answered, seen);
    look_for_quorums(&shared);
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok((group, leadership)) => leaderless.changed(group, leadership),
                Err(RecvError::Lagged(_)) => leaderless.look_at_all(),
                Err(RecvError::Closed) => return,
            },
            lost = losses.changed() => {
                if lost.is_err() {
                    return;
                }
                let seen = losses.borrow_and_update().clone();
                take_over(&shared, &answered, seen);
            }
            Ok(()) = liveness.changed() => {
                liveness.mark_unchanged();
                look_for_quorums(&shared);
            }
            Ok(()) = store.changed() => note_store(&store.borrow_and_update()),
            _ = looks.tick(), if !leaderless.is_empty() => leaderless.campaign(),
            _ = balancing.tick() => balance.step(),
        }
    }
}

/// Asks for ever whether the leaders that are believed to lead still do.
async fn confirm(shared: Arc<Shared>) {
    let mut confirmation = Confirmation::default();
    let mut rounds = interval(confirmation::EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = shared.opened.notified() => sleep(confirmation::SOON).await,
        }
        confirmation.round(&shared).await;
    }
}

/// Takes over from each node that was lost since that was answered last.
fn take_over(shared: &Arc<Shared>, answered: &Losses, seen: BTreeMap<NodeId, u64>) {
    let before = std::mem::replace(&mut *answered.lock(), seen.clone());
    for node in newly_lost(&before, &seen) {
        shared.tasks.spawn("raft takeover", takeover::run(shared.clone(), node));
    }
}

/// Which nodes are alive may have changed.
fn look_for_quorums(shared: &Shared) {
    shared.all().iter().for_each(|group| shared.look_for_quorum(group));
}

fn newly_lost(before: &BTreeMap<NodeId, u64>, now: &BTreeMap<NodeId, u64>) -> Vec<NodeId> {
    let lost = now.iter().filter(|(node, count)| before.get(node) != Some(count));
    lost.map(|(node, _)| *node).collect()
}

/// A node whose disk takes no writes tells so with its pings, and the others lead in its place.
fn note_store(state: &StoreState) {
    if *state != StoreState::Writable {
        tracing::error!(?state, "the store takes no writes: this node gives its leaderships up");
    }
}
