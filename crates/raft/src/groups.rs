//! All Raft groups of this node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{Engine, LogWriter, StorageError};
use caudal_types::{NodeId, RaftGroupId};
use futures::{StreamExt, stream};
use tokio::sync::{broadcast, watch};

use crate::manage::errands::{self, Clerk, HandBackError, Standing};
use crate::manage::forgotten::Forgotten;
use crate::manage::{Shared, balance, overseer, recovery};
use crate::net::service::Service;
use crate::{CallError, Leadership, Members, RaftGroup, StateMachine, Transport, transport};

/// When a Raft group's log is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgePolicy {
    /// By itself, behind a snapshot, whenever this many entries were applied since the last one. For tables.
    EveryEntries(u64),
    /// Only by [`RaftGroup::purge`]. For partitions, whose log is the data.
    OnRequest,
}

/// What differs between Raft groups.
#[derive(Clone, Copy, Debug)]
pub struct GroupOptions {
    /// When the log is purged.
    pub purge: PurgePolicy,
    /// How long a follower may go without word that an entry is committed, unless the next entry takes it along. A follower needs it to serve
    /// reads of its own and no more, and the word is a message as large as an entry's. Zero tells it at once.
    pub commit_within: Duration,
    /// By when followers sync that no majority needs; their answer comes later then, and means the same. Whole milliseconds; zero makes all sync at once.
    pub spare_sync_within: Duration,
}

/// What a node's Raft groups share.
#[derive(Clone, Debug)]
pub struct RaftGroupsConfig {
    /// This node.
    pub node_id: NodeId,
    /// How long an election, or a change of leaders, may take before it is tried again.
    pub election_timeout: Duration,
    /// How long a node that was lost must have been back before it is given the leaderships that it is preferred for.
    pub rebalance_after: Duration,
    /// How long a write may be at the disk before the node is taken for unfit to lead.
    pub disk_stall_after: Duration,
    /// The most bytes of log entries kept in memory over all groups.
    pub log_cache_bytes: usize,
}

/// All Raft groups of this node; a cheap handle.
#[derive(Clone, Debug)]
pub struct RaftGroups {
    pub(crate) shared: Arc<Shared>,
}

impl RaftGroups {
    /// Makes the set and registers it with `transport`; no group is open yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the disk refuses, or what it says of the node's memory is damaged.
    pub fn new(
        config: RaftGroupsConfig,
        engine: Arc<dyn Engine>,
        log_writer: LogWriter,
        transport: Transport,
    ) -> Result<Self, StorageError> {
        transport.watch_disk(log_writer.clone(), config.disk_stall_after);
        let shared = Shared::new(config, engine, log_writer, transport.clone())?;
        let groups = Arc::downgrade(&shared);
        transport.serve(transport::Service::Groups, Arc::new(Clerk(groups.clone())));
        transport.serve_raft(Arc::new(Service { groups, incoming: Arc::default() }));
        overseer::start(&shared);
        Ok(Self { shared })
    }

    /// Whether this node has lost its data, or came late, and waits to be told by [`remember`](Self::remember) which Raft groups exist. Until
    /// then it opens no replica but that of the metadata group.
    pub fn has_forgotten(&self) -> bool {
        self.shared.memory.is_unknown()
    }

    /// All Raft groups that may have been on this node before its data was lost are below `bound`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn remember(&self, bound: RaftGroupId) -> Result<(), StorageError> {
        self.shared.memory.set(&self.shared, Forgotten::Below(bound)).await
    }

    /// Opens this node's replica of a Raft group: from the disk if it has been here before, else empty, with `members`. The preferred leader (first
    /// voter) campaigns at once; should it be down, the others do a little later. With no voters at all, an empty replica only waits
    /// for the leader of a group that exists elsewhere: so must a replica be opened that joins a group later.
    ///
    /// # Errors
    /// When the disk refuses or the stored state is damaged.
    pub async fn open(
        &self,
        group: RaftGroupId,
        members: Members,
        state_machine: Box<dyn StateMachine>,
        options: GroupOptions,
    ) -> Result<Arc<RaftGroup>, StorageError> {
        self.shared.open(group, members, state_machine, options).await
    }

    /// The replica of a group, if it is open.
    pub fn get(&self, group: RaftGroupId) -> Option<Arc<RaftGroup>> {
        self.shared.get(group)
    }

    /// All open replicas.
    pub fn all(&self) -> Vec<Arc<RaftGroup>> {
        self.shared.all()
    }

    /// Stops the replica of a group and keeps its data.
    pub async fn close(&self, group: RaftGroupId) {
        self.shared.close(group).await;
    }

    /// Stops the replica of a group and removes its data: log, votes, index and state.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn remove(&self, group: RaftGroupId) -> Result<(), StorageError> {
        self.shared.remove(group).await
    }

    /// Doubts every replica that is on the disk, and that is not any more: the disk has lost what was synced. To be called before any is opened; survives a
    /// restart.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn doubt_all(&self) -> Result<(), StorageError> {
        recovery::doubt_all(&self.shared).await
    }

    /// The groups of which this node's replica is damaged, as they become known. Each is to be closed by whoever opened it, and [rebuilt](Self::rebuild).
    pub fn damaged(&self) -> watch::Receiver<BTreeSet<RaftGroupId>> {
        self.shared.damage.watch()
    }

    /// Notes it when `error`, met when this node's replica of a group was opened, means that it is damaged.
    pub fn note_damage(&self, group: RaftGroupId, error: &StorageError) {
        self.shared.damage.note(group, error);
    }

    /// Throws the damaged replica of a group away: stops it and removes its data. Opened again, it rebuilds itself from the others, and does not
    /// vote before it has caught up. Refused unless each of the other `voters` has a sound replica.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when it is refused: nothing was removed. Others when the disk refuses.
    pub async fn rebuild(&self, group: RaftGroupId, voters: &[NodeId]) -> Result<(), StorageError> {
        self.shared.rebuild(group, voters).await
    }

    /// Changes of leadership of any open group, as this node sees them. A receiver that lags must look at [`all`](Self::all).
    pub fn leadership_changes(&self) -> broadcast::Receiver<(RaftGroupId, Leadership)> {
        self.shared.changes.subscribe()
    }

    /// Hands the leaderships that this node holds to live, caught-up followers; returns when none is left or `within` has passed. From then on
    /// this node wants no leaderships any more: it is about to stop.
    pub async fn transfer_all(&self, within: Duration) {
        balance::transfer_all(&self.shared, within).await;
    }

    /// Has `leader` give groups that it leads to their preferred leaders, those that are alive and have caught up. The answers are in the order of
    /// `groups`.
    pub async fn hand_back(
        &self,
        leader: NodeId,
        groups: &[RaftGroupId],
        within: Duration,
    ) -> Vec<Result<(), HandBackError>> {
        errands::have_handed_back(&self.shared, leader, groups, within).await
    }

    /// How the members of a group are doing, as `leader` sees it; nothing when that node does not lead the group.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn standing(
        &self,
        leader: NodeId,
        group: RaftGroupId,
        within: Duration,
    ) -> Result<Option<Standing>, CallError> {
        errands::standing(&self.shared, leader, group, within).await
    }

    /// Stops all groups.
    pub async fn shutdown(&self) {
        self.shared.transport.stop_serving_raft();
        self.shared.tasks.shutdown().await;
        let ids = self.shared.all().into_iter().map(|group| group.id());
        stream::iter(ids).for_each_concurrent(None, |id| self.shared.close(id)).await;
    }
}
