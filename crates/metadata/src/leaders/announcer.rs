//! Watches the local Raft groups, and keeps each peer informed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use caudal_raft::{Leadership, RaftGroups, Service, Transport};
use caudal_types::{LeaderEpoch, NodeId, RaftGroupId, Tasks};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::LeaderTable;
use super::claims::Claims;
use super::handler::LeadersHandler;
use super::message::{Announcement, Answer, Message};
use crate::ClusterImage;
use crate::arrival::Arrival;

/// How long a peer may take to hear an announcement.
const CALL_WITHIN: Duration = Duration::from_secs(1);

/// How long to wait before a peer that did not hear is told again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Announces this node's leaderships.
#[derive(Debug)]
pub(super) struct Announcer {
    node: NodeId,
    groups: RaftGroups,
    transport: Transport,
    table: LeaderTable,
    incarnation: u64,
    sequence: AtomicU64,
    claims: Mutex<Claims>,
    /// Counts changes of the claims.
    changed: watch::Sender<u64>,
    restarts: Restarts,
}

/// Counts, by peer, how often it was found to know nothing of what it was told.
#[derive(Clone, Debug)]
pub(super) struct Restarts(Arc<HashMap<NodeId, watch::Sender<u64>>>);

impl Restarts {
    fn new(peers: &[NodeId]) -> Self {
        Self(Arc::new(peers.iter().map(|peer| (*peer, watch::Sender::new(0))).collect()))
    }

    /// A peer knows nothing of what it was told before.
    pub(super) fn note(&self, peer: NodeId) {
        if let Some(restarts) = self.0.get(&peer) {
            restarts.send_modify(|count| *count += 1);
        }
    }

    fn of(&self, peer: NodeId) -> Option<watch::Receiver<u64>> {
        self.0.get(&peer).map(watch::Sender::subscribe)
    }
}

/// Begins to fill a leader table: with this node's own leaderships and with what the `peers` announce.
pub(crate) fn start(
    node: NodeId,
    peers: &[NodeId],
    groups: RaftGroups,
    transport: Transport,
    images: watch::Receiver<Arc<ClusterImage>>,
    tasks: &Tasks,
) -> LeaderTable {
    let liveness = transport.liveness();
    let table = LeaderTable::new(move |other| liveness.is_alive(other));
    let announcer = Arc::new(Announcer {
        node,
        transport: transport.clone(),
        table: table.clone(),
        incarnation: rand::random(),
        sequence: AtomicU64::new(0),
        claims: Mutex::default(),
        changed: watch::Sender::new(0),
        restarts: Restarts::new(peers),
        groups,
    });
    supervise(&announcer, peers, &images, tasks);
    // The handler lives in the transport, so that it must not hold the transport itself.
    let handler = LeadersHandler::new(table.clone(), announcer.restarts.clone(), Arrival::new(images, table.clone()));
    transport.serve(Service::Leaders, Arc::new(handler));
    table
}

/// Each of them begins with all that there is, so that one may be started anew at any time.
fn supervise(announcer: &Arc<Announcer>, peers: &[NodeId], images: &watch::Receiver<Arc<ClusterImage>>, tasks: &Tasks) {
    // Subscribed to before any group is opened; whoever comes later looks at all groups first.
    let mut first = Some(announcer.groups.leadership_changes());
    let watching = Arc::clone(announcer);
    tasks.supervise("leaders-watch", move || {
        let changes = first.take().unwrap_or_else(|| watching.groups.leadership_changes());
        Arc::clone(&watching).watch_groups(changes)
    });
    let watching = Arc::clone(announcer);
    tasks.supervise("leaders-liveness", move || Arc::clone(&watching).watch_liveness());
    let seen = Arc::new(Mutex::new(Arc::clone(&images.borrow())));
    let (forgetting, images) = (Arc::clone(announcer), images.clone());
    tasks
        .supervise("leaders-forget", move || Arc::clone(&forgetting).forget_deleted(images.clone(), Arc::clone(&seen)));
    for peer in peers.iter().copied() {
        let informing = Arc::clone(announcer);
        tasks.supervise("leaders-announce", move || Arc::clone(&informing).inform(peer));
    }
}

impl Announcer {
    /// Follows the local groups. The events only tell where to look: what counts is the group's state now.
    async fn watch_groups(self: Arc<Self>, mut changes: broadcast::Receiver<(RaftGroupId, Leadership)>) {
        loop {
            self.look_at_all();
            loop {
                match changes.recv().await {
                    Ok((group, _)) => self.look_at(group),
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }

    fn look_at_all(&self) {
        let open = self.groups.all();
        let gone = self.claims.lock().led();
        for group in open.iter().map(|group| group.id()).chain(gone) {
            self.look_at(group);
        }
    }

    fn look_at(&self, group: RaftGroupId) {
        let leadership = self.groups.get(group).map(|replica| *replica.leadership().borrow()).unwrap_or_default();
        let claim = self.claims.lock().set(group, serving_since(leadership));
        if let Some(claim) = claim {
            self.table.take(self.node, claim);
            self.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// A node that dies or comes back changes what the table says.
    async fn watch_liveness(self: Arc<Self>) {
        let mut liveness = self.transport.liveness().watch();
        loop {
            self.table.touch();
            if liveness.changed().await.is_err() {
                return;
            }
        }
    }

    /// Forgets the groups of deleted topics. The image that was `seen` last outlives the task: what was deleted since is in no other.
    async fn forget_deleted(
        self: Arc<Self>,
        mut images: watch::Receiver<Arc<ClusterImage>>,
        seen: Arc<Mutex<Arc<ClusterImage>>>,
    ) {
        loop {
            let now = Arc::clone(&images.borrow_and_update());
            self.forget_up_to(&now, &seen);
            if images.changed().await.is_err() {
                return;
            }
        }
    }

    fn forget_up_to(&self, now: &Arc<ClusterImage>, seen: &Mutex<Arc<ClusterImage>>) {
        let before = std::mem::replace(&mut *seen.lock(), Arc::clone(now));
        let deleted = before.topics.values().filter(|topic| !now.topic_names.contains_key(&topic.id));
        let groups: Vec<RaftGroupId> =
            deleted.flat_map(|topic| &topic.partitions).map(|partition| partition.group).collect();
        if !groups.is_empty() {
            self.table.forget(&groups);
            self.claims.lock().forget(&groups);
        }
    }

    /// Keeps one peer informed: one message at a time, with all that has changed meanwhile.
    async fn inform(self: Arc<Self>, peer: NodeId) {
        let Some(mut restarts) = self.restarts.of(peer) else { return };
        let mut changed = self.changed.subscribe();
        let liveness = self.transport.liveness();
        let mut liveness_changes = liveness.watch();
        let mut heard_up_to = None;
        loop {
            changed.borrow_and_update();
            liveness_changes.borrow_and_update();
            if restarts.has_changed().unwrap_or(false) {
                restarts.borrow_and_update();
                heard_up_to = None;
            }
            let alive = liveness.is_alive(peer);
            if !alive {
                heard_up_to = None;
            }
            let (claims, up_to) = self.claims.lock().since(heard_up_to);
            if !alive || (heard_up_to.is_some() && claims.is_empty()) {
                tokio::select! {
                    Ok(()) = changed.changed() => {}
                    Ok(()) = restarts.changed() => heard_up_to = None,
                    Ok(()) = liveness_changes.changed() => {}
                    else => return,
                }
                continue;
            }
            let announcement = Announcement {
                incarnation: self.incarnation,
                sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
                full: heard_up_to.is_none(),
                claims,
            };
            heard_up_to = match self.tell(peer, announcement).await {
                Some(Answer::Taken) => Some(up_to),
                Some(Answer::SendAll) => None,
                _ => {
                    tokio::time::sleep(RETRY_AFTER).await;
                    None
                }
            };
        }
    }

    async fn tell(&self, peer: NodeId, announcement: Announcement) -> Option<Answer> {
        let body = Message::Announce(announcement).encode();
        match self.transport.call(peer, Service::Leaders, body, CALL_WITHIN).await {
            Ok(answer) => Answer::decode(&answer).ok(),
            Err(error) => {
                tracing::debug!(%peer, %error, "a peer did not hear who leads; it will be told again");
                None
            }
        }
    }
}

fn serving_since(leadership: Leadership) -> Option<LeaderEpoch> {
    leadership.serving.then(|| LeaderEpoch::try_from(leadership.term).unwrap_or(LeaderEpoch::MAX))
}
