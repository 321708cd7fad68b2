//! Which nodes are alive, as this node sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::NodeId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Liveness;

/// The liveness of all nodes, as this node sees it: between nodes, not between groups.
#[derive(Clone, Debug)]
pub struct NodeLiveness {
    table: Arc<LivenessTable>,
}

impl NodeLiveness {
    pub(crate) fn new(table: Arc<LivenessTable>) -> Self {
        Self { table }
    }

    /// Whether `node` is alive; this node itself always is.
    pub fn is_alive(&self, node: NodeId) -> bool {
        self.table.is_alive(node)
    }

    /// Whether `node` is alive, or was so until less than `time` ago.
    pub fn was_alive_within(&self, node: NodeId, time: Duration) -> bool {
        self.is_alive(node) || self.table.lost_since(node).is_some_and(|since| since < time)
    }

    /// How long ago `node` answered last; nothing if it never has, and for this node itself.
    pub fn heard_ago(&self, node: NodeId) -> Option<Duration> {
        self.table.heard_ago(node)
    }

    /// All other nodes with their liveness, whenever one changes.
    pub fn watch(&self) -> watch::Receiver<Vec<(NodeId, Liveness)>> {
        self.table.shown()
    }
}

/// What is known of the other nodes. Nodes are suspect until they have answered once.
#[derive(Debug)]
pub(crate) struct LivenessTable {
    me: NodeId,
    peers: Mutex<BTreeMap<NodeId, Known>>,
    shown: watch::Sender<Vec<(NodeId, Liveness)>>,
    /// How often each node was lost: became suspect, or came back as a new process. Leaderships that it held are gone then.
    losses: watch::Sender<BTreeMap<NodeId, u64>>,
}

#[derive(Debug, Default)]
struct Known {
    alive: bool,
    keen: bool,
    incarnation: Option<u64>,
    /// When it answered last.
    heard: Option<Instant>,
    /// When it became suspect last.
    lost: Option<Instant>,
    /// When it came back after that.
    back: Option<Instant>,
}

impl LivenessTable {
    pub(crate) fn new(me: NodeId, others: impl Iterator<Item = NodeId>) -> Arc<Self> {
        let peers: BTreeMap<_, _> = others.map(|node| (node, Known::default())).collect();
        let losses = peers.keys().map(|node| (*node, 0)).collect();
        let shown = watch::Sender::new(show(&peers));
        Arc::new(Self { me, peers: Mutex::new(peers), shown, losses: watch::Sender::new(losses) })
    }

    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        node == self.me || self.shown.borrow().contains(&(node, Liveness::Alive))
    }

    /// For how long `node` has been suspect, if it was ever alive.
    fn lost_since(&self, node: NodeId) -> Option<Duration> {
        self.peers.lock().get(&node)?.lost.map(|lost| lost.elapsed())
    }

    /// How long ago `node` answered last, if it ever has.
    pub(crate) fn heard_ago(&self, node: NodeId) -> Option<Duration> {
        self.peers.lock().get(&node)?.heard.map(|heard| heard.elapsed())
    }

    /// All nodes with their liveness, whenever one changes.
    pub(crate) fn shown(&self) -> watch::Receiver<Vec<(NodeId, Liveness)>> {
        self.shown.subscribe()
    }

    pub(crate) fn losses(&self) -> watch::Receiver<BTreeMap<NodeId, u64>> {
        self.losses.subscribe()
    }

    /// Whether `node` is alive and wants leaderships.
    pub(crate) fn is_keen(&self, node: NodeId) -> bool {
        self.peers.lock().get(&node).is_some_and(|known| known.alive && known.keen)
    }

    /// Whether `node` is alive, wants leaderships, and has been back for at least `time` if it was ever lost.
    pub(crate) fn is_settled(&self, node: NodeId, time: Duration) -> bool {
        let peers = self.peers.lock();
        let Some(known) = peers.get(&node) else { return false };
        known.alive && known.keen && known.back.is_none_or(|back| back.elapsed() >= time)
    }

    /// `node` answers, and is keen to lead or not.
    pub(crate) fn alive(&self, node: NodeId, keen: bool) {
        self.change(node, |known| {
            known.alive = true;
            known.keen = keen;
            known.heard = Some(Instant::now());
        });
    }

    /// `node` does not answer, or says of itself that it should not lead.
    pub(crate) fn suspect(&self, node: NodeId, reason: &str) {
        let was = self.change(node, |known| known.alive = false);
        if was {
            tracing::warn!(%node, reason, "a node is suspect");
            self.lose(node);
        }
    }

    /// A connection to `node` was made, by the process that has this incarnation.
    pub(crate) fn met(&self, node: NodeId, incarnation: u64) {
        let mut new_process = false;
        let was = self.change(node, |known| {
            new_process = known.incarnation.is_some_and(|before| before != incarnation);
            if new_process {
                known.back = Some(Instant::now());
            }
            known.incarnation = Some(incarnation);
        });
        if new_process && was {
            tracing::warn!(%node, "a node was restarted");
            self.lose(node);
        }
    }

    fn lose(&self, node: NodeId) {
        self.losses.send_modify(|losses| *losses.entry(node).or_default() += 1);
    }

    /// Changes what is known of `node`, shows it, and answers whether the node was alive before.
    fn change(&self, node: NodeId, change: impl FnOnce(&mut Known)) -> bool {
        let mut peers = self.peers.lock();
        let Some(known) = peers.get_mut(&node) else { return false };
        let was = known.alive;
        change(known);
        let now = known.alive;
        match (was, now) {
            (true, false) => known.lost = Some(Instant::now()),
            (false, true) => known.back = known.lost.map(|_| Instant::now()),
            _ => {}
        }
        if was != now {
            self.shown.send_replace(show(&peers));
        }
        was
    }
}

fn show(peers: &BTreeMap<NodeId, Known>) -> Vec<(NodeId, Liveness)> {
    let liveness = |known: &Known| if known.alive { Liveness::Alive } else { Liveness::Suspect };
    peers.iter().map(|(node, known)| (*node, liveness(known))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_count_what_costs_leaderships() {
        let node = NodeId(2);
        let table = LivenessTable::new(NodeId(1), [node].into_iter());
        assert!(table.is_alive(NodeId(1)));
        table.suspect(node, "it never answered");
        table.met(node, 7);
        assert!(!table.is_alive(node));
        assert_eq!(table.heard_ago(node), None, "a connection is no answer");
        table.alive(node, true);
        assert!(table.heard_ago(node).is_some_and(|ago| ago < Duration::from_secs(60)));
        assert!(table.is_alive(node) && table.is_keen(node));
        assert!(table.is_settled(node, Duration::from_secs(60)), "it was never lost");
        table.alive(node, false);
        assert!(table.is_alive(node) && !table.is_keen(node));
        assert_eq!(table.losses().borrow()[&node], 0);
        let liveness = NodeLiveness::new(Arc::clone(&table));
        table.suspect(node, "test");
        assert!(!liveness.is_alive(node));
        assert!(
            liveness.was_alive_within(node, Duration::from_secs(60))
                && !liveness.was_alive_within(node, Duration::ZERO)
        );
        table.suspect(node, "test");
        assert_eq!(table.losses().borrow()[&node], 1);
        table.met(node, 8);
        table.alive(node, true);
        assert_eq!(table.losses().borrow()[&node], 1, "a node that was suspect had been lost before");
        assert!(table.is_settled(node, Duration::ZERO) && !table.is_settled(node, Duration::from_secs(60)));
        table.met(node, 9);
        assert_eq!(table.losses().borrow()[&node], 2, "a restart that the pings did not notice");
    }
}
