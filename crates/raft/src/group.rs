//! One Raft group on this node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use caudal_storage::{DiskSpace, StorageError, WriteBatch};
use caudal_types::{NodeId, RaftGroupId, limits};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{ChangeMembers, EntryPayload, ReadPolicy};
use tokio::sync::{Mutex, Semaphore, watch};

use crate::log::GroupLog;
use crate::log::flush::{FlushPolicy, Unflushed};
use crate::machine::MachineCore;
use crate::manage::recovery::{Stage, Trust};
use crate::proposals::{self, Errors, Outcome};
use crate::state::GroupState;
use crate::types::{self, Command, RaftHandle, raft_id};

/// Who takes part in a Raft group. The first voter is the preferred leader.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Members {
    /// Nodes that vote and count for the majority.
    pub voters: Vec<NodeId>,
    /// Nodes that only follow.
    pub learners: Vec<NodeId>,
}

/// Who leads, as this node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// This node leads, and has applied everything that earlier leaders committed: it may serve.
    pub serving: bool,
}

/// A proposal's outcome.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// The state machine's reply.
    pub reply: Bytes,
}

/// Why a proposal has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead the Raft group. The proposal was not taken.
    #[error("this node does not lead the Raft group; the leader is {leader:?}")]
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// Leadership was lost, or the group stopped, before the outcome was known: the proposal may yet be committed.
    #[error("leadership was lost before the outcome was known")]
    Unknown,
    /// The change of members was refused, for this reason. It was not taken.
    #[error("the change of members is refused: {0}")]
    Refused(String),
    /// The store does not take writes. The proposal was not taken.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The Raft group was removed or the node is stopping. The proposal was not taken.
    #[error("the Raft group is stopped")]
    Stopped,
}

/// The outcome to come of an enqueued proposal.
pub type PendingProposal = Pin<Box<dyn Future<Output = Result<Applied, ProposeError>> + Send>>;

/// An entry read back from the log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The command; empty for Raft's own entries.
    pub payload: Bytes,
}

/// A Raft group's state, for metrics and status.
#[derive(Clone, Debug, Default)]
pub struct GroupStatus {
    /// The group's members.
    pub members: Members,
    /// Who leads.
    pub leadership: Leadership,
    /// The last index in the log.
    pub last_log_index: u64,
    /// The last index that is applied.
    pub applied_index: u64,
    /// The last index that the log does not have any more; 0 while it has all.
    pub purged_index: u64,
    /// On the leader: the last index known to be durable on each member.
    pub matched: Vec<(NodeId, u64)>,
    /// Why the replica stopped, when it did.
    pub failed: Option<String>,
    /// The replica may have forgotten what it promised, and does not vote until it has caught up.
    pub doubtful: bool,
    /// What is written and may be acknowledged, and is not synced.
    pub unflushed: Unflushed,
}

/// A replica of a Raft group on this node. Shared as an `Arc`.
pub struct RaftGroup {
    pub(crate) state: Arc<GroupState>,
    pub(crate) raft: RaftHandle,
    pub(crate) log: Arc<GroupLog>,
    pub(crate) core: Arc<MachineCore>,
    /// The members with which the group was opened, for a replica that knows of no other yet.
    pub(crate) opened_with: Members,
    /// The bytes that proposals without an outcome may have.
    pub(crate) room: Arc<Semaphore>,
    /// How many reads wait for a confirmation by heartbeat.
    pub(crate) reads_waiting: Arc<AtomicUsize>,
    pub(crate) errors: Errors,
    pub(crate) election_timeout: Duration,
    /// One snapshot at a time.
    pub(crate) purging: Mutex<()>,
    /// One hand-over at a time: each would name heirs of its own, and depose whom another has just helped into office.
    pub(crate) handing_over: Mutex<()>,
    pub(crate) trust: Trust,
    /// Its log is what clients wrote, and may be large: it takes nothing more when the disk is full.
    pub(crate) holds_records: bool,
}

/// How long a snapshot and the purge behind it may take.
const PURGE_WITHIN: Duration = Duration::from_secs(60);
/// How often each voter is asked to take leadership over.
const TRANSFER_ROUNDS: usize = 3;
/// How many entries a learner may lack when it becomes a voter.
const LEARNER_LAG: u64 = 1000;

impl fmt::Debug for RaftGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftGroup").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Counts a read while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lays a leadership down when it is dropped, unless it was handed over.
struct Resignation<'a> {
    state: &'a GroupState,
    term: Option<u64>,
}

impl Drop for Resignation<'_> {
    fn drop(&mut self) {
        if let Some(term) = self.term {
            self.state.doubt(term);
        }
    }
}

impl RaftGroup {
    /// Which one.
    pub fn id(&self) -> RaftGroupId {
        self.state.id
    }

    /// Enqueues a command: returns when it has its place in the order (waiting while the queue is full, bounded by bytes); the outcome comes with
    /// the returned future. Commands of one caller are committed in the order of its calls. Commands that wait together travel together.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`], [`ProposeError::Storage`] or [`ProposeError::Stopped`]: nothing was enqueued.
    pub async fn enqueue(&self, command: Bytes) -> Result<PendingProposal, ProposeError> {
        let term = self.ensure_leads()?.term;
        let bytes = command.len().clamp(1, limits::PROPOSAL_QUEUE_BYTES);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| ProposeError::Stopped)?;
        let (outcome, receiver) = Outcome::new(room);
        // openraft's core takes all that waits in its queue as one write.
        let sent = self.raft.client_write_ff(Command(command), Some(outcome)).await;
        sent.map_err(|error| self.errors.fatal(&error))?;
        Ok(proposals::pending(receiver, self.state.clone(), term, self.errors.clone(), self.election_timeout))
    }

    /// Enqueues a command and waits for its outcome.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: Bytes) -> Result<Applied, ProposeError> {
        self.enqueue(command).await?.await
    }

    /// From now on this replica's log is synced before entries count as acknowledged (`None`, as at first), or when they are written, and synced by `policy`.
    /// Raft's votes and members are synced at once in any case. Returns when the change is in force, and everything before is synced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn set_flush(&self, policy: Option<FlushPolicy>) -> Result<(), StorageError> {
        self.log.set_flush(policy).await
    }

    /// What is written and may be acknowledged, and is not synced.
    pub fn unflushed(&self) -> Unflushed {
        self.log.unflushed()
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.state.leadership()
    }

    /// The last applied index, as it grows.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.state.applied()
    }

    /// Confirms with a majority that this node leads, and waits until everything committed before the call is applied
    /// (ReadIndex; rests on no lease).
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] when it does not lead.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        self.ensure_leads()?;
        let _waiting = Waiting::begin(&self.reads_waiting);
        let confirmed = self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
        confirmed.map(drop).map_err(|error| self.errors.read(error))
    }

    /// Waits until `copies` voters have the entry at `index` on their disks, which may be never. Over as well when this node does not lead any more.
    ///
    /// # Errors
    /// When the group is stopped.
    pub fn await_copies(
        &self,
        index: u64,
        copies: usize,
    ) -> impl Future<Output = Result<(), ProposeError>> + Send + use<> {
        let (raft, errors) = (self.raft.clone(), self.errors.clone());
        let enough = move |metrics: &types::Metrics| {
            let Some(replication) = &metrics.replication else { return true };
            let has = |id: &u64| replication.get(id).and_then(Option::as_ref).is_some_and(|at| at.index >= index);
            metrics.membership_config.voter_ids().filter(has).count() >= copies
        };
        async move {
            let waited = raft.wait(None).metrics(enough, "copies of an entry").await;
            waited.map(drop).map_err(|_| errors.storage().unwrap_or(ProposeError::Stopped))
        }
    }

    /// Hands leadership to `to`, if this node leads. Should `to` not take over in time, any other voter may: a leader that has begun to hand
    /// over takes no writes any more. Should nobody take over, or the caller not wait for it, this node lays the leadership down, so that
    /// there is an election. Waits for a hand-over that is under way.
    ///
    /// # Errors
    /// When this node does not lead or the group is stopped; [`ProposeError::Unknown`] when nobody took over in time.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), ProposeError> {
        let _alone = self.handing_over.lock().await;
        let now = self.ensure_leads()?;
        if to == self.state.me {
            return Ok(());
        }
        let voters = self.members().voters;
        if !voters.contains(&to) {
            return Err(ProposeError::Refused(format!("node {to} is no voter of Raft group {}", self.id())));
        }
        let mut resignation = Resignation { state: &self.state, term: Some(now.term) };
        let others = voters.iter().filter(|node| **node != self.state.me);
        for heir in std::iter::once(&to).chain(others.cycle()).take(voters.len() * TRANSFER_ROUNDS) {
            let mut leadership = self.leadership();
            let asked = self.raft.trigger().transfer_leader(raft_id(*heir)).await;
            asked.map_err(|error| self.errors.fatal(&error))?;
            let moved = leadership.wait_for(|seen| seen.leader.is_some() && seen.leader != now.leader);
            match tokio::time::timeout(self.election_timeout, moved).await {
                Ok(Ok(_)) => {
                    resignation.term = None;
                    return Ok(());
                }
                Ok(Err(_)) => return Err(ProposeError::Stopped),
                Err(_) => tracing::warn!(group = %self.id(), %heir, "a leadership was not taken over in time"),
            }
        }
        Err(ProposeError::Unknown)
    }

    /// Whether its leadership is being handed over.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.handing_over.try_lock().is_err()
    }

    /// Changes the members. New voters follow as learners until they have nearly everything.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn change_members(&self, members: Members) -> Result<(), ProposeError> {
        self.ensure_leads()?;
        let (nodes, voters) = (types::ranked(&members), types::voter_ids(&members));
        let known = self.known_nodes();
        let added: BTreeMap<_, _> =
            nodes.iter().filter(|(id, _)| !known.contains(id)).map(|(id, r)| (*id, *r)).collect();
        if !added.is_empty() {
            self.change(ChangeMembers::AddNodes(added), true).await?;
        }
        self.wait_for_learners(&voters).await?;
        // Voters that are not named go by themselves, learners do not.
        let learners = self.members().learners.into_iter().map(raft_id);
        let gone = learners.filter(|id| !nodes.contains_key(id)).collect();
        let changes = vec![
            ChangeMembers::RemoveNodes(gone),
            ChangeMembers::SetNodes(nodes),
            ChangeMembers::ReplaceAllVoters(voters),
        ];
        self.change(ChangeMembers::Batch(changes), false).await
    }

    /// Takes the state machine's snapshot (see [`crate::StateMachine::snapshot`]) and purges the log up to its index, on this
    /// replica alone. A leader purges once no entry that goes is on its way to a follower.
    ///
    /// # Errors
    /// When the snapshot fails, it takes too long, or the group is stopped. Trying again later does no harm.
    pub async fn purge(&self) -> Result<(), ProposeError> {
        let _one = self.purging.lock().await;
        let work = async {
            let mut built = self.core.built();
            let before = built.borrow_and_update().attempt;
            self.raft.trigger().snapshot().await.map_err(|error| self.errors.fatal(&error))?;
            let built = built.wait_for(|built| built.attempt > before).await.map(|built| *built);
            let Some(upto) = built.map_err(|_| ProposeError::Stopped)?.upto else { return Ok(()) };
            // openraft purges no further than the snapshot that it knows of.
            let known = |metrics: &crate::types::Metrics| metrics.snapshot >= Some(upto);
            let waited = self.raft.wait(Some(PURGE_WITHIN)).metrics(known, "the snapshot before a purge").await;
            waited.map_err(|_| self.errors.storage().unwrap_or(ProposeError::Stopped))?;
            self.raft.trigger().purge_log(upto.index).await.map_err(|error| self.errors.fatal(&error))?;
            let gone = |metrics: &crate::types::Metrics| metrics.purged >= Some(upto);
            let waited = self.raft.wait(Some(PURGE_WITHIN)).metrics(gone, "the purge of a log").await;
            waited.map(drop).map_err(|_| self.errors.storage().unwrap_or(ProposeError::Stopped))
        };
        tokio::time::timeout(PURGE_WITHIN, work).await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// The last index that was purged; 0 when none was.
    pub fn purged_index(&self) -> u64 {
        self.log.purged().map_or(0, |id| id.index)
    }

    /// Reads applied entries from `from` on: whole entries, stopping behind the one that brings the payloads to `max_bytes`, and before index `to`.
    /// From the cache only: `None` when part of it would need the disk. Entries that are purged are left out.
    pub fn read_cached(&self, from: u64, to: u64, max_bytes: usize) -> Option<Vec<LogEntry>> {
        let entries = self.log.cached(from, self.readable(to), max_bytes)?;
        Some(entries.into_iter().map(LogEntry::from).collect())
    }

    /// Like [`read_cached`](Self::read_cached), from cache or disk. Blocks; call it off the async threads.
    ///
    /// # Errors
    /// When the disk refuses, or an entry is damaged.
    pub fn read(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<LogEntry>, StorageError> {
        let entries = self.log.read(from, self.readable(to), max_bytes)?;
        Ok(entries.into_iter().map(LogEntry::from).collect())
    }

    /// Writes applied entries of this replica anew, each with another payload: index and term stay. Whoever applies the new payload must come to the same
    /// state as with the old one: another replica may get either, and so may this one after a crash. Returns when it is durable. Entries that are purged
    /// meanwhile, or are not applied, are left out.
    ///
    /// # Errors
    /// [`StorageError::Closed`] when the replica has stopped; others when the disk refuses.
    pub async fn rewrite(&self, entries: Vec<LogEntry>) -> Result<(), StorageError> {
        let applied = self.state.applied_now();
        self.log.rewrite(entries.into_iter().filter(|entry| entry.index <= applied)).await
    }

    /// Writes rows of the state machine's own that no entry asks for, in their order with those that applying writes, and as durable. `rows` is called
    /// while nothing is applied or installed, so that it can see whether they are still wanted; it must not block. Answers whether they were.
    ///
    /// # Errors
    /// [`StorageError::Closed`] when the replica has stopped; others when the disk refuses.
    pub async fn write_beside(&self, rows: impl FnOnce() -> Option<WriteBatch> + Send) -> Result<bool, StorageError> {
        self.core.write_beside(rows).await
    }

    /// Waits until this replica knows all that it ever promised, and has applied what its log has then. At once, unless its data was lost.
    ///
    /// # Errors
    /// When the group is stopped.
    pub async fn caught_up(&self) -> Result<(), StorageError> {
        let closed = |_| StorageError::Closed;
        self.trust.watch().wait_for(|stage| *stage == Stage::Trusted).await.map_err(closed)?;
        let last = self.log.last().map_or(0, |last| last.index);
        self.applied().wait_for(|applied| *applied >= last).await.map_err(closed)?;
        // Its effect is shown a little later, under a lock.
        self.core.applied().await;
        Ok(())
    }

    /// Whether the disk has space for what clients write.
    pub fn has_space(&self) -> bool {
        self.log.writer.space() == DiskSpace::Enough
    }

    /// Why the node's disk takes no more writes, if so: this replica learns of nothing new.
    pub fn store_failure(&self) -> Option<ProposeError> {
        self.errors.storage()
    }

    /// Notes it when `error`, met when this replica's other rows were read, means that they are damaged.
    pub fn note_damage(&self, error: &StorageError) {
        self.log.note_damage(error);
    }

    /// The group's state.
    pub fn status(&self) -> GroupStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.iter().flatten();
        GroupStatus {
            members: self.members_in(&metrics.membership_config),
            leadership: self.state.leader_now(),
            last_log_index: self.log.last().map_or(0, |last| last.index),
            applied_index: self.state.applied_now(),
            purged_index: self.purged_index(),
            matched: matched.map(|(id, at)| (types::node_id(*id), at.as_ref().map_or(0, |at| at.index))).collect(),
            failed: metrics.running_state.as_ref().err().map(ToString::to_string),
            doubtful: !self.trust.may_vote(),
            unflushed: self.log.unflushed(),
        }
    }

    /// The vote that this replica has given last, as openraft shows it.
    pub(crate) fn vote(&self) -> types::Vote {
        self.raft.server_metrics().borrow_watched().vote
    }

    /// The members, in their order; those that the group was opened with until it has any of its own.
    pub(crate) fn members(&self) -> Members {
        self.members_in(&self.raft.server_metrics().borrow_watched().membership_config)
    }

    fn members_in(&self, logged: &types::LoggedMembership) -> Members {
        let members = types::members_of(logged.membership());
        if members.voters.is_empty() { self.opened_with.clone() } else { members }
    }

    fn known_nodes(&self) -> BTreeSet<u64> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.nodes().map(|(id, _)| *id).collect()
    }

    /// Only applied entries are shown.
    fn readable(&self, to: u64) -> u64 {
        to.min(self.state.applied_now().saturating_add(1))
    }

    fn ensure_leads(&self) -> Result<Leadership, ProposeError> {
        if let Some(error) = self.errors.storage() {
            return Err(error);
        }
        let now = self.state.leader_now();
        if now.leader == Some(self.state.me) { Ok(now) } else { Err(ProposeError::NotLeader { leader: now.leader }) }
    }

    async fn change(&self, changes: ChangeMembers<u64, types::Rank>, retain: bool) -> Result<(), ProposeError> {
        let changed = self.raft.change_membership(changes, retain).await;
        changed.map(drop).map_err(|error| self.errors.raft_write(error))
    }

    /// Waits until the nodes that are to vote lack little.
    async fn wait_for_learners(&self, voters: &BTreeSet<u64>) -> Result<(), ProposeError> {
        let caught_up = |metrics: &types::Metrics| {
            let Some(replication) = &metrics.replication else { return true };
            let needed = metrics.last_log_index.unwrap_or_default().saturating_sub(LEARNER_LAG);
            let at = |id| replication.get(id).and_then(Option::as_ref).map(|at| at.index);
            voters.iter().all(|id| *id == metrics.id || at(id).is_some_and(|at| at >= needed))
        };
        let waited = self.raft.wait(None).metrics(caught_up, "new voters to catch up").await;
        waited.map_err(|_| self.errors.storage().unwrap_or(ProposeError::Stopped))?;
        self.ensure_leads().map(drop)
    }
}

impl From<types::LogEntry> for LogEntry {
    fn from(entry: types::LogEntry) -> Self {
        let payload = match entry.payload {
            EntryPayload::Normal(command) => command.0,
            EntryPayload::Blank | EntryPayload::Membership(_) => Bytes::new(),
        };
        Self { index: entry.log_id.index, term: types::term_of(&entry.log_id), payload }
    }
}
