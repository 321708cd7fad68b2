//! What a Raft group shows to the outside: who leads, and how far it is applied.

use caudal_types::{NodeId, RaftGroupId};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::Leadership;

/// Joins what openraft says about the leader with what the state machine has applied.
#[derive(Debug)]
pub(crate) struct GroupState {
    pub(crate) id: RaftGroupId,
    pub(crate) me: NodeId,
    view: Mutex<View>,
    leadership: watch::Sender<Leadership>,
    applied: watch::Sender<u64>,
    changes: broadcast::Sender<(RaftGroupId, Leadership)>,
}

#[derive(Debug)]
struct View {
    leader: Option<NodeId>,
    term: u64,
    applied_term: u64,
    /// A majority of the voters is in sight.
    quorum: bool,
    /// The term whose leader is not believed to lead any more.
    doubted: Option<u64>,
}

impl GroupState {
    pub(crate) fn new(
        id: RaftGroupId,
        me: NodeId,
        changes: broadcast::Sender<(RaftGroupId, Leadership)>,
    ) -> std::sync::Arc<Self> {
        let (leadership, applied) = (watch::Sender::default(), watch::Sender::default());
        let view = Mutex::new(View { leader: None, term: 0, applied_term: 0, quorum: false, doubted: None });
        std::sync::Arc::new(Self { id, me, view, leadership, applied, changes })
    }

    /// openraft's view of the leader changed.
    pub(crate) fn led_by(&self, leader: Option<NodeId>, term: u64) {
        let mut view = self.view.lock();
        view.leader = leader;
        view.term = term;
        self.publish(&view);
    }

    /// Entries up to `index` are applied, and may be read. To be said before the state machine shows their effect: who sees that looks for them.
    pub(crate) fn applied_upto(&self, index: u64) {
        self.applied.send_replace(index);
    }

    /// The last applied entry is from `term`. To be said after the state machine shows its effect: who sees that this node serves relies on it.
    pub(crate) fn applied_in(&self, term: u64) {
        let mut view = self.view.lock();
        if view.applied_term != term {
            view.applied_term = term;
            self.publish(&view);
        }
    }

    /// Looks whether this node sees a majority of the voters. A leader that does not shows that nobody leads: it can commit nothing. One look at a
    /// time, so that an older one cannot overwrite a newer one.
    pub(crate) fn look_for_quorum(&self, sees: impl FnOnce() -> bool) {
        let mut view = self.view.lock();
        view.quorum = sees();
        self.publish(&view);
    }

    /// The leader of `term` does not lead any more, as far as one can know: its node was lost, or says so itself, or it is this one and could not hand over.
    pub(crate) fn doubt(&self, term: u64) {
        let mut view = self.view.lock();
        view.doubted = Some(term);
        self.publish(&view);
    }

    /// The leader of `term` was heard of, and its node is `alive`: what a node sent before it died may arrive after it was found dead, and must
    /// not bring its leadership back. Looked at under the lock: a loss is noted before it is doubted.
    pub(crate) fn trust(&self, term: u64, alive: impl FnOnce() -> bool) {
        let mut view = self.view.lock();
        if view.doubted == Some(term) && alive() {
            view.doubted = None;
            self.publish(&view);
        }
    }

    /// The leader by openraft's view, with its term, whatever is known of its node.
    pub(crate) fn named_leader(&self) -> Option<(NodeId, u64)> {
        let view = self.view.lock();
        view.leader.map(|leader| (leader, view.term))
    }

    /// A new leader's first entry is blank, so that an applied entry of its own term means that everything before is applied.
    fn publish(&self, view: &View) {
        let leads = |leader: &NodeId| view.doubted != Some(view.term) && (*leader != self.me || view.quorum);
        let leader = view.leader.filter(leads);
        let serving = leader == Some(self.me) && view.applied_term == view.term;
        let now = Leadership { leader, term: view.term, serving };
        let changed = self.leadership.send_if_modified(|shown| std::mem::replace(shown, now) != now);
        if changed {
            // Nobody may be listening.
            let _ = self.changes.send((self.id, now));
        }
    }

    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// Who leads now.
    pub(crate) fn leader_now(&self) -> Leadership {
        *self.leadership.borrow()
    }

    pub(crate) fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub(crate) fn applied_now(&self) -> u64 {
        *self.applied.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_lays_its_leadership_down_does_not_lead() {
        let state = GroupState::new(RaftGroupId(1), NodeId(1), broadcast::Sender::new(1));
        state.look_for_quorum(|| true);
        state.led_by(Some(NodeId(1)), 5);
        assert_eq!(state.leader_now().leader, Some(NodeId(1)));
        state.doubt(5);
        assert_eq!(state.leader_now().leader, None);
        state.led_by(Some(NodeId(1)), 6);
        assert_eq!(state.leader_now().leader, Some(NodeId(1)));
    }

    #[test]
    fn a_late_word_of_a_dead_leader_does_not_bring_it_back() {
        let state = GroupState::new(RaftGroupId(1), NodeId(1), broadcast::Sender::new(1));
        state.led_by(Some(NodeId(2)), 5);
        assert_eq!(state.leader_now().leader, Some(NodeId(2)));
        state.doubt(5);
        state.trust(5, || false);
        assert_eq!(state.leader_now().leader, None);
        state.trust(4, || true);
        assert_eq!(state.leader_now().leader, None);
        state.trust(5, || true);
        assert_eq!(state.leader_now().leader, Some(NodeId(2)));
    }
}
