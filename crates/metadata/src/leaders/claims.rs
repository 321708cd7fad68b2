//! What this node leads, and what changed since a peer last heard. Pure.

use std::collections::HashMap;

use caudal_types::{LeaderEpoch, RaftGroupId};

use super::message::Claim;

/// This node's own leaderships. There is no queue of changes: each claim bears the number of its last change, so that any number of changes of a
/// group is one message to a slow peer.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_group: HashMap<RaftGroupId, (Claim, u64)>,
    last_change: u64,
}

impl Claims {
    /// Notes that this node leads `group` since `epoch`, or that it does not. Returns the claim if it is news.
    pub(super) fn set(&mut self, group: RaftGroupId, leads_since: Option<LeaderEpoch>) -> Option<Claim> {
        let before = self.by_group.get(&group).map(|(claim, _)| *claim);
        let claim = match (leads_since, before) {
            (Some(epoch), _) => Claim { group, epoch, leads: true },
            (None, Some(before)) => Claim { leads: false, ..before },
            (None, None) => return None,
        };
        if before == Some(claim) {
            return None;
        }
        self.last_change += 1;
        self.by_group.insert(group, (claim, self.last_change));
        Some(claim)
    }

    /// The groups that this node leads.
    pub(super) fn led(&self) -> Vec<RaftGroupId> {
        self.by_group.values().filter(|(claim, _)| claim.leads).map(|(claim, _)| claim.group).collect()
    }

    /// What changed behind the change `cursor` (all that is led, without one), and the number of the last change.
    pub(super) fn since(&self, cursor: Option<u64>) -> (Vec<Claim>, u64) {
        let news = |(claim, change): &&(Claim, u64)| cursor.map_or(claim.leads, |cursor| *change > cursor);
        (self.by_group.values().filter(news).map(|(claim, _)| *claim).collect(), self.last_change)
    }

    pub(super) fn forget(&mut self, groups: &[RaftGroupId]) {
        for group in groups {
            self.by_group.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: RaftGroupId = RaftGroupId(7);

    #[test]
    fn each_peer_gets_what_it_has_not_heard() {
        let mut claims = Claims::default();
        assert_eq!(claims.set(GROUP, None), None);
        let claim = claims.set(GROUP, Some(3)).unwrap();
        assert_eq!(claims.set(GROUP, Some(3)), None);
        assert_eq!(claims.since(None), (vec![claim], 1));
        assert_eq!(claims.since(Some(0)), (vec![claim], 1));
        assert_eq!(claims.since(Some(1)), (vec![], 1));
        claims.set(GROUP, Some(5));
        let lost = claims.set(GROUP, None).unwrap();
        assert_eq!(lost, Claim { group: GROUP, epoch: 5, leads: false });
        assert_eq!(claims.since(Some(1)), (vec![lost], 3));
        assert_eq!(claims.since(None), (vec![], 3));
        assert_eq!(claims.led(), []);
        claims.forget(&[GROUP]);
        assert_eq!(claims.since(Some(0)), (vec![], 3));
    }
}
