//! How many replicas are in sync, where `min.insync.replicas` asks for more than the majority that commits anyway.

use caudal_raft::GroupStatus;
use caudal_types::{NodeId, TimestampMs};
use parking_lot::Mutex;

/// A follower that lacks what was applied this long ago is not in sync, in milliseconds.
const LAG_MS: i64 = 10_000;

/// What the log had at two moments, at least [`LAG_MS`] apart: a follower is in sync when it has what the log had at the earlier one.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    term: u64,
    earlier: u64,
    later: u64,
    later_at: TimestampMs,
}

/// Follows a leader's log over time.
#[derive(Debug, Default)]
pub(crate) struct InSync(Mutex<Marks>);

impl InSync {
    /// The voters, this node among them, that are alive and have what the log had [`LAG_MS`] ago.
    pub(crate) fn count(
        &self,
        me: NodeId,
        status: &GroupStatus,
        now: TimestampMs,
        is_alive: impl Fn(NodeId) -> bool,
    ) -> usize {
        let mine = usize::from(status.members.voters.contains(&me));
        self.followers(me, status, now, is_alive).len() + mine
    }

    /// The other voters that are alive and have what the log had [`LAG_MS`] ago, with the last index that each has.
    pub(crate) fn followers(
        &self,
        me: NodeId,
        status: &GroupStatus,
        now: TimestampMs,
        is_alive: impl Fn(NodeId) -> bool,
    ) -> Vec<(NodeId, u64)> {
        let enough = self.mark(status, now);
        let follows = |node: &NodeId| *node != me && status.members.voters.contains(node);
        let in_sync = |(node, index): &(NodeId, u64)| follows(node) && *index >= enough && is_alive(*node);
        status.matched.iter().copied().filter(in_sync).collect()
    }

    fn mark(&self, status: &GroupStatus, now: TimestampMs) -> u64 {
        let mut marks = self.0.lock();
        let fresh = Marks {
            term: status.leadership.term,
            earlier: status.applied_index,
            later: status.applied_index,
            later_at: now,
        };
        if marks.term != fresh.term {
            *marks = fresh;
        } else if now.saturating_sub(marks.later_at) >= LAG_MS {
            *marks = Marks { earlier: marks.later, ..fresh };
        }
        marks.earlier
    }
}

#[cfg(test)]
mod tests {
    use caudal_raft::{Leadership, Members};

    use super::*;

    const ME: NodeId = NodeId(1);

    fn status(term: u64, applied_index: u64, matched: &[(u32, u64)]) -> GroupStatus {
        GroupStatus {
            members: Members { voters: vec![ME, NodeId(2), NodeId(3)], learners: vec![] },
            leadership: Leadership { leader: Some(ME), term, serving: true },
            last_log_index: applied_index,
            purged_index: 0,
            applied_index,
            matched: matched.iter().map(|&(node, index)| (NodeId(node), index)).collect(),
            failed: None,
            doubtful: false,
            unflushed: caudal_raft::Unflushed::default(),
        }
    }

    #[test]
    fn a_follower_may_lag_for_a_while() {
        let in_sync = InSync::default();
        let count = |applied, third, now| {
            in_sync.count(ME, &status(1, applied, &[(1, applied), (2, applied), (3, third)]), now, |_| true)
        };
        assert_eq!(count(100, 100, 0), 3);
        assert_eq!(count(200, 100, LAG_MS - 1), 3);
        assert_eq!(count(300, 100, LAG_MS), 3, "it has what the log had ten seconds ago");
        assert_eq!(count(400, 100, 2 * LAG_MS), 2);
        assert_eq!(count(400, 300, 2 * LAG_MS), 3);
    }

    #[test]
    fn the_dead_and_the_far_behind_do_not_count() {
        let in_sync = InSync::default();
        let all = [(1, 100), (2, 100), (3, 100)];
        assert_eq!(in_sync.count(ME, &status(1, 100, &all), 0, |node| node != NodeId(3)), 2);
        assert_eq!(in_sync.count(ME, &status(2, 100, &[(2, 5)]), 0, |_| true), 1);
    }
}
