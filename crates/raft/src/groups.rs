//! All Raft groups of this node.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{Engine, LogWriter, StorageError};
use caudal_types::{NodeId, RaftGroupId};
use tokio::sync::broadcast;

use crate::{Leadership, Members, RaftGroup, StateMachine, Transport};

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
}

/// What a node's Raft groups share.
#[derive(Clone, Debug)]
pub struct RaftGroupsConfig {
    /// This node.
    pub node_id: NodeId,
    /// How often a leader shows its followers that it lives. Sent for all groups between two nodes together.
    pub heartbeat_interval: Duration,
    /// The shortest time without a leader's sign after which a follower campaigns; the longest is twice this.
    pub election_timeout: Duration,
    /// The most bytes of log entries kept in memory over all groups.
    pub log_cache_bytes: usize,
}

/// All Raft groups of this node; a cheap handle.
#[derive(Clone, Debug)]
pub struct RaftGroups {}

impl RaftGroups {
    /// Makes the set and registers it with `transport`; no group is open yet.
    pub fn new(
        _config: RaftGroupsConfig,
        _engine: Arc<dyn Engine>,
        _log_writer: LogWriter,
        _transport: Transport,
    ) -> Self {
        todo!()
    }

    /// Opens this node's replica of a Raft group: from the disk if it has been here before, else empty, with `members`. The preferred leader (first
    /// voter) campaigns at once; should it be down, the others do after their time-out.
    ///
    /// # Errors
    /// When the disk refuses or the stored state is damaged.
    pub async fn open(
        &self,
        _group: RaftGroupId,
        _members: Members,
        _state_machine: Box<dyn StateMachine>,
        _options: GroupOptions,
    ) -> Result<Arc<RaftGroup>, StorageError> {
        todo!()
    }

    /// The replica of a group, if it is open.
    pub fn get(&self, _group: RaftGroupId) -> Option<Arc<RaftGroup>> {
        todo!()
    }

    /// All open replicas.
    pub fn all(&self) -> Vec<Arc<RaftGroup>> {
        todo!()
    }

    /// Stops the replica of a group and keeps its data.
    pub async fn close(&self, _group: RaftGroupId) {
        todo!()
    }

    /// Stops the replica of a group and removes its data: log, votes, index and state.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn remove(&self, _group: RaftGroupId) -> Result<(), StorageError> {
        todo!()
    }

    /// Changes of leadership of any open group, as this node sees them. A receiver that lags must look at [`all`](Self::all).
    pub fn leadership_changes(&self) -> broadcast::Receiver<(RaftGroupId, Leadership)> {
        todo!()
    }

    /// Hands the leaderships that this node holds to live, caught-up followers; returns when none is left or `within` has passed.
    pub async fn transfer_all(&self, _within: Duration) {
        todo!()
    }

    /// Stops all groups.
    pub async fn shutdown(&self) {
        todo!()
    }
}
