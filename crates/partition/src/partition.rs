//! A partition's replica on this node.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use caudal_raft::{GroupOptions, GroupStatus, Leadership, Members, NodeLiveness, PurgePolicy, RaftGroup, RaftGroups};
use caudal_storage::{Engine, StorageError};
use caudal_types::{Clock, LeaderEpoch, NodeId, Offset, RaftGroupId, TimestampMs, TopicId, TopicPartition, limits};
use tokio::sync::watch;

use crate::compaction::BadBatches;
use crate::config::{LiveConfig, PartitionConfig};
use crate::disk::DiskReads;
use crate::in_sync::InSync;
use crate::machine::{PartitionStateMachine, leader_epoch};
use crate::read::ahead::ReadAheads;
use crate::recompress::Recompressions;
use crate::retention::Chores;
use crate::view::Published;
use crate::{AbortedTransaction, Acks, AppendError, Enlistment, ReadError};

/// Where a batch was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The time of the append, when the topic's timestamps are LogAppendTime; else -1.
    pub log_append_time: TimestampMs,
    /// The log's start.
    pub log_start: Offset,
    /// The batch was there before: the answer is the first one's.
    pub duplicate: bool,
}

/// An append's outcome to come: the batch is durable on a majority, or refused.
pub type PendingAppend = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

/// A partition's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PartitionOffsets {
    /// The first offset that can be read.
    pub log_start: Offset,
    /// One past the last committed record.
    pub high_watermark: Offset,
    /// One past the last record that a read_committed reader may see.
    pub last_stable: Offset,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The first offset wanted. A batch that holds it is returned whole.
    pub offset: Offset,
    /// The most bytes of batches.
    pub max_bytes: usize,
    /// Return the first batch even if it is larger than `max_bytes`, so that readers progress.
    pub at_least_one: bool,
    /// Read only up to the last stable offset.
    pub committed_only: bool,
    /// The leader epoch that the client believes in (KIP-320); -1 when it does not say.
    pub current_leader_epoch: LeaderEpoch,
    /// Refuse unless this node leads. Otherwise a follower serves what it has applied (KIP-392).
    pub leader_only: bool,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    /// The partition's offsets, from the moment of the read.
    pub offsets: PartitionOffsets,
    /// Whole batches with base offset and leader epoch filled in, in order, as slices that may be sent without copying. Each batch may be
    /// in several pieces (patched header, rest).
    pub records: Vec<Bytes>,
    /// For a reader of committed records: the transactions whose records it must skip.
    pub aborted: Vec<AbortedTransaction>,
}

impl ReadOutcome {
    /// How many bytes of records there are.
    pub fn len(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Which offset is wanted (ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The log's start.
    Earliest,
    /// The high watermark, or the last stable offset for read_committed readers; takes a quorum round.
    Latest {
        /// For a read_committed reader.
        committed_only: bool,
    },
    /// The first record whose timestamp is at least this.
    Timestamp {
        /// The time.
        at: TimestampMs,
        /// For a read_committed reader, to whom no later record is shown either.
        committed_only: bool,
    },
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp {
        /// For a read_committed reader, to whom it may not be shown yet; then there is none.
        committed_only: bool,
    },
}

/// An offset found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset.
    pub offset: Offset,
    /// The record's timestamp; -1 where the query was not about time.
    pub timestamp: TimestampMs,
    /// The leader epoch of the record.
    pub leader_epoch: LeaderEpoch,
}

/// Where an epoch ends (OffsetForLeaderEpoch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch at most the asked one that has records; the asked one itself if it is older than all that are known; -1 if it is newer.
    pub epoch: LeaderEpoch,
    /// One past its last offset; the log's start if it is older than all that are known; -1 if it is newer.
    pub end_offset: Offset,
}

/// What the partitions of a node share.
#[derive(Clone, Debug)]
pub(crate) struct NodeParts {
    pub(crate) node_id: NodeId,
    pub(crate) groups: RaftGroups,
    pub(crate) liveness: NodeLiveness,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: DiskReads,
    pub(crate) aheads: ReadAheads,
    pub(crate) chores: Arc<Chores>,
    pub(crate) recompressions: Recompressions,
}

/// What a partition is, by the cluster image.
#[derive(Clone, Debug)]
pub(crate) struct PartitionSpec {
    pub(crate) name: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) group: RaftGroupId,
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) config: Arc<PartitionConfig>,
}

/// A partition's replica on this node. Shared as an `Arc`.
pub struct Partition {
    name: TopicPartition,
    topic_id: TopicId,
    replicas: ArcSwap<Vec<NodeId>>,
    pub(crate) config: LiveConfig,
    pub(crate) node: Arc<NodeParts>,
    pub(crate) raft: Arc<RaftGroup>,
    leadership: watch::Receiver<Leadership>,
    pub(crate) published: Arc<Published>,
    pub(crate) in_sync: InSync,
    pub(crate) bad_batches: BadBatches,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("name", &self.name)
            .field("group", &self.group())
            .field("offsets", &self.published.offsets())
            .finish_non_exhaustive()
    }
}

impl Partition {
    /// Opens this node's replica, from the disk if it has been here before.
    pub(crate) async fn open(node: Arc<NodeParts>, spec: PartitionSpec) -> Result<Self, StorageError> {
        let (engine, group) = (Arc::clone(&node.engine), spec.group);
        let chores = Arc::clone(&node.chores);
        let machine = node.disk.run(move || PartitionStateMachine::open(engine, group, chores)).await?;
        let published = machine.published();
        let members = Members { voters: spec.replicas.clone(), learners: Vec::new() };
        let options = GroupOptions {
            purge: PurgePolicy::OnRequest,
            commit_within: limits::COMMIT_WITHIN,
            spare_sync_within: limits::SPARE_SYNC_WITHIN,
        };
        let raft = node.groups.open(group, members, Box::new(machine), options).await?;
        raft.set_flush(spec.config.flush()).await?;
        Ok(Self {
            name: spec.name,
            topic_id: spec.topic_id,
            replicas: ArcSwap::from_pointee(spec.replicas),
            config: LiveConfig::new(spec.config),
            leadership: raft.leadership(),
            node,
            raft,
            published,
            in_sync: InSync::default(),
            bad_batches: BadBatches::default(),
        })
    }

    /// What it was opened with, brought up to date.
    pub(crate) fn spec(&self) -> PartitionSpec {
        PartitionSpec {
            name: self.name.clone(),
            topic_id: self.topic_id,
            group: self.group(),
            replicas: self.replicas(),
            config: Arc::clone(&self.config.load()),
        }
    }

    /// Follows the cluster image. Answers whether [`flush_as_configured`](Self::flush_as_configured) has something to do.
    pub(crate) fn update(&self, replicas: &[NodeId], config: &Arc<PartitionConfig>) -> bool {
        if self.replicas.load().as_slice() != replicas {
            self.replicas.store(Arc::new(replicas.to_vec()));
        }
        let before = self.config.load_full();
        if before != *config {
            self.config.store(Arc::clone(config));
        }
        before.topic.flush != config.topic.flush
    }

    /// Syncs the log as the configuration says.
    pub(crate) async fn flush_as_configured(&self) -> Result<(), StorageError> {
        let policy = self.config.load().flush();
        self.raft.set_flush(policy).await
    }

    /// Which partition.
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// Its topic's id.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Its Raft group.
    pub fn group(&self) -> RaftGroupId {
        self.raft.id()
    }

    /// Its replicas; the first is the preferred leader.
    pub fn replicas(&self) -> Vec<NodeId> {
        self.replicas.load().as_ref().clone()
    }

    pub(crate) fn replica_count(&self) -> usize {
        self.replicas.load().len()
    }

    /// Validates one record batch as a producer sent it (magic 2, size, CRC, counts, timestamps, keys on compacted topics) and enqueues it: returns when it
    /// has its place in the order; the outcome comes with the returned future. Batches of one caller are appended in the order of its calls. A batch of a
    /// transaction comes with the proof that the transaction has this partition. `acks` says what is promised when it is acknowledged.
    ///
    /// # Errors
    /// Nothing was enqueued.
    pub async fn append(
        &self,
        batch: Bytes,
        enlistment: Option<Enlistment>,
        acks: Acks,
    ) -> Result<PendingAppend, AppendError> {
        self.enqueue(batch, enlistment, acks).await
    }

    /// Reads committed batches, from memory if they are there, else from disk off the async threads. Does not wait for records: an empty outcome
    /// means that `offset` is the end; wait on [`offsets`](Self::offsets).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        self.fetch(request).await
    }

    /// The partition's offsets, as they grow.
    pub fn offsets(&self) -> watch::Receiver<PartitionOffsets> {
        self.published.watch_offsets()
    }

    /// Finds an offset; `None` if no record fits.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn find_offset(
        &self,
        query: OffsetQuery,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<Option<FoundOffset>, ReadError> {
        self.check_leader(current_leader_epoch)?;
        self.find(query, true).await
    }

    /// Finds an offset in what this replica has applied, whether it leads or not.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn find_offset_here(
        &self,
        query: OffsetQuery,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<Option<FoundOffset>, ReadError> {
        self.check_epoch(current_leader_epoch)?;
        self.find(query, false).await
    }

    /// Where the records of an epoch end, with all that any replica may have shown.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn epoch_end(
        &self,
        epoch: LeaderEpoch,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<EpochEnd, ReadError> {
        self.check_leader(current_leader_epoch)?;
        self.settle().await?;
        self.end_of_epoch(epoch, current_leader_epoch)
    }

    /// Where the records of an epoch end, in what the leader has applied so far.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn epoch_end_so_far(
        &self,
        epoch: LeaderEpoch,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<EpochEnd, ReadError> {
        self.end_of_epoch(epoch, current_leader_epoch)
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// The bytes of this replica's log: of all its entries from the segment of the log's start on, refused ones included, as log compaction has left them.
    pub fn log_bytes(&self) -> u64 {
        let view = self.published.view();
        view.segments_as_left().iter().map(|segment| segment.bytes).sum::<u64>().saturating_add(view.open.bytes)
    }

    /// The Raft group's state.
    pub fn raft_status(&self) -> GroupStatus {
        self.raft.status()
    }

    pub(crate) fn leadership_now(&self) -> Leadership {
        *self.leadership.borrow()
    }

    /// Checks what the client believes (KIP-320), and that this node may serve; answers the leader epoch.
    pub(crate) fn check_leader(&self, client_epoch: LeaderEpoch) -> Result<LeaderEpoch, ReadError> {
        let leadership = self.check_epoch(client_epoch)?;
        if !leadership.serving {
            return Err(ReadError::NotLeader { leader: leadership.leader });
        }
        Ok(leader_epoch(leadership.term))
    }

    /// Checks what the client believes (KIP-320), wherever the leader is.
    pub(crate) fn check_epoch(&self, client_epoch: LeaderEpoch) -> Result<Leadership, ReadError> {
        let leadership = self.leadership_now();
        let current = leader_epoch(leadership.term);
        if client_epoch >= 0 && client_epoch < current {
            return Err(ReadError::FencedEpoch { current });
        }
        if client_epoch > current {
            return Err(ReadError::UnknownEpoch { current });
        }
        Ok(leadership)
    }
}
