//! Waits until this node and its peers know what was decided.

use std::sync::Arc;
use std::time::Duration;

use caudal_raft::{Service, Transport};
use caudal_types::{NodeId, RaftGroupId};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::leaders::message::{Message, Sync, runs};
use crate::{ClusterImage, LeaderTable};

/// How long an answer waits at most for peers to know what it says. A peer that takes longer shows its clients the old truth for a while.
pub(crate) const SYNC_WITHIN: Duration = Duration::from_secs(1);

/// What this node knows, as it arrives.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    images: watch::Receiver<Arc<ClusterImage>>,
    leaders: LeaderTable,
}

impl Arrival {
    pub(crate) fn new(images: watch::Receiver<Arc<ClusterImage>>, leaders: LeaderTable) -> Self {
        Self { images, leaders }
    }

    /// This node's image, once it has come to `version`; `None` when it has not in time.
    pub(crate) async fn image_at(&self, version: u64, deadline: Instant) -> Option<Arc<ClusterImage>> {
        let mut images = self.images.clone();
        let arrived = images.wait_for(|image| image.version >= version);
        timeout_at(deadline, arrived).await.ok()?.ok().map(|image| Arc::clone(&image))
    }

    /// Waits until the groups have leaders, and returns those that have none in time.
    pub(crate) async fn leaders_of(&self, mut groups: Vec<RaftGroupId>, deadline: Instant) -> Vec<RaftGroupId> {
        let mut changes = self.leaders.changes();
        loop {
            changes.borrow_and_update();
            groups.retain(|group| self.leaders.leader(*group).is_none());
            if groups.is_empty() || !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return groups;
            }
        }
    }
}

/// Waits until each live peer has come to `version` and knows the leaders of `groups`, but at most [`SYNC_WITHIN`]: so that a client that asks
/// another node next finds there what it was told here.
pub(crate) async fn sync_peers(
    transport: &Transport,
    peers: &[NodeId],
    version: u64,
    groups: &[RaftGroupId],
    deadline: Instant,
) {
    let within = deadline.saturating_duration_since(Instant::now()).min(SYNC_WITHIN);
    if within.is_zero() {
        return;
    }
    let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
    let body = Message::Sync(Sync { version, within_ms, groups: runs(groups) }).encode();
    let liveness = transport.liveness();
    let live = peers.iter().filter(|peer| liveness.is_alive(**peer));
    join_all(live.map(|peer| transport.call(*peer, Service::Leaders, body.clone(), within))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaders::message::Claim;

    fn arrival() -> (Arrival, watch::Sender<Arc<ClusterImage>>, LeaderTable) {
        let (images, receiver) = watch::channel(Arc::default());
        let leaders = LeaderTable::new(|node| node != NodeId(9));
        (Arrival::new(receiver, leaders.clone()), images, leaders)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn claim(group: u64) -> Claim {
        Claim { group: RaftGroupId(group), epoch: 1, leads: true }
    }

    #[tokio::test]
    async fn an_image_is_awaited_by_its_version() {
        let (arrival, images, _leaders) = arrival();
        assert!(arrival.image_at(3, soon()).await.is_none());
        let later = Instant::now() + Duration::from_secs(30);
        let (image, ()) = tokio::join!(arrival.image_at(3, later), async {
            images.send_replace(Arc::new(ClusterImage { version: 4, ..Default::default() }));
        });
        assert_eq!(image.map(|image| image.version), Some(4));
    }

    #[tokio::test]
    async fn leaders_on_dead_nodes_do_not_count() {
        let (arrival, _images, leaders) = arrival();
        leaders.take(NodeId(1), claim(1));
        leaders.take(NodeId(9), claim(2));
        let groups = vec![RaftGroupId(1), RaftGroupId(2)];
        assert_eq!(arrival.leaders_of(groups.clone(), soon()).await, [RaftGroupId(2)]);
        let later = Instant::now() + Duration::from_secs(30);
        let (missing, ()) = tokio::join!(arrival.leaders_of(groups, later), async {
            leaders.take(NodeId(2), Claim { epoch: 2, ..claim(2) });
        });
        assert_eq!(missing, []);
    }
}
