//! Raft groups without a leader get one. Nobody else sees to it: openraft's own clock stands still.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::RaftGroupId;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::manage::{Shared, campaign};
use crate::{Leadership, RaftGroup};

/// How much later each next voter campaigns.
const STAGGER: Duration = Duration::from_millis(100);
/// How many campaigns are under way at a time: on a machine that is too busy to elect leaders, more campaigns only make it busier.
const AT_A_TIME: usize = 256;

/// The groups that have no leader, as far as this node knows.
pub(crate) struct Leaderless {
    shared: Arc<Shared>,
    groups: HashMap<RaftGroupId, Waiting>,
    room: Arc<Semaphore>,
}

/// A group that waits for a leader.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When this node campaigns next.
    next: Instant,
    /// How long it waits after that; twice as long each time.
    pause: Duration,
    /// The term at the last look.
    term: u64,
}

impl Leaderless {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, groups: HashMap::new(), room: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Looks at every group.
    pub(crate) fn look_at_all(&mut self) {
        self.groups.clear();
        for group in self.shared.all() {
            self.changed(group.id(), group.state.leader_now());
        }
    }

    /// A group's leadership changed.
    pub(crate) fn changed(&mut self, group: RaftGroupId, leadership: Leadership) {
        if leadership.leader.is_some() {
            self.groups.remove(&group);
        } else {
            let first = || Waiting { next: Instant::now() + STAGGER, pause: STAGGER, term: leadership.term };
            self.groups.entry(group).or_insert_with(first);
        }
    }

    /// Campaigns for the groups whose turn it is.
    pub(crate) fn campaign(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.groups.iter().filter(|(_, waiting)| waiting.next <= now).map(|(id, _)| *id).collect();
        for id in due {
            let Some(group) = self.shared.get(id) else {
                self.groups.remove(&id);
                continue;
            };
            let Ok(permit) = self.room.clone().try_acquire_owned() else { return };
            let (Some(waiting), patience) = (self.groups.get_mut(&id), self.shared.config.election_timeout) else {
                continue;
            };
            let Some(turn) = turn(&self.shared, &group) else {
                waiting.next = now + patience;
                continue;
            };
            let first = waiting.pause == STAGGER;
            let campaigning = std::mem::replace(&mut waiting.term, group.state.leader_now().term) != waiting.term;
            waiting.next = now + waiting.pause * (turn + 1);
            waiting.pause = (waiting.pause * 2).min(patience);
            // Those before this node in the group's order have their chance first, and so has whoever campaigns already.
            if (turn == 0 || !first) && !campaigning {
                let shared = self.shared.clone();
                self.shared.tasks.spawn("raft campaign", async move {
                    stand(shared, group).await;
                    drop(permit);
                });
            }
        }
    }
}

/// How many live voters come before this node in a group's order; `None` when it does not vote, or does not want to lead.
fn turn(shared: &Shared, group: &RaftGroup) -> Option<u32> {
    let me = shared.me();
    let voters = group.members().voters;
    let live = voters.iter().filter(|node| shared.is_keen(**node));
    live.zip(0..).find(|(node, _)| **node == me).map(|(_, turn)| turn)
}

/// Campaigns, and waits a while for the outcome.
async fn stand(shared: Arc<Shared>, group: Arc<RaftGroup>) {
    let mut leadership = group.leadership();
    if leadership.borrow_and_update().leader.is_none() {
        campaign::stand(&shared, &group).await;
        let _ = timeout(STAGGER, leadership.wait_for(|now| now.leader.is_some())).await;
    }
}
