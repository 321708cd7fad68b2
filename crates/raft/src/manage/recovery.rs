//! A replica that may have forgotten what it promised is brought back without harm.
//!
//! Its disk was lost or replaced, or a part of its log was damaged: votes and entries that others rely on may be gone. Were it to vote, or to
//! acknowledge to a leader that it had helped to depose, what was committed with its help could be undone. So a doubtful replica first asks *every* other
//! voter for the highest vote and the last entry that it knows. Whatever this replica had promised, to a candidate or to a leader, that one is
//! among those asked. Then it holds to the highest vote, and follows; and it votes again once its log reaches as far as any of theirs did: by then it has
//! all that was ever committed with its help.
//!
//! A replica whose log is not synced at once (see [`flush`](crate::log::flush)), and whose machine went down, has its votes, and may lack its newest
//! entries. It recovers in the same way. But where the power failed everywhere, all replicas are so, and would wait for each other: so such a one tells others
//! like it what it knows, and grants its vote, before it has caught up, to a candidate whose log reaches as far as any of theirs did. What any replica
//! has kept is then kept by all.
//!
//! The mark of a doubtful replica is on the disk before anything else, so that a restart changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_storage::keys::raft::{self as raft_keys, RaftField};
use caudal_storage::{ColumnFamily, StorageError, WriteBatch};
use caudal_types::{NodeId, RaftGroupId, mutant, off_thread};
use futures::future::join_all;
use openraft::raft::VoteRequest;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::RaftGroup;
use crate::codec;
use crate::groups_on_disk;
use crate::log::GroupLog;
use crate::manage::Shared;
use crate::manage::forgotten::Forgotten;
use crate::net::convert::{id_in, vote_in};
use crate::types::{LogId, Vote, raft_id};
use crate::wire::{Believed, Request, Response};

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The pause before those are asked again that have not answered; twice as long each time, up to a bound.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(10);
const ASK_AGAIN_WITHIN: Duration = Duration::from_millis(500);
/// After what time those are asked anew that have answered.
const ASK_ANEW_AFTER: Duration = Duration::from_secs(5);
/// After how many rounds the log says who has not answered; and again after as many.
const ROUNDS_IN_SILENCE: u32 = 60;

/// What a replica may have forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Anything: its disk was lost, or damaged.
    Lost,
    /// Entries that it had not synced, and nothing else.
    Unsynced,
}

/// How far a replica is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It may have forgotten a vote: it neither votes nor takes entries.
    Asking,
    /// It may have forgotten entries: it takes them, and does not vote.
    CatchingUp,
    /// It knows all that it ever promised.
    Trusted,
}

/// A replica's stage, as it changes.
#[derive(Debug)]
pub(crate) struct Trust {
    stage: watch::Sender<Stage>,
    doubt: Option<Doubt>,
    /// How far the log must reach, once that is known.
    target: Mutex<Option<Option<LogId>>>,
}

impl Trust {
    pub(crate) fn new(doubt: Option<Doubt>) -> Self {
        let stage = if doubt.is_some() { Stage::Asking } else { Stage::Trusted };
        Self { stage: watch::Sender::new(stage), doubt, target: Mutex::default() }
    }

    /// Whether it may take entries.
    pub(crate) fn may_follow(&self) -> bool {
        *self.stage.borrow() >= Stage::CatchingUp || mutant::active("forgetful_replica_votes")
    }

    /// Whether it may vote, campaign and tell others what it knows.
    pub(crate) fn may_vote(&self) -> bool {
        *self.stage.borrow() == Stage::Trusted || mutant::active("forgetful_replica_votes")
    }

    /// Whether it may vote for a candidate whose log ends with `last`.
    pub(crate) fn may_vote_for(&self, last: Option<LogId>) -> bool {
        let reaches = || self.target.lock().is_some_and(|target| last >= target);
        self.may_vote() || (self.doubt == Some(Doubt::Unsynced) && self.may_follow() && reaches())
    }

    fn knows(&self) -> Knows {
        match self.doubt {
            _ if self.may_vote() => Knows::All,
            Some(Doubt::Unsynced) => Knows::AllButUnsynced,
            Some(Doubt::Lost) | None => Knows::SinceTheLoss,
        }
    }

    /// Whether the answer of a replica that knows so much counts. Each that has promised something to this one must be heard. Who has kept its votes needs to
    /// learn of entries alone, and what a lost disk took is on no disk. Who has lost its votes has to learn of them from those who know theirs.
    fn is_enough(&self, knows: Knows) -> bool {
        knows != Knows::SinceTheLoss || self.doubt == Some(Doubt::Unsynced)
    }

    /// It may take entries, and has to reach as far as `target`.
    fn catch_up(&self, target: Option<LogId>) {
        *self.target.lock() = Some(target);
        self.set(Stage::CatchingUp);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    fn set(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }
}

/// How much of what it promised a replica knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knows {
    All,
    /// It may lack entries that it had not synced when its machine went down.
    AllButUnsynced,
    /// Its disk was lost, and it has not caught up.
    SinceTheLoss,
}

/// What another voter knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recalled {
    pub(crate) knows: Knows,
    pub(crate) vote: Option<Vote>,
    pub(crate) last: Option<LogId>,
}

/// Brings a doubtful replica back, however long that takes.
pub(crate) async fn run(shared: Arc<Shared>, group: Arc<RaftGroup>) {
    let id = group.id();
    tracing::debug!(group = %id, "this replica may have forgotten what it promised; it does not vote until it has asked all other voters, and caught up");
    let Some(recalled) = ask_all(&shared, &group).await else { return };
    let mut target = furthest(&group, &recalled);
    // Who has kept its votes needs none of the others'.
    if group.trust.doubt == Some(Doubt::Lost) && adopt(&shared, &group, &recalled, target).await.is_none() {
        return;
    }
    let caught_up = loop {
        group.trust.catch_up(target);
        tokio::select! {
            caught_up = caught_up(&group.log, target) => break caught_up,
            () = show_itself(&shared, &group) => return,
            // Whoever had come the furthest may have lost that meanwhile.
            recalled = ask_anew(&shared, &group) => match recalled {
                Some(recalled) => target = furthest(&group, &recalled),
                None => return,
            },
        }
    };
    if caught_up.is_err() {
        return;
    }
    if let Err(error) = shared.writer.write(unmarked(&group.log)).await {
        tracing::error!(group = %id, %error, "a replica that has caught up cannot be noted as such");
        return;
    }
    group.trust.set(Stage::Trusted);
    tracing::debug!(group = %id, "this replica has caught up, and votes again");
    // Whoever watches over groups without a leader may count on it.
    let _ = shared.changes.send((id, group.state.leader_now()));
}

/// Asks all other voters until each has answered; nothing when the group is closed meanwhile.
async fn ask_all(shared: &Shared, group: &Arc<RaftGroup>) -> Option<BTreeMap<NodeId, Recalled>> {
    let mut answers = BTreeMap::new();
    let (mut rounds, mut pause) = (0_u32, ASK_AGAIN_AFTER);
    loop {
        let voters = group.members().voters;
        let silent: Vec<_> =
            voters.into_iter().filter(|node| *node != shared.me() && !answers.contains_key(node)).collect();
        if silent.is_empty() {
            return Some(answers);
        }
        if !is_open(shared, group) {
            return None;
        }
        rounds += 1;
        if rounds % ROUNDS_IN_SILENCE == 0 {
            tracing::warn!(group = %group.id(), ?silent, "a replica that may have forgotten what it promised waits for what these voters know");
        }
        let round = ask_each(shared, group.id(), &silent).await;
        let counts = |(_, recalled): &(NodeId, Recalled)| group.trust.is_enough(recalled.knows);
        let round: BTreeMap<_, _> = round.into_iter().filter(counts).collect();
        if round.len() < silent.len() {
            sleep(pause).await;
            pause = (pause * 2).min(ASK_AGAIN_WITHIN);
        }
        answers.extend(round);
    }
}

/// The same, after a while.
async fn ask_anew(shared: &Shared, group: &Arc<RaftGroup>) -> Option<BTreeMap<NodeId, Recalled>> {
    sleep(ASK_ANEW_AFTER).await;
    ask_all(shared, group).await
}

/// Asks each of `nodes` once; the answers of those that have a replica that knows anything.
pub(crate) async fn ask_each(shared: &Shared, group: RaftGroupId, nodes: &[NodeId]) -> BTreeMap<NodeId, Recalled> {
    let asking = nodes.iter().map(|node| async move { Some((*node, ask(shared, group, *node).await?)) });
    join_all(asking).await.into_iter().flatten().collect()
}

async fn ask(shared: &Shared, group: RaftGroupId, node: NodeId) -> Option<Recalled> {
    match shared.ask(node, &Request::Recall { group: group.0 }, ANSWER_WITHIN).await? {
        Response::Recall { vote, last } => {
            Some(Recalled { knows: Knows::All, vote: vote.map(vote_in), last: id_in(last) })
        }
        Response::RecallDoubtful { vote, last, lost } => {
            let knows = if lost { Knows::SinceTheLoss } else { Knows::AllButUnsynced };
            Some(Recalled { knows, vote: vote.map(vote_in), last: id_in(last) })
        }
        _ => None,
    }
}

/// How far the log must reach: as far as anybody's. Of what a replica that has lost its disk has got since, the others know.
fn furthest(group: &RaftGroup, recalled: &BTreeMap<NodeId, Recalled>) -> Option<LogId> {
    let own = group.log.last().filter(|_| group.trust.doubt == Some(Doubt::Unsynced));
    recalled.values().filter_map(|recalled| recalled.last).max().max(own)
}

/// Holds to the highest vote of all; nothing when the group has stopped.
async fn adopt(
    shared: &Shared,
    group: &RaftGroup,
    recalled: &BTreeMap<NodeId, Recalled>,
    last: Option<LogId>,
) -> Option<()> {
    let highest = recalled.values().filter_map(|recalled| recalled.vote).max_by_key(|vote| rank(*vote));
    if let Some(vote) = highest {
        let term = vote.leader_id.term;
        // Nobody leads this term yet: this replica's vote in it may be given already, and goes to nobody else.
        let holder = if vote.committed { vote.leader_id.voted_for } else { raft_id(shared.me()) };
        let last_log_id = last.max(group.log.last());
        let request = VoteRequest { vote: Vote::new(term, holder), last_log_id, leadership_transfer: true };
        group.raft.vote(request).await.ok()?;
    }
    Some(())
}

fn rank(vote: Vote) -> (u64, bool) {
    (vote.leader_id.term, vote.committed)
}

/// Lets the leader know again and again that this replica lacks entries: a leader that has nothing new sends nothing by itself. Ends when the group is closed.
async fn show_itself(shared: &Shared, group: &Arc<RaftGroup>) {
    let lacking = Request::Confirm(vec![Believed { group: group.id().0, term: 0, applied: 0 }]);
    while is_open(shared, group) {
        let voters = group.members().voters;
        for node in voters.into_iter().filter(|node| *node != shared.me()) {
            // Whoever leads sends entries; what it says does not matter.
            shared.ask(node, &lacking, ANSWER_WITHIN).await;
        }
        sleep(ASK_AGAIN_WITHIN).await;
    }
}

fn is_open(shared: &Shared, group: &Arc<RaftGroup>) -> bool {
    shared.get(group.id()).is_some_and(|open| Arc::ptr_eq(&open, group))
}

/// Waits until the log reaches as far as `target`, durably.
async fn caught_up(log: &GroupLog, target: Option<LogId>) -> Result<(), StorageError> {
    let mut flushed = log.flushes();
    let reached = flushed.wait_for(|flushed| {
        let last = log.last();
        flushed.failed || (last >= target && flushed.upto >= last.map(|id| id.index))
    });
    match reached.await {
        Ok(flushed) if !flushed.failed => Ok(()),
        Ok(_) => Err(StorageError::ReadOnly("an append to the Raft log failed".to_owned())),
        Err(_) => Err(StorageError::Closed),
    }
}

/// What another replica's question is answered: nothing by one that is damaged itself.
pub(crate) async fn recall(group: &RaftGroup, from: NodeId) -> Option<Recalled> {
    let knows = group.trust.knows();
    if group.log.is_damaged() {
        return None;
    }
    // openraft takes a log that has become shorter for a bug, unless it is told. Whoever does not lead need not know; but a leader that has lost sight of the
    // others, and is not believed to lead, may come to lead on in the same term.
    let _ = group.raft.trigger().allow_next_revert(&raft_id(from), true).await;
    let votes = [Some(group.vote()), group.log.vote()];
    let vote = votes.into_iter().flatten().max_by_key(|vote| rank(*vote)).filter(|vote| vote.leader_id.term > 0);
    Some(Recalled { knows, vote, last: group.log.last() })
}

/// Makes a replica a doubtful one.
pub(crate) fn mark(group: RaftGroupId, doubt: Doubt, batch: &mut WriteBatch) {
    batch.put(ColumnFamily::Raft, raft_keys::key(group, RaftField::Doubtful), codec::encode_doubt(doubt));
}

/// Makes every replica a doubtful one, those included that have left no trace.
pub(crate) async fn doubt_all(shared: &Arc<Shared>) -> Result<(), StorageError> {
    let engine = Arc::clone(&shared.engine);
    let found = off_thread::run(move || groups_on_disk(engine.as_ref())).await;
    let groups =
        found.unwrap_or_else(|error| Err(StorageError::Io(format!("a look at the disk broke off: {error}"))))?;
    let mut batch = WriteBatch::new();
    for group in groups {
        mark(group, Doubt::Lost, &mut batch);
    }
    shared.writer.write(batch).await?;
    shared.memory.set(shared, Forgotten::Unknown).await
}

fn unmarked(log: &GroupLog) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.delete(ColumnFamily::Raft, raft_keys::key(log.group, RaftField::Doubtful));
    batch
}
