//! A node: its components, started from the disk upwards and stopped from the clients downwards.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use caudal_admin::{AdminServer, NodeSource};
use caudal_broker::{Broker, BrokerParts};
use caudal_coordinator::{Coordinator, CoordinatorParts};
use caudal_metadata::Controller;
use caudal_partition::Partitions;
use caudal_raft::{RaftGroups, Transport};
use caudal_storage::directory::DataDirectory;
use caudal_storage::wal::{self, WalDamage};
use caudal_storage::{Engine, LogWriter, RocksEngine, RocksOptions, StorageError, StoreState, WriteBehind};
use caudal_types::{Clock, NodeId, RaftGroupId, SystemClock, Tasks};
use tokio::time::{sleep, timeout};

use crate::allocator;
use crate::config::{Config, HostPort};
use crate::space::{self, SpaceWatch};
use crate::view::{Components, NodeView};

/// How long leaderships may take to go to other nodes when the node stops.
const HAND_OVER: Duration = Duration::from_secs(2);

/// How long requests under way may take to be answered when the node stops.
const DRAIN: Duration = Duration::from_secs(3);

/// How long each of the other components may take to stop.
const STOP: Duration = Duration::from_secs(1);

/// How long until it is tried again to rebuild a replica that the others could not.
const REBUILD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or the database cannot be used.
    #[error("cannot use {folder} (log.dirs): {source}")]
    Storage {
        /// The data directory.
        folder: String,
        /// Why not.
        source: StorageError,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}; is another process using the port?")]
    Listen {
        /// The address.
        address: String,
        /// The key that it comes from.
        key: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A task of the start ended early: a bug.
    #[error("the start was interrupted: {0}")]
    Interrupted(String),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    view: Arc<NodeView>,
    clock: Arc<dyn Clock>,
    components: Components,
    coordinator: Coordinator,
    admin: Option<AdminServer>,
    broker: Option<Broker>,
    tasks: Tasks,
    /// Locked for as long as the node lives.
    _directory: DataDirectory,
}

impl Node {
    /// Starts everything but the listener for clients; see [`open_to_clients`](Self::open_to_clients).
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let view = Arc::new(NodeView::new(&config));
        let admin = start_admin(config.settings.admin_listener.as_ref(), Arc::clone(&view)).await?;
        let Store { directory, engine, has_loss } = open_store(&config).await?;
        let log_writer = LogWriter::start_with(Arc::clone(&engine), allocator::keep_for_this_thread);
        let (watch, tasks) = (SpaceWatch::new(&config, log_writer.clone()), Tasks::new());
        watch.look();
        tasks.supervise("disk space", move || watch.clone().run());
        let (dead_files_of, writer) = (Arc::clone(&engine), log_writer.clone());
        tasks.supervise("making space", move || space::make_space(Arc::clone(&dead_files_of), writer.clone()));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let transport = Transport::start(config.transport())
            .await
            .map_err(|source| listen_error(&config.peer_listener, "peer.listener", source))?;
        let groups = RaftGroups::new(config.raft_groups(), Arc::clone(&engine), log_writer.clone(), transport.clone())
            .map_err(|source| storage_error(&config, source))?;
        if has_loss {
            let doubted = groups.doubt_all().await.and_then(|()| directory.forget_loss());
            doubted.map_err(|source| storage_error(&config, source))?;
        }
        let controller = Controller::start(
            config.controller(),
            groups.clone(),
            transport.clone(),
            Arc::clone(&engine),
            Arc::clone(&clock),
        )
        .await
        .map_err(|source| storage_error(&config, source))?;
        let partitions = Partitions::start(
            config.partitions(),
            controller.clone(),
            groups.clone(),
            transport.liveness(),
            Arc::clone(&engine),
            Arc::clone(&clock),
        )
        .map_err(|source| storage_error(&config, source))?;
        let parts = CoordinatorParts {
            controller: controller.clone(),
            partitions: partitions.clone(),
            groups: groups.clone(),
            transport: transport.clone(),
            engine: Arc::clone(&engine),
            clock: Arc::clone(&clock),
        };
        let coordinator = Coordinator::start(config.coordinator(), parts);
        let components = Components { log_writer, transport, groups, controller, partitions };
        view.set_components(components.clone());
        Ok(Self { config, view, clock, components, coordinator, admin, broker: None, tasks, _directory: directory })
    }

    /// Waits until the node is part of the cluster, listens for clients, and waits until it can serve them.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn open_to_clients(&mut self) -> Result<(), StartError> {
        let controller = self.components.controller.clone();
        self.until(|node| node.view.is_registered(&controller)).await;
        let components = &self.components;
        let parts = BrokerParts {
            controller: components.controller.clone(),
            partitions: components.partitions.clone(),
            coordinator: self.coordinator.clone(),
            groups: components.groups.clone(),
            transport: components.transport.clone(),
            clock: Arc::clone(&self.clock),
        };
        let broker = Broker::start(self.config.broker(), parts)
            .await
            .map_err(|source| listen_error(&self.config.settings.listeners.0, "listeners", source))?;
        self.view.set_broker(broker.clone());
        self.broker = Some(broker);
        self.until(|node| node.view.readiness().ready).await;
        Ok(())
    }

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How long the node has been there.
    pub fn uptime(&self) -> Duration {
        self.view.uptime()
    }

    /// Where metrics are served.
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().map(AdminServer::local_addr)
    }

    /// Waits until the disk fails, and answers why. The node goes on serving reads.
    pub async fn store_failure(&self) -> String {
        let mut state = self.components.log_writer.state();
        let failed = state.wait_for(|state| matches!(state, StoreState::Failed(_))).await.map(|state| state.clone());
        match failed {
            Ok(StoreState::Failed(reason)) => reason,
            Ok(StoreState::Writable) | Err(_) => std::future::pending().await,
        }
    }

    /// The Raft groups.
    pub fn groups(&self) -> &RaftGroups {
        &self.components.groups
    }

    /// Waits until damage is found in a replica that the node holds open for as long as it runs, of the metadata or of a coordinator shard, and throws the
    /// replica away once the other voters have theirs. Then the node has to be started again, and builds it anew. (Those of partitions come and go while it
    /// runs.)
    pub fn rebuilt(&self) -> impl Future<Output = RaftGroupId> + use<> {
        let (groups, controller) = (self.components.groups.clone(), self.components.controller.clone());
        async move {
            let mut damaged = groups.damaged();
            loop {
                let held = |group: &RaftGroupId| groups.get(*group).and(voters_of_held(&controller, *group));
                let found = damaged.borrow_and_update().iter().find_map(|group| Some((*group, held(group)?)));
                let Some((group, voters)) = found else {
                    if damaged.changed().await.is_err() {
                        std::future::pending().await
                    }
                    continue;
                };
                match groups.rebuild(group, &voters).await {
                    Ok(()) => return group,
                    Err(error) => {
                        tracing::error!(%group, %error, "a damaged replica cannot be rebuilt; trying again in a while");
                        sleep(REBUILD_AGAIN_AFTER).await;
                    }
                }
            }
        }
    }

    /// Hands leaderships over, answers what is under way, and stops everything within seconds.
    pub async fn shutdown(self) {
        self.view.set_stopping();
        let Components { groups, controller, partitions, transport, .. } = &self.components;
        bounded("handing leaderships over", HAND_OVER + STOP, groups.transfer_all(HAND_OVER)).await;
        if let Some(broker) = &self.broker {
            bounded("answering the last requests", DRAIN + STOP, broker.shutdown(DRAIN)).await;
        }
        bounded("stopping the coordinator", STOP, self.coordinator.shutdown()).await;
        bounded("stopping the partitions", STOP, partitions.shutdown()).await;
        bounded("stopping the controller", STOP, controller.shutdown()).await;
        bounded("stopping the Raft groups", STOP, groups.shutdown()).await;
        bounded("closing the connections to the other nodes", STOP, transport.shutdown()).await;
        self.tasks.shutdown().await;
        if let Some(admin) = &self.admin {
            bounded("stopping the admin listener", STOP, admin.shutdown()).await;
        }
    }

    /// Waits for a condition on the image, the leaders and the liveness of nodes.
    async fn until(&self, met: impl Fn(&Self) -> bool) {
        let controller = &self.components.controller;
        let mut images = controller.images();
        let mut leaders = controller.leaders().changes();
        let mut liveness = self.components.transport.liveness().watch();
        while !met(self) {
            let alive = tokio::select! {
                changed = images.changed() => changed.is_ok(),
                changed = leaders.changed() => changed.is_ok(),
                changed = liveness.changed() => changed.is_ok(),
            };
            if !alive {
                // Only a node that stops closes these; whoever waits is dropped with it.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The voters of a group that is held open for as long as the node runs, if it is one, and others have replicas of it.
fn voters_of_held(controller: &Controller, group: RaftGroupId) -> Option<Vec<NodeId>> {
    let shards = &controller.image().coordinator_shards;
    let voters = if group == RaftGroupId::METADATA {
        controller.voters()
    } else {
        shards.iter().find(|shard| shard.group == group)?.replicas.clone()
    };
    (voters.len() > 1).then_some(voters)
}

async fn start_admin(listener: Option<&HostPort>, view: Arc<NodeView>) -> Result<Option<AdminServer>, StartError> {
    let Some(address) = listener else { return Ok(None) };
    match AdminServer::start(&address.to_bind(), view).await {
        Ok(server) => Ok(Some(server)),
        Err(source) => Err(listen_error(address, "admin.listener", source)),
    }
}

/// The disk, opened.
struct Store {
    directory: DataDirectory,
    engine: Arc<dyn Engine>,
    /// It has lost what was synced.
    has_loss: bool,
}

async fn open_store(config: &Config) -> Result<Store, StartError> {
    let (folder, options) = (config.settings.log_dirs.clone(), config.rocks_options());
    let (node, cluster) = (config.node_id, config.settings.cluster_id.clone());
    let opened = tokio::task::spawn_blocking(move || open_store_blocking(&folder, node, &cluster, &options)).await;
    opened.map_err(|error| StartError::Interrupted(error.to_string()))?.map_err(|source| storage_error(config, source))
}

fn open_store_blocking(
    folder: &Path,
    node: NodeId,
    cluster: &str,
    options: &RocksOptions,
) -> Result<Store, StorageError> {
    let directory = DataDirectory::open(folder, node, cluster)?;
    if let Some(WalDamage { file, offset }) = wal::damage(&directory.database_path())? {
        tracing::error!(
            file = %file.display(),
            offset,
            "the write-ahead log is damaged: what came behind is lost on this node, and its replicas are not trusted before they have caught up"
        );
        directory.note_loss()?;
    }
    let engine = RocksEngine::open(&directory.database_path(), options).map_err(|error| match error {
        StorageError::Corrupt(what) => StorageError::Corrupt(format!(
            "{what}. The database is damaged. If the other nodes are sound, move the folder away and start the node on an empty one: it gets its \
             replicas from them, and does not vote before it has them"
        )),
        other => other,
    })?;
    if !directory.has_loss()? && engine.has_lost_synced() {
        tracing::error!(
            "the database lacks what was synced: its write-ahead log was emptied or is missing, and this node's replicas are not trusted before they have caught up"
        );
        directory.note_loss()?;
    }
    let has_loss = directory.has_loss()?;
    Ok(Store { directory, engine: Arc::new(WriteBehind::new(engine)), has_loss })
}

fn storage_error(config: &Config, source: StorageError) -> StartError {
    StartError::Storage { folder: config.settings.log_dirs.display().to_string(), source }
}

fn listen_error(address: &HostPort, key: &'static str, source: std::io::Error) -> StartError {
    StartError::Listen { address: address.to_bind(), key, source }
}

async fn bounded(what: &'static str, within: Duration, step: impl Future<Output = ()>) {
    if timeout(within, step).await.is_err() {
        tracing::warn!(?within, "{what} took too long; going on without");
    }
}
