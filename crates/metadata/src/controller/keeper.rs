//! What a node does by itself: it forms the cluster if it leads a new one, lets all nodes follow the metadata group, and keeps itself registered.

use std::sync::Arc;
use std::time::Duration;

use caudal_raft::{RaftGroup, RaftGroups};
use caudal_types::{NodeId, Tasks};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::model::ControllerConfig;
use super::router::Router;
use super::wish::{Answer, Request, Wish};
use super::worker::Worker;
use crate::{ClusterImage, NodeImage};

/// How long one try to register may take.
const REGISTER_WITHIN: Duration = Duration::from_secs(5);

/// How long one try to let nodes follow may take.
const ENLIST_WITHIN: Duration = Duration::from_secs(5);

/// The pause before another try.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What these tasks stand on. Each of them goes by the state that it finds, so that it may be started anew at any time.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) config: ControllerConfig,
    pub(super) nodes: Vec<NodeId>,
    pub(super) groups: RaftGroups,
    pub(super) group: Arc<RaftGroup>,
    pub(super) images: watch::Receiver<Arc<ClusterImage>>,
    pub(super) worker: Worker,
    pub(super) router: Router,
}

impl Keeper {
    pub(super) fn start(&self, tasks: &Tasks) {
        let it = self.clone();
        tasks.supervise("controller-form", move || {
            form(it.config.cluster_id.clone(), Arc::clone(&it.group), it.images.clone(), it.worker.clone())
        });
        let it = self.clone();
        tasks.supervise("controller-remember", move || {
            remember(it.groups.clone(), Arc::clone(&it.group), it.images.clone())
        });
        let it = self.clone();
        tasks.supervise("controller-enlist", move || enlist(it.nodes.clone(), Arc::clone(&it.group)));
        let it = self.clone();
        tasks.supervise("controller-register", move || {
            register(it.config.clone(), it.images.clone(), it.router.clone())
        });
    }
}

/// Forms the cluster, once this node serves as the leader and nobody else has.
async fn form(
    cluster_id: String,
    group: Arc<RaftGroup>,
    mut images: watch::Receiver<Arc<ClusterImage>>,
    worker: Worker,
) {
    let mut leadership = group.leadership();
    loop {
        let image = Arc::clone(&images.borrow_and_update());
        if image.is_formed() {
            warn_of_another_cluster(&cluster_id, &image);
            return;
        }
        if leadership.borrow_and_update().serving {
            match worker.ask(Request { again: false, wish: Wish::FormCluster }).await {
                Answer::Done { version, .. } => {
                    tracing::info!(cluster_id, version, "the cluster is formed");
                    continue;
                }
                answer => tracing::debug!(?answer, "the cluster is not formed yet"),
            }
            sleep(RETRY_AFTER).await;
            continue;
        }
        let watching = tokio::select! {
            changed = images.changed() => changed,
            changed = leadership.changed() => changed,
        };
        if watching.is_err() {
            return;
        }
    }
}

fn warn_of_another_cluster(cluster_id: &str, image: &ClusterImage) {
    if image.cluster_id != cluster_id {
        tracing::error!(
            configured = cluster_id,
            stored = image.cluster_id,
            "the cluster was formed with another id than is configured; the stored one stays"
        );
    }
}

/// On a node that has lost its data, or came late: once the metadata group has caught up here, tells which Raft groups may have been here before.
async fn remember(groups: RaftGroups, group: Arc<RaftGroup>, images: watch::Receiver<Arc<ClusterImage>>) {
    while groups.has_forgotten() {
        if group.caught_up().await.is_err() {
            return;
        }
        let bound = images.borrow().groups_end();
        match groups.remember(bound).await {
            Ok(()) => tracing::info!(below = %bound, "this node knows now which Raft groups may have been here before"),
            Err(error) => {
                tracing::error!(%error, "which Raft groups may have been here before cannot be noted; trying again");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Makes every configured node that is no member of the metadata group a learner of it, whenever this node leads. Voters stay as they are: the
/// configuration only says who they are in a new cluster.
async fn enlist(nodes: Vec<NodeId>, group: Arc<RaftGroup>) {
    let mut leadership = group.leadership();
    loop {
        if leadership.wait_for(|now| now.serving).await.is_err() {
            return;
        }
        let mut members = group.status().members;
        let known = |node: &NodeId| members.voters.contains(node) || members.learners.contains(node);
        let missing: Vec<NodeId> = nodes.iter().copied().filter(|node| !known(node)).collect();
        if missing.is_empty() {
            if leadership.changed().await.is_err() {
                return;
            }
            continue;
        }
        members.learners.extend(&missing);
        match timeout(ENLIST_WITHIN, group.change_members(members)).await {
            Ok(Ok(())) => tracing::info!(?missing, "nodes follow the metadata group now"),
            Ok(Err(error)) => {
                tracing::warn!(?missing, %error, "nodes do not follow the metadata group yet; trying again")
            }
            Err(_) => tracing::warn!(?missing, "nodes do not follow the metadata group yet; trying again"),
        }
        sleep(RETRY_AFTER).await;
    }
}

/// Registers this node whenever the image shows it differently, or not at all.
async fn register(config: ControllerConfig, mut images: watch::Receiver<Arc<ClusterImage>>, router: Router) {
    let registration = config.registration;
    let wished =
        NodeImage { id: config.node_id, host: registration.host, port: registration.port, rack: registration.rack };
    loop {
        let registered = images.borrow_and_update().nodes.get(&wished.id).is_some_and(|node| **node == wished);
        if registered {
            if images.changed().await.is_err() {
                return;
            }
            continue;
        }
        let deadline = Instant::now() + REGISTER_WITHIN;
        match router.submit(Wish::RegisterNode(wished.clone()), deadline).await {
            Ok((version, _)) => {
                let arrived = images.wait_for(|image| image.version >= version);
                let _ = timeout_at(deadline, arrived).await;
            }
            Err(error) => {
                tracing::warn!(%error, "this node is not registered yet; trying again");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}
