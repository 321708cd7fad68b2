//! The handle that request handlers use.

use std::sync::Arc;

use caudal_metadata::Controller;
use caudal_raft::RaftGroups;
use caudal_storage::Engine;
use caudal_types::{Clock, NodeId};

use crate::GroupError;
use crate::model::{
    CommittedOffset, DescribedGroup, JoinRequest, Joined, ListedGroup, MemberIdentity, OffsetKey, OffsetToCommit,
    SyncRequest, Synced,
};

/// What the coordinator needs to know. Names and defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// This node.
    pub node_id: NodeId,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub max_group_size: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_check_interval_ms: i64,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
}

impl CoordinatorConfig {
    /// Kafka's defaults.
    pub fn new(node_id: NodeId) -> Self {
        Self {
            node_id,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_group_size: usize::MAX,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            offsets_check_interval_ms: 600_000,
            offset_metadata_max_bytes: caudal_types::limits::OFFSET_METADATA_MAX_BYTES,
        }
    }
}

/// The coordinator: all shards of which this node has a replica; a cheap handle. Every call answers
/// [`GroupError::NotCoordinator`] when another node leads the group's shard.
#[derive(Clone, Debug)]
pub struct Coordinator {}

impl Coordinator {
    /// Opens this node's shards as the cluster image says, and runs the timers of those that it leads.
    pub fn start(
        _config: CoordinatorConfig,
        _controller: Controller,
        _groups: RaftGroups,
        _engine: Arc<dyn Engine>,
        _clock: Arc<dyn Clock>,
    ) -> Self {
        todo!()
    }

    /// The node that coordinates `key` (a group id, later also a transactional id).
    pub fn coordinator_of(&self, _key: &str) -> Option<NodeId> {
        todo!()
    }

    /// Joins a group; answers when the rebalance is complete.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn join(&self, _request: JoinRequest) -> Result<Joined, GroupError> {
        todo!()
    }

    /// Takes the leader's assignments and answers each member's own, when they are there and replicated.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn sync(&self, _request: SyncRequest) -> Result<Synced, GroupError> {
        todo!()
    }

    /// Shows that a member lives.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] tells the member to join again; see [`GroupError`].
    pub fn heartbeat(&self, _group_id: &str, _member: &MemberIdentity) -> Result<(), GroupError> {
        todo!()
    }

    /// Takes members out of a group; one result each.
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn leave(
        &self,
        _group_id: &str,
        _members: Vec<MemberIdentity>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        todo!()
    }

    /// Commits offsets; one result each, in order.
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn commit_offsets(
        &self,
        _group_id: &str,
        _member: &MemberIdentity,
        _offsets: Vec<OffsetToCommit>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        todo!()
    }

    /// Committed offsets: of `keys`, in their order (`None` where there is none), or all that the group has.
    ///
    /// # Errors
    /// When the request is refused. A group that does not exist has no offsets; that is no error.
    pub async fn fetch_offsets(
        &self,
        _group_id: &str,
        _keys: Option<Vec<OffsetKey>>,
    ) -> Result<Vec<(OffsetKey, Option<CommittedOffset>)>, GroupError> {
        todo!()
    }

    /// Removes committed offsets; one result each, in order.
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn delete_offsets(
        &self,
        _group_id: &str,
        _keys: Vec<OffsetKey>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        todo!()
    }

    /// The groups of the shards that this node leads.
    pub fn list_groups(&self) -> Vec<ListedGroup> {
        todo!()
    }

    /// A group; a group that does not exist is [`GroupError::GroupNotFound`].
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn describe_group(&self, _group_id: &str) -> Result<DescribedGroup, GroupError> {
        todo!()
    }

    /// Removes an empty group with its offsets.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn delete_group(&self, _group_id: &str) -> Result<(), GroupError> {
        todo!()
    }

    /// Stops the timers.
    pub async fn shutdown(&self) {
        todo!()
    }
}
