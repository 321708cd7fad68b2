//! How a group's replica comes to life on this node, and goes.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use caudal_storage::{StorageError, WriteBatch};
use caudal_types::{RaftGroupId, limits, off_thread};
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::{Mutex, Semaphore};

use crate::log::{GroupLog, LogStore};
use crate::machine::{MachineAdapter, MachineCore, SnapshotKeeping};
use crate::manage::forgotten::{self, Forgotten};
use crate::manage::rebuild::removal;
use crate::manage::recovery::{self, Doubt, Trust};
use crate::manage::{Shared, campaign};
use crate::net::client::Network;
use crate::proposals::Errors;
use crate::state::GroupState;
use crate::types::{self, RaftHandle, node_id, raft_id};
use crate::{GroupOptions, Members, PurgePolicy, RaftGroup, StateMachine};

/// How long a group may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(2);

impl Shared {
    /// Opens a group's replica, or answers the one that is open.
    pub(crate) async fn open(
        self: &Arc<Self>,
        id: RaftGroupId,
        members: Members,
        machine: Box<dyn StateMachine>,
        options: GroupOptions,
    ) -> Result<Arc<RaftGroup>, StorageError> {
        let gate = self.gate(id);
        let _one = gate.lock().await;
        if let Some(open) = self.get(id) {
            return Ok(open);
        }
        let state = GroupState::new(id, self.me(), self.changes.clone());
        let (log, core) = self.load(&state, machine, options).await?;
        let doubt = self.doubt(&log, &members).await?;
        let new = doubt.is_none() && log.is_pristine() && members.voters.contains(&self.me());
        if new {
            found(&log, &members).await?;
        }
        let reads_waiting = Arc::new(AtomicUsize::new(0));
        let raft = self.start_core(id, &log, &core, options, reads_waiting.clone()).await?;
        let group = Arc::new(RaftGroup {
            state: state.clone(),
            raft: raft.clone(),
            log,
            core,
            opened_with: members,
            room: Arc::new(Semaphore::new(limits::PROPOSAL_QUEUE_BYTES)),
            reads_waiting,
            errors: Errors { store: self.writer.state() },
            election_timeout: self.config.election_timeout,
            purging: Mutex::default(),
            handing_over: Mutex::default(),
            trust: Trust::new(doubt),
            holds_records: matches!(options.purge, PurgePolicy::OnRequest),
        });
        self.insert(group.clone());
        self.opened.notify_one();
        self.look_for_quorum(&group);
        self.tasks.spawn("raft leadership", follow(self.clone(), group.clone()));
        if doubt.is_some() {
            self.tasks.spawn("raft recovery", recovery::run(self.clone(), group.clone()));
        }
        self.first_campaign(&group, new).await;
        // Whoever watches over groups without a leader learns of this one.
        let _ = self.changes.send((id, state.leader_now()));
        Ok(group)
    }

    /// What this replica may have forgotten of what it promised. If anything, the disk says so from now on, until it has caught up.
    async fn doubt(&self, log: &GroupLog, members: &Members) -> Result<Option<Doubt>, StorageError> {
        if log.doubt().is_some() {
            return Ok(log.doubt());
        }
        let doubt = self.new_doubt(log, members).await?;
        if let Some(doubt) = doubt {
            let mut batch = WriteBatch::new();
            recovery::mark(log.group, doubt, &mut batch);
            self.writer.write(batch).await?;
        }
        Ok(doubt)
    }

    async fn new_doubt(&self, log: &GroupLog, members: &Members) -> Result<Option<Doubt>, StorageError> {
        // Whoever turns out to be the only voter asks nobody. The log knows best who votes; `members` is what the cluster wishes.
        if log.may_lack_unsynced() {
            return Ok(Some(Doubt::Unsynced));
        }
        // Who is the only voter has nobody to ask; and nothing was promised to anybody.
        let alone = members.voters.iter().all(|node| *node == self.me());
        if alone || !log.is_pristine() {
            return Ok(None);
        }
        let is_lost = if log.group == RaftGroupId::METADATA {
            let late = !forgotten::is_cluster_new(self, &members.voters).await;
            if late {
                tracing::warn!(
                    "this node's disk is empty, and its cluster is not new: its replicas do not vote before they have caught up"
                );
                self.memory.set(self, Forgotten::Unknown).await?;
            }
            late
        } else {
            self.memory.may_have_had(log.group).await?
        };
        Ok(is_lost.then_some(Doubt::Lost))
    }

    /// What opens and closes groups one at a time, per group.
    pub(crate) fn gate(&self, id: RaftGroupId) -> Arc<Mutex<()>> {
        let mut gates = self.gates.lock();
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        gates.entry(id).or_default().clone()
    }

    /// Reads what the disk has of the group.
    async fn load(
        &self,
        state: &Arc<GroupState>,
        machine: Box<dyn StateMachine>,
        options: GroupOptions,
    ) -> Result<(Arc<GroupLog>, Arc<MachineCore>), StorageError> {
        let (engine, writer) = (self.engine.clone(), self.writer.clone());
        let (cache, damage) = (self.cache.clone(), self.damage.clone());
        let keeping = match options.purge {
            PurgePolicy::EveryEntries(_) => SnapshotKeeping::Fresh,
            PurgePolicy::OnRequest => SnapshotKeeping::Stored,
        };
        let state = state.clone();
        let loading = off_thread::run(move || {
            let log = GroupLog::open(state.id, engine, writer, cache, damage)?;
            let core = MachineCore::open(state, log.clone(), machine, keeping)?;
            Ok((log, core))
        });
        loading.await.unwrap_or_else(|error| Err(StorageError::Io(format!("opening a Raft group broke off: {error}"))))
    }

    async fn start_core(
        &self,
        id: RaftGroupId,
        log: &Arc<GroupLog>,
        core: &Arc<MachineCore>,
        options: GroupOptions,
        reads_waiting: Arc<AtomicUsize>,
    ) -> Result<RaftHandle, StorageError> {
        let config = self
            .raft_config(options.purge)
            .map_err(|error| StorageError::WrongDirectory(format!("the Raft timings do not fit together: {error}")))?;
        let me = raft_id(self.me());
        let (routes, commit_within) = (self.routes.clone(), options.commit_within);
        let network = Network { group: id.0, me, routes, commit_within, reads_waiting };
        let (store, machine) = (LogStore(log.clone()), MachineAdapter(core.clone()));
        let started = Box::pin(RaftHandle::new(me, Arc::new(config), network, store, machine)).await;
        started.map_err(|error| StorageError::Corrupt(format!("Raft group {id} cannot be opened: {error}")))
    }

    /// The preferred leader of a new group, and the only voter of any, campaign at once.
    async fn first_campaign(&self, group: &RaftGroup, new: bool) {
        let members = group.members();
        if members.voters.first() == Some(&self.me()) && (new || members.voters.len() == 1) {
            campaign::stand(self, group).await;
        }
    }

    /// Stops a group's replica.
    pub(crate) async fn close(&self, id: RaftGroupId) {
        let gate = self.gate(id);
        let _one = gate.lock().await;
        self.stop(id).await;
    }

    pub(crate) async fn stop(&self, id: RaftGroupId) {
        let Some(group) = self.take(id) else { return };
        group.room.close();
        match tokio::time::timeout(STOP_WITHIN, group.raft.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(group = %id, %error, "a Raft group did not stop cleanly"),
            Err(_) => tracing::warn!(group = %id, "a Raft group did not stop in time"),
        }
        group.core.close().await;
        // After a farewell there is nothing that a power cut could take.
        if let Ok(Err(error)) = tokio::time::timeout(STOP_WITHIN, group.log.set_flush(None)).await {
            tracing::debug!(group = %id, %error, "a Raft log could not be synced while closing");
        }
        group.log.close().await;
    }

    /// Stops a group's replica and removes its data.
    pub(crate) async fn remove(&self, id: RaftGroupId) -> Result<(), StorageError> {
        let gate = self.gate(id);
        let _one = gate.lock().await;
        self.stop(id).await;
        self.writer.write(removal(id)).await?;
        self.damage.mended(id);
        Ok(())
    }
}

/// Writes a new group's first entry: its members. Every voter does so for itself, and all write the same, so that any majority of them
/// can elect a leader, whoever else never came.
async fn found(log: &Arc<GroupLog>, members: &Members) -> Result<(), StorageError> {
    let first = types::first_entry(members)
        .map_err(|error| StorageError::WrongDirectory(format!("the members of a new Raft group: {error}")))?;
    let (batch, last) = log.push([first]);
    log.writer.write(batch).await?;
    log.flushed(last, true);
    Ok(())
}

/// Shows openraft's view of the leader to everybody, until the group stops.
async fn follow(shared: Arc<Shared>, group: Arc<RaftGroup>) {
    let mut server = group.raft.server_metrics();
    let mut members_at = None;
    loop {
        let (leader, term, members) = {
            let seen = server.borrow_watched();
            (seen.current_leader.map(node_id), seen.vote.leader_id.term, *seen.membership_config.log_id())
        };
        if members != members_at {
            members_at = members;
            shared.look_for_quorum(&group);
        }
        group.state.led_by(leader, term);
        if server.changed().await.is_err() {
            return group.state.led_by(None, term);
        }
    }
}
