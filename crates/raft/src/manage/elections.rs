//! Raft groups without a leader get one. openraft's own time-outs would see to it too, later: a group that was just created or opened
//! should not wait for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::RaftGroupId;
use rand::Rng;
use tokio::time::Instant;

use crate::manage::{Shared, opening};
use crate::{Leadership, RaftGroup};

/// How much later each next voter campaigns.
const STAGGER: Duration = Duration::from_millis(100);
/// How many groups campaign at a time.
const AT_A_TIME: usize = 512;

/// The groups that have no leader, as far as this node knows.
pub(crate) struct Leaderless {
    shared: Arc<Shared>,
    groups: HashMap<RaftGroupId, Waiting>,
}

/// A group that waits for a leader.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When this node campaigns next.
    next: Instant,
    /// When this node initialises the group, should nobody else have done so.
    initialize: Instant,
}

impl Leaderless {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, groups: HashMap::new() }
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
        } else if !self.groups.contains_key(&group) {
            let now = Instant::now();
            let patience = self.shared.config.election_timeout;
            let initialize = now + patience + patience.mul_f64(rand::rng().random());
            self.groups.insert(group, Waiting { next: now + STAGGER, initialize });
        }
    }

    /// Campaigns for the groups whose turn it is.
    pub(crate) fn campaign(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.groups.iter().filter(|(_, waiting)| waiting.next <= now).map(|(id, _)| *id).collect();
        for id in due.into_iter().take(AT_A_TIME) {
            let Some(group) = self.shared.get(id) else {
                self.groups.remove(&id);
                continue;
            };
            let Some(waiting) = self.groups.get_mut(&id) else { continue };
            match turn(&self.shared, &group) {
                None => waiting.next = now + self.shared.config.election_timeout,
                Some(turn) => {
                    let first_time = waiting.next + STAGGER * turn;
                    if turn > 0 && first_time > now && waiting.initialize > now {
                        waiting.next = first_time;
                        continue;
                    }
                    waiting.next = now + STAGGER * (turn + 1);
                    let initialize = waiting.initialize <= now;
                    self.shared.tasks.spawn("raft campaign", stand(group, initialize));
                }
            }
        }
    }
}

/// How many live voters come before this node in a group's order; `None` when it does not vote.
fn turn(shared: &Shared, group: &RaftGroup) -> Option<u32> {
    let me = shared.me();
    let voters = group.members().voters;
    let live = voters.iter().filter(|node| shared.is_alive(**node));
    live.zip(0..).find(|(node, _)| **node == me).map(|(_, turn)| turn)
}

/// Campaigns politely: nobody who has a leader is disturbed.
async fn stand(group: Arc<RaftGroup>, initialize: bool) {
    if initialize && group.log.is_pristine() {
        opening::initialize(&group).await;
    }
    if group.state.leader_now().leader.is_none() {
        // A group that is stopping has no need of a leader.
        let _ = group.raft.trigger().elect(true).await;
    }
}
