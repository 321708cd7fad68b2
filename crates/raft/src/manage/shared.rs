//! The Raft groups that are open on this node, and what they share.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{Engine, LogWriter, StorageError};
use caudal_types::{NodeId, RaftGroupId, Tasks};
use openraft::SnapshotPolicy;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;

use crate::log::{Damage, LogCache};
use crate::manage::forgotten::Memory;
use crate::manage::takeover;
use crate::net::client::{Route, Routes};
use crate::net::heartbeats::Coalescer;
use crate::types::raft_id;
use crate::wire::{Lane, Request, Response};
use crate::{Leadership, PurgePolicy, RaftGroup, RaftGroupsConfig, Transport};

/// Changes of leadership that a slow listener may be behind.
const CHANGES_BEHIND: usize = 1 << 14;
/// The most entries in one append; their bytes are bounded too.
const APPEND_ENTRIES: u64 = 4096;
/// How long the transfer and installation of one part of a snapshot may take.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(60);
/// How long the answer to a heartbeat may take.
const HEARTBEAT_WITHIN: Duration = Duration::from_secs(2);
/// A year in milliseconds.
const FOR_EVER: u64 = 365 * 24 * 3600 * 1000;
/// Messages that may wait for one group's core.
const CORE_QUEUE: u64 = 8192;

/// Shared by the handles, the background tasks, and what serves other nodes.
pub(crate) struct Shared {
    pub(crate) config: RaftGroupsConfig,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) writer: LogWriter,
    pub(crate) transport: Transport,
    pub(crate) cache: Arc<LogCache>,
    pub(crate) routes: Routes,
    pub(crate) tasks: Tasks,
    pub(crate) changes: broadcast::Sender<(RaftGroupId, Leadership)>,
    /// A group was opened.
    pub(crate) opened: Notify,
    /// A group opens and closes one step at a time.
    pub(crate) gates: Mutex<HashMap<RaftGroupId, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) memory: Memory,
    pub(crate) damage: Damage,
    groups: RwLock<BTreeMap<RaftGroupId, Arc<RaftGroup>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        config: RaftGroupsConfig,
        engine: Arc<dyn Engine>,
        writer: LogWriter,
        transport: Transport,
    ) -> Result<Arc<Self>, StorageError> {
        let memory = Memory::open(engine.as_ref())?;
        let tasks = Tasks::new();
        let routes = transport.peers().map(|peer| {
            let heartbeats = Coalescer::start(peer.clone(), &tasks);
            (raft_id(peer.node()), Route { peer: peer.clone(), heartbeats })
        });
        let routes = Arc::new(routes.collect::<BTreeMap<_, _>>());
        let cache = LogCache::new(config.log_cache_bytes);
        let (changes, _) = broadcast::channel(CHANGES_BEHIND);
        let (opened, gates, damage, groups) = (Notify::new(), Mutex::default(), Damage::default(), RwLock::default());
        let shared = Self {
            config,
            engine,
            writer,
            transport,
            cache,
            routes,
            tasks,
            changes,
            opened,
            gates,
            memory,
            damage,
            groups,
        };
        Ok(Arc::new(shared))
    }

    pub(crate) fn me(&self) -> NodeId {
        self.config.node_id
    }

    pub(crate) fn get(&self, group: RaftGroupId) -> Option<Arc<RaftGroup>> {
        self.groups.read().get(&group).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<RaftGroup>> {
        self.groups.read().values().cloned().collect()
    }

    pub(crate) fn insert(&self, group: Arc<RaftGroup>) {
        self.groups.write().insert(group.id(), group);
    }

    pub(crate) fn take(&self, group: RaftGroupId) -> Option<Arc<RaftGroup>> {
        self.groups.write().remove(&group)
    }

    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        self.transport.liveness_table().is_alive(node)
    }

    /// What `node` answers to a question, within a time; nothing when it does not.
    pub(crate) async fn ask(&self, node: NodeId, question: &Request, within: Duration) -> Option<Response> {
        let peer = self.transport.peer(node)?;
        let asking = async { peer.lane(Lane::Control).request(question, Vec::new()).await.ok()?.await.ok() };
        timeout(within, asking).await.ok()?.map(|(answer, _)| answer)
    }

    /// Whether `node` is alive and wants leaderships.
    pub(crate) fn is_keen(&self, node: NodeId) -> bool {
        self.transport.is_keen(node)
    }

    /// Tells a group whether a majority of its voters is in sight, and which of them it may leave time to sync.
    pub(crate) fn look_for_quorum(&self, group: &RaftGroup) {
        group.state.look_for_quorum(|| {
            let voters = group.members().voters;
            group.spares.look(group.id().0, self.me(), &voters, |node| self.is_alive(node));
            voters.iter().filter(|node| self.is_alive(**node)).count() * 2 > voters.len()
        });
    }

    /// The groups that this node leads.
    pub(crate) fn led_here(&self) -> Vec<Arc<RaftGroup>> {
        let me = self.me();
        self.groups.read().values().filter(|group| group.state.leader_now().leader == Some(me)).cloned().collect()
    }

    /// This replica has seen a node fail to take over a group for want of entries that are here: it is the better one.
    pub(crate) fn contend(self: &Arc<Self>, group: &Arc<RaftGroup>) {
        self.tasks.spawn("raft contender", takeover::contend(self.clone(), group.clone()));
    }

    /// openraft's configuration for a group.
    pub(crate) fn raft_config(&self, purge: PurgePolicy) -> Result<openraft::Config, openraft::ConfigError> {
        let (snapshot_policy, keep) = match purge {
            PurgePolicy::EveryEntries(count) => (SnapshotPolicy::LogsSinceLast(count.max(1)), count.max(1) / 2),
            PurgePolicy::OnRequest => (SnapshotPolicy::Never, u64::MAX),
        };
        let config = openraft::Config {
            cluster_name: "caudal".to_owned(),
            // Groups have no clock: which leaders live is known between nodes (see `campaign`). A heartbeat is sent when a read or somebody who
            // does not know the leader asks for it; this is how long its answer may take.
            enable_tick: false,
            heartbeat_interval: millis(HEARTBEAT_WITHIN),
            heartbeat_min_interval: Some(0),
            // A leader's lease, without which it takes no writes, never runs out: a write is committed by a majority or not at all.
            election_timeout_min: FOR_EVER,
            election_timeout_max: FOR_EVER + 1,
            install_snapshot_timeout: millis(SNAPSHOT_WITHIN),
            max_payload_entries: APPEND_ENTRIES,
            replication_lag_threshold: u64::MAX,
            snapshot_policy,
            max_in_snapshot_log_to_keep: keep,
            api_channel_size: Some(CORE_QUEUE),
            notification_channel_size: Some(CORE_QUEUE),
            // Rings for statistics that this build does not take.
            log_stage_capacity: Some(1),
            backoff: "20ms 40ms ...500ms".to_owned(),
            // A leader's last entries may have reached a majority of the others before its own disk: were it to lead on in the
            // same term after a crash, it would put other entries in their places.
            enable_leader_restore: Some(false),
            ..openraft::Config::default()
        };
        config.validate()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
