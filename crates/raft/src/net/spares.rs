//! Which followers may sync later, since nobody waits for them: the leader and as many of the others as make a majority with it are enough to commit. What
//! is decided here is by when a follower syncs, never what its answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use caudal_types::{NodeId, limits};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::types::raft_id;

/// What the leader of a Raft group knows of which followers have to hurry.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    /// By when a spare follower syncs; when this is zero there are none.
    within: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Those that make a majority with the leader.
    needed: Vec<u64>,
    /// The others, as long as those that are needed are alive.
    spare: Vec<u64>,
    /// Since when a follower owes an answer. As many as there are nodes.
    owing: BTreeMap<u64, Instant>,
    /// More than a majority is waited for.
    all_awaited: bool,
}

impl Spares {
    pub(crate) fn new(within: Duration) -> Self {
        Self { within, seen: Mutex::default() }
    }

    /// Looks who takes part, and who of them is alive. While the members change, those that are named as needed may be too few for both majorities: commits
    /// then wait until a spare follower has synced.
    pub(crate) fn look(&self, group: u64, me: NodeId, voters: &[NodeId], is_alive: impl Fn(NodeId) -> bool) {
        let Some(mut seen) = self.seen() else { return };
        let (needed, spare) = divide(group, me, voters);
        let all_alive = needed.iter().all(|node| is_alive(*node));
        let ids = |nodes: Vec<NodeId>| nodes.into_iter().map(raft_id).collect();
        seen.needed = ids(needed);
        seen.spare = if all_alive { ids(spare) } else { Vec::new() };
    }

    /// From now on more than a majority is waited for, until the replica is opened anew.
    pub(crate) fn await_all(&self) {
        if let Some(mut seen) = self.seen() {
            seen.all_awaited = true;
        }
    }

    /// `target` is sent something at the time `at`.
    pub(crate) fn sent(&self, target: u64, at: Instant) {
        if let Some(mut seen) = self.seen() {
            seen.owing.entry(target).or_insert(at);
        }
    }

    /// `target` has answered; `oldest` is when the first of what it owes now was sent. A node that fails to answer goes on owing.
    pub(crate) fn answered(&self, target: u64, oldest: Option<Instant>) {
        let Some(mut seen) = self.seen() else { return };
        match oldest {
            Some(oldest) => {
                seen.owing.insert(target, oldest);
            }
            None => {
                seen.owing.remove(&target);
            }
        }
    }

    /// Within how many milliseconds `target` has to sync what it is sent now; 0 is at once.
    pub(crate) fn sync_within_ms(&self, target: u64) -> u32 {
        let Some(seen) = self.seen() else { return 0 };
        let late = |node: &u64, after: Duration| seen.owing.get(node).is_some_and(|since| since.elapsed() > after);
        let after = limits::FOLLOWER_LATE_AFTER;
        let may_wait = !seen.all_awaited
            && seen.spare.contains(&target)
            && !seen.needed.iter().any(|node| late(node, after))
            && !late(&target, after + self.within);
        if may_wait { u32::try_from(self.within.as_millis()).unwrap_or(u32::MAX) } else { 0 }
    }

    /// Nothing when there are no spare followers anyway.
    fn seen(&self) -> Option<MutexGuard<'_, Seen>> {
        (!self.within.is_zero()).then(|| self.seen.lock())
    }
}

/// The followers that make a majority with the leader `me`, and the others. Each group begins with another one, so that every node is spare in its share.
fn divide(group: u64, me: NodeId, voters: &[NodeId]) -> (Vec<NodeId>, Vec<NodeId>) {
    if !voters.contains(&me) {
        return (Vec::new(), Vec::new());
    }
    let mut needed: Vec<NodeId> = voters.iter().copied().filter(|node| *node != me).collect();
    needed.sort_unstable();
    let first = group % needed.len().max(1) as u64;
    needed.rotate_left(usize::try_from(first).unwrap_or_default());
    let spare = needed.split_off(voters.len() / 2);
    (needed, spare)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(3600);
    /// Group 4 begins with the first follower: node 2 is needed, node 3 spare.
    const GROUP: u64 = 4;

    fn nodes(ids: impl IntoIterator<Item = u32>) -> Vec<NodeId> {
        ids.into_iter().map(NodeId).collect()
    }

    fn spares() -> Spares {
        let spares = Spares::new(WITHIN);
        spares.look(GROUP, NodeId(1), &nodes([1, 2, 3]), |_| true);
        spares
    }

    fn late() -> Instant {
        Instant::now().checked_sub(limits::FOLLOWER_LATE_AFTER * 2).unwrap()
    }

    #[test]
    fn a_majority_has_to_hurry() {
        for (count, needed, spare) in [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 1), (5, 2, 2)] {
            let divided = divide(7, NodeId(1), &nodes(1..=count));
            assert_eq!((divided.0.len(), divided.1.len()), (needed, spare), "{count} voters");
        }
        assert_eq!(divide(7, NodeId(9), &nodes(1..=3)), (vec![], vec![]), "the leader does not count");
    }

    #[test]
    fn every_node_is_spare_in_its_share() {
        let mut shares = BTreeMap::<NodeId, u32>::new();
        for (group, leader) in (0..60).zip((1..=3).cycle()) {
            *shares.entry(divide(group, NodeId(leader), &nodes(1..=3)).1[0]).or_default() += 1;
        }
        assert_eq!(shares.into_values().collect::<Vec<_>>(), [20, 20, 20]);
    }

    #[test]
    fn nobody_may_wait_when_one_that_is_needed_is_gone_or_late() {
        let spares = spares();
        let bound = u32::try_from(WITHIN.as_millis()).unwrap();
        assert_eq!([2, 3, 4].map(|node| spares.sync_within_ms(node)), [0, bound, 0]);
        spares.look(GROUP, NodeId(1), &nodes([1, 2, 3]), |node| node != NodeId(2));
        assert_eq!(spares.sync_within_ms(3), 0);
        spares.look(GROUP, NodeId(1), &nodes([1, 2, 3]), |_| true);
        assert_eq!(spares.sync_within_ms(3), bound);
        spares.sent(2, late());
        assert_eq!(spares.sync_within_ms(3), 0);
        spares.answered(2, Some(late()));
        assert_eq!(spares.sync_within_ms(3), 0, "it has answered something, and is late with the next");
        spares.answered(2, None);
        assert_eq!(spares.sync_within_ms(3), bound);
        spares.sent(3, late());
        assert_eq!(spares.sync_within_ms(3), bound, "it has its time");
        spares.await_all();
        assert_eq!(spares.sync_within_ms(3), 0);
    }

    #[test]
    fn a_spare_follower_that_is_late_itself_has_to_hurry() {
        let spares = Spares::new(Duration::from_millis(1));
        spares.look(GROUP, NodeId(1), &nodes([1, 2, 3]), |_| true);
        assert_eq!(spares.sync_within_ms(3), 1);
        spares.sent(3, late());
        assert_eq!(spares.sync_within_ms(3), 0);
    }

    #[test]
    fn it_can_be_switched_off() {
        let spares = Spares::default();
        spares.look(GROUP, NodeId(1), &nodes([1, 2, 3]), |_| true);
        spares.sent(2, late());
        assert_eq!(spares.sync_within_ms(3), 0);
    }
}
