//! What was heard from whom, merged. Pure.

use std::collections::{HashMap, HashSet};

use caudal_types::{LeaderEpoch, NodeId, RaftGroupId};

use super::Leader;
use super::message::{Announcement, Claim};

/// All that this node knows.
#[derive(Debug, Default)]
pub(super) struct Entries {
    groups: HashMap<RaftGroupId, Entry>,
    sessions: HashMap<NodeId, Session>,
}

/// The newest epoch heard of, and its leader, while it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    epoch: LeaderEpoch,
    leader: Option<NodeId>,
}

/// How far a peer was heard.
#[derive(Clone, Copy, Debug)]
struct Session {
    incarnation: u64,
    sequence: u64,
}

/// What an announcement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Something is different now.
    pub(super) changed: bool,
    /// The sender has started anew: it knows nothing of what it was told before.
    pub(super) new_incarnation: bool,
    /// It builds on messages that never came: the sender must tell everything.
    pub(super) incomplete: bool,
}

impl Entries {
    pub(super) fn leader(&self, group: RaftGroupId) -> Option<Leader> {
        let entry = self.groups.get(&group)?;
        Some(Leader { node: entry.leader?, epoch: entry.epoch })
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn epoch(&self, group: RaftGroupId) -> Option<LeaderEpoch> {
        self.groups.get(&group).map(|entry| entry.epoch)
    }

    /// Takes an announcement. One that is older than what was heard from the same incarnation changes nothing.
    pub(super) fn hear(&mut self, from: NodeId, announcement: &Announcement) -> Heard {
        let known = self.sessions.get(&from).filter(|session| session.incarnation == announcement.incarnation);
        let mut heard = Heard { new_incarnation: known.is_none(), ..Heard::default() };
        match known {
            Some(session) if announcement.sequence <= session.sequence => return heard,
            None if !announcement.full => {
                heard.incomplete = true;
                return heard;
            }
            _ => {}
        }
        let session = Session { incarnation: announcement.incarnation, sequence: announcement.sequence };
        self.sessions.insert(from, session);
        if announcement.full {
            heard.changed |= self.retain_claimed(from, &announcement.claims);
        }
        for claim in &announcement.claims {
            heard.changed |= self.merge(from, *claim);
        }
        heard
    }

    /// Takes one claim of `node`; tells whether it changed something.
    pub(super) fn merge(&mut self, node: NodeId, claim: Claim) -> bool {
        let entry = self.groups.get(&claim.group).copied();
        let new = match entry {
            Some(entry) if claim.epoch < entry.epoch => return false,
            Some(entry) if claim.leads => Entry { epoch: claim.epoch.max(entry.epoch), leader: Some(node) },
            Some(entry) if claim.epoch == entry.epoch && entry.leader != Some(node) => return false,
            Some(_) => Entry { epoch: claim.epoch, leader: None },
            None if claim.leads => Entry { epoch: claim.epoch, leader: Some(node) },
            // Nothing was known, and nothing is to be known: most likely the group was removed.
            None => return false,
        };
        self.groups.insert(claim.group, new);
        entry != Some(new)
    }

    /// Takes all leaderships of `node` away that it does not claim.
    fn retain_claimed(&mut self, node: NodeId, claims: &[Claim]) -> bool {
        let claimed: HashSet<RaftGroupId> = claims.iter().map(|claim| claim.group).collect();
        let mut changed = false;
        for (group, entry) in &mut self.groups {
            if entry.leader == Some(node) && !claimed.contains(group) {
                entry.leader = None;
                changed = true;
            }
        }
        changed
    }

    pub(super) fn forget(&mut self, groups: &[RaftGroupId]) {
        for group in groups {
            self.groups.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: RaftGroupId = RaftGroupId(7);
    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    fn claim(epoch: LeaderEpoch, leads: bool) -> Claim {
        Claim { group: GROUP, epoch, leads }
    }

    fn announcement(incarnation: u64, sequence: u64, full: bool, claims: &[Claim]) -> Announcement {
        Announcement { incarnation, sequence, full, claims: claims.to_vec() }
    }

    fn leader(node: NodeId, epoch: LeaderEpoch) -> Option<Leader> {
        Some(Leader { node, epoch })
    }

    #[test]
    fn an_epoch_never_goes_back() {
        let mut entries = Entries::default();
        assert!(entries.merge(ONE, claim(5, true)));
        assert!(!entries.merge(TWO, claim(4, true)));
        assert_eq!(entries.leader(GROUP), leader(ONE, 5));
        assert!(entries.merge(TWO, claim(6, true)));
        assert!(!entries.merge(ONE, claim(5, false)));
        assert_eq!(entries.leader(GROUP), leader(TWO, 6));
        assert!(entries.merge(TWO, claim(6, false)));
        assert_eq!((entries.leader(GROUP), entries.epoch(GROUP)), (None, Some(6)));
        assert!(!entries.merge(ONE, claim(5, true)));
        assert_eq!(entries.leader(GROUP), None);
    }

    #[test]
    fn only_the_leader_itself_gives_its_leadership_up() {
        let mut entries = Entries::default();
        entries.merge(ONE, claim(5, true));
        assert!(!entries.merge(TWO, claim(5, false)));
        assert_eq!(entries.leader(GROUP), leader(ONE, 5));
        assert!(!entries.merge(TWO, Claim { group: RaftGroupId(8), epoch: 1, leads: false }));
        assert_eq!(entries.epoch(RaftGroupId(8)), None);
    }

    #[test]
    fn late_messages_change_nothing() {
        let mut entries = Entries::default();
        assert!(entries.hear(ONE, &announcement(9, 1, true, &[])).new_incarnation);
        assert!(entries.hear(ONE, &announcement(9, 3, false, &[claim(5, true)])).changed);
        assert_eq!(entries.hear(ONE, &announcement(9, 2, false, &[claim(5, false)])), Heard::default());
        assert_eq!(entries.leader(GROUP), leader(ONE, 5));
    }

    #[test]
    fn a_change_without_what_it_builds_on_asks_for_everything() {
        let mut entries = Entries::default();
        let heard = entries.hear(ONE, &announcement(9, 4, false, &[claim(5, true)]));
        assert!(heard.incomplete && heard.new_incarnation && !heard.changed);
        assert!(entries.hear(ONE, &announcement(9, 5, true, &[claim(5, true)])).changed);
        assert!(entries.hear(ONE, &announcement(10, 1, false, &[])).incomplete);
    }

    #[test]
    fn a_node_that_started_anew_leads_only_what_it_claims() {
        let mut entries = Entries::default();
        entries.hear(ONE, &announcement(9, 1, true, &[claim(5, true)]));
        let heard = entries.hear(ONE, &announcement(3, 1, true, &[]));
        assert!(heard.changed && heard.new_incarnation && !heard.incomplete);
        assert_eq!((entries.leader(GROUP), entries.epoch(GROUP)), (None, Some(5)));
        entries.hear(TWO, &announcement(1, 1, true, &[claim(6, true)]));
        assert!(!entries.hear(ONE, &announcement(3, 2, true, &[])).changed);
        assert_eq!(entries.leader(GROUP), leader(TWO, 6));
        entries.forget(&[GROUP]);
        assert_eq!(entries.epoch(GROUP), None);
    }
}
