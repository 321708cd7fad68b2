//! Who leads which Raft group. Each node announces the leaderships that it wins and loses to all nodes at once; the controller is not
//! involved, and may be down.
//!
//! # Layout
//! - `entries`: what was heard from whom, merged: an epoch never goes back, a late message changes nothing
//! - `claims`: what this node leads, and what changed since a peer last heard
//! - `message`: the messages between nodes
//! - `announcer`: watches the local Raft groups, and keeps each peer informed: changes at once and together, everything when one of the two
//!   has started anew
//! - `handler`: hears the peers

pub(crate) mod announcer;
mod claims;
mod entries;
mod handler;
pub(crate) mod message;

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use caudal_types::{LeaderEpoch, NodeId, RaftGroupId};
use parking_lot::RwLock;
use tokio::sync::watch;

use entries::{Entries, Heard};
use message::{Announcement, Claim};

/// The leader of a Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Which node.
    pub node: NodeId,
    /// Since which epoch.
    pub epoch: LeaderEpoch,
}

/// The leaders of all Raft groups, as this node knows them; a cheap handle.
#[derive(Clone)]
pub struct LeaderTable {
    shared: Arc<Shared>,
}

struct Shared {
    entries: RwLock<Entries>,
    changes: watch::Sender<u64>,
    alive: Box<dyn Fn(NodeId) -> bool + Send + Sync>,
}

impl Debug for LeaderTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderTable").field("groups", &self.shared.entries.read().len()).finish_non_exhaustive()
    }
}

impl LeaderTable {
    /// A table that knows nothing, and asks `alive` who lives.
    pub(crate) fn new(alive: impl Fn(NodeId) -> bool + Send + Sync + 'static) -> Self {
        let shared = Shared { entries: RwLock::default(), changes: watch::Sender::new(0), alive: Box::new(alive) };
        Self { shared: Arc::new(shared) }
    }

    /// The leader of a group, if one is known and its node is alive.
    pub fn leader(&self, group: RaftGroupId) -> Option<Leader> {
        let leader = self.shared.entries.read().leader(group)?;
        (self.shared.alive)(leader.node).then_some(leader)
    }

    /// The newest epoch heard of, whether or not its leader still lives.
    pub fn epoch(&self, group: RaftGroupId) -> Option<LeaderEpoch> {
        self.shared.entries.read().epoch(group)
    }

    /// A counter that grows with each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Takes a change of this node's own leaderships.
    pub(crate) fn take(&self, node: NodeId, claim: Claim) {
        if self.shared.entries.write().merge(node, claim) {
            self.touch();
        }
    }

    /// Takes what a peer announces.
    fn hear(&self, from: NodeId, announcement: &Announcement) -> Heard {
        let heard = self.shared.entries.write().hear(from, announcement);
        if heard.changed {
            self.touch();
        }
        heard
    }

    /// Forgets groups that are no more.
    fn forget(&self, groups: &[RaftGroupId]) {
        self.shared.entries.write().forget(groups);
    }

    /// Tells those who wait that something changed.
    pub(crate) fn touch(&self) {
        self.shared.changes.send_modify(|changes| *changes += 1);
    }
}
