//! The handle that request handlers use.

mod consumers;

use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::Controller;
use caudal_partition::Partitions;
use caudal_raft::{RaftGroups, Transport};
use caudal_storage::Engine;
use caudal_types::{Clock, NodeId, Tasks, mutant};
use tokio::sync::Notify;
use tokio::time;

use crate::classic::Millis;
use crate::command::TopicCommit;
use crate::fetch::{FetchedOffset, OffsetTeller};
use crate::leader::{Leader, Pending, topics_to_commit};
use crate::model::{
    DescribedGroup, JoinRequest, Joined, ListedGroup, MemberIdentity, OffsetKey, OffsetToCommit, OffsetsQuestion,
    SyncRequest, Synced,
};
use crate::shard::{Shard, Surroundings};
use crate::shards::Shards;
use crate::tables::Tables;
use crate::transactions::node::TransactionNode;
use crate::{ConsumerGroupConfig, GroupError};

/// How long the replication of a commit or removal, or the proof that this node leads, may take (`offsets.commit.timeout.ms`).
pub(crate) const REPLICATION_WAIT: Duration = Duration::from_secs(5);

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
    /// `transaction.max.timeout.ms`.
    pub transaction_max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration_ms: i64,
    /// Groups of the consumer protocol.
    pub consumer: ConsumerGroupConfig,
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
            transaction_max_timeout_ms: 900_000,
            transactional_id_expiration_ms: 7 * 24 * 3_600_000,
            consumer: ConsumerGroupConfig::default(),
        }
    }
}

/// The coordinator: all shards of which this node has a replica; a cheap handle. Every call answers
/// [`GroupError::NotCoordinator`] when another node leads the group's shard.
///
/// Calls may be dropped while they wait: what was decided takes its course, and the answer goes nowhere.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(crate) config: Arc<CoordinatorConfig>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) transactions: Arc<TransactionNode>,
    offsets: Arc<OffsetTeller>,
    tasks: Tasks,
}

/// What the coordinator stands on.
#[derive(Clone, Debug)]
pub struct CoordinatorParts {
    /// The cluster's truth.
    pub controller: Controller,
    /// This node's partitions, which transactions end in.
    pub partitions: Partitions,
    /// The Raft groups.
    pub groups: RaftGroups,
    /// The other nodes.
    pub transport: Transport,
    /// The disk.
    pub engine: Arc<dyn Engine>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl Coordinator {
    /// Opens this node's shards as the cluster image says, and runs the timers of those that it leads.
    pub fn start(config: CoordinatorConfig, parts: CoordinatorParts) -> Self {
        let CoordinatorParts { controller, partitions, groups, transport, engine, clock } = parts;
        let (config, tasks, work) = (Arc::new(config), Tasks::new(), Arc::<Notify>::default());
        let (images, transactions) = (controller.images(), Arc::clone(&work));
        let around = Surroundings { config: config.clone(), images, clock, transactions };
        let shards = Arc::new(Shards::new(around, controller.leaders().clone()));
        let (opened, openers) = (shards.clone(), tasks.clone());
        tasks.supervise("coordinator-shards", move || {
            opened.clone().open_all(groups.clone(), engine.clone(), openers.clone())
        });
        let node_id = config.node_id;
        let offsets = OffsetTeller::start(node_id, shards.clone(), controller.leaders().clone(), transport.clone());
        let transactions = TransactionNode::start(node_id, shards.clone(), partitions, controller, transport, work);
        let (completed, timed) = (transactions.clone(), transactions.clone());
        tasks.supervise("transactions", move || completed.clone().run());
        tasks.supervise("transaction time-outs", move || timed.clone().mind_time());
        Self { config, shards, transactions, offsets, tasks }
    }

    /// The node that coordinates `key` (a group id, later also a transactional id).
    pub fn coordinator_of(&self, key: &str) -> Option<NodeId> {
        self.shards.leader_of(key)
    }

    /// Joins a group; answers when the rebalance is complete.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn join(&self, request: JoinRequest) -> Result<Joined, GroupError> {
        check_group_id(&request.group_id)?;
        let (min, max) = (self.config.min_session_timeout_ms, self.config.max_session_timeout_ms);
        if !(min..=max).contains(&request.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout { got: request.session_timeout_ms, min, max });
        }
        let group_id = request.group_id.clone();
        let pending = self.lead(&group_id, |leader, tables, now| leader.join(tables, request, now)).await?;
        pending.await.unwrap_or_else(|_| Err(self.not_coordinator(&group_id)))
    }

    /// Takes the leader's assignments and answers each member's own, when they are there and replicated.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn sync(&self, request: SyncRequest) -> Result<Synced, GroupError> {
        check_group_id(&request.group_id)?;
        let group_id = request.group_id.clone();
        let pending = self.lead(&group_id, |leader, tables, now| leader.sync(tables, request, now)).await?;
        pending.await.unwrap_or_else(|_| Err(self.not_coordinator(&group_id)))
    }

    /// Shows that a member lives. A node that is just taking over says yes: it gives every member a whole session.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] tells the member to join again; see [`GroupError`].
    pub fn heartbeat(&self, group_id: &str, member: &MemberIdentity) -> Result<(), GroupError> {
        check_group_id(group_id)?;
        let shard = self.shard(group_id)?;
        match shard.lead(|leader, tables, now| leader.heartbeat(tables, group_id, member, now)) {
            Some(answer) => answer,
            None if shard.is_taking_over(self.config.node_id) => Ok(()),
            None => Err(self.not_coordinator(group_id)),
        }
    }

    /// Takes members out of a group; one result each.
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn leave(
        &self,
        group_id: &str,
        members: Vec<MemberIdentity>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        check_group_id(group_id)?;
        let leave = |leader: &mut Leader, tables: &Tables, now| leader.leave(tables, group_id, &members, now);
        let (results, pending) = self.lead(group_id, leave).await?;
        self.replicated(group_id, pending).await?;
        Ok(results)
    }

    /// Commits offsets; one result each, in order. The group id may be empty. A member of a group that does not exist is answered
    /// [`GroupError::GroupNotFound`] (which older clients know as ILLEGAL_GENERATION).
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn commit_offsets(
        &self,
        group_id: &str,
        member: &MemberIdentity,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let group: Arc<str> = group_id.into();
        let commit =
            |leader: &mut Leader, tables: &Tables, now| leader.commit_offsets(tables, &group, member, offsets, now);
        let (results, pending) = self.lead(group_id, commit).await??;
        if let Some(pending) = pending
            && !mutant::active("group_commit_acked_before_replication")
        {
            self.replicated(group_id, pending).await?;
        }
        Ok(results)
    }

    /// What may be committed of `offsets`, and one result each.
    pub(crate) fn topics_to_commit(
        &self,
        offsets: Vec<OffsetToCommit>,
    ) -> (Vec<TopicCommit>, Vec<Result<(), GroupError>>) {
        topics_to_commit(offsets, &self.shards.image(), self.config.offset_metadata_max_bytes)
    }

    /// Committed offsets: of the keys asked for, in their order (`None` where there is none), or all that the group has. They are never older than a
    /// commit that was answered before the call, by whichever node. Another node that coordinates the group is asked by this one.
    ///
    /// # Errors
    /// When the request is refused. A group that does not exist has no offsets; that is no error.
    pub async fn fetch_offsets(
        &self,
        question: &OffsetsQuestion,
    ) -> Result<Vec<(OffsetKey, FetchedOffset)>, GroupError> {
        self.offsets.tell(question).await
    }

    /// Removes committed offsets; one result each, in order.
    ///
    /// # Errors
    /// When the whole request is refused.
    pub async fn delete_offsets(
        &self,
        group_id: &str,
        keys: Vec<OffsetKey>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        check_group_id(group_id)?;
        let remove = |leader: &mut Leader, tables: &Tables, _| leader.remove_offsets(tables, group_id, keys);
        let (results, pending) = self.lead(group_id, remove).await??;
        self.replicated(group_id, pending).await?;
        Ok(results)
    }

    /// The groups of the shards that this node leads.
    pub fn list_groups(&self) -> Vec<ListedGroup> {
        let list = |shard: Arc<Shard>| shard.lead(|leader, tables, _| leader.list(tables));
        self.shards.all().into_iter().filter_map(list).flatten().collect()
    }

    /// A group; a group that does not exist is [`GroupError::GroupNotFound`].
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn describe_group(&self, group_id: &str) -> Result<DescribedGroup, GroupError> {
        let described = self.shard(group_id)?.lead(|leader, tables, _| leader.describe(tables, group_id));
        described.unwrap_or_else(|| Err(self.not_coordinator(group_id)))
    }

    /// Removes an empty group with its offsets.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn delete_group(&self, group_id: &str) -> Result<(), GroupError> {
        let delete = |leader: &mut Leader, tables: &Tables, _| leader.delete(tables, group_id);
        let pending = self.lead(group_id, delete).await??;
        self.replicated(group_id, pending).await
    }

    /// Stops the timers. Whoever waits is answered [`GroupError::NotCoordinator`].
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
        for shard in self.shards.all() {
            shard.stop();
        }
    }

    pub(crate) async fn lead<T>(
        &self,
        group_id: &str,
        decide: impl FnOnce(&mut Leader, &Tables, Millis) -> T,
    ) -> Result<T, GroupError> {
        let shard = self.shards.serving(group_id).await?;
        shard.lead(decide).ok_or_else(|| self.not_coordinator(group_id))
    }

    fn shard(&self, group_id: &str) -> Result<Arc<Shard>, GroupError> {
        self.shards.of(group_id).ok_or_else(|| self.not_coordinator(group_id))
    }

    fn not_coordinator(&self, group_id: &str) -> GroupError {
        GroupError::NotCoordinator { coordinator: self.coordinator_of(group_id) }
    }

    async fn replicated(&self, group_id: &str, pending: Pending<()>) -> Result<(), GroupError> {
        match time::timeout(REPLICATION_WAIT, pending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.not_coordinator(group_id)),
            Err(_) => Err(not_in_time()),
        }
    }
}

fn check_group_id(group_id: &str) -> Result<(), GroupError> {
    if group_id.is_empty() { Err(GroupError::InvalidGroupId) } else { Ok(()) }
}

pub(crate) fn not_in_time() -> GroupError {
    let seconds = REPLICATION_WAIT.as_secs();
    GroupError::NotAvailable(format!("a majority of its replicas did not answer within {seconds} s; try again"))
}
