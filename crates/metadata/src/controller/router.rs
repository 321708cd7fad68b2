//! Brings a wish to the node that leads the metadata group, wherever that is, and again when it must.

use std::sync::Arc;
use std::time::Duration;

use caudal_raft::{CallError, RaftGroup, Service, Transport};
use caudal_types::{NodeId, RaftGroupId};
use tokio::time::{Instant, timeout};

use super::wish::{Answer, Request, Results, Wish};
use super::worker::Worker;
use crate::{LeaderTable, MetadataError};

/// How long one try may take before the leader is sought anew.
const TRY_WITHIN: Duration = Duration::from_secs(5);

/// The pause between two tries, at first and at most; a change of leaders ends it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Finds the leader and asks it.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) node: NodeId,
    pub(super) voters: Vec<NodeId>,
    pub(super) group: Arc<RaftGroup>,
    pub(super) leaders: LeaderTable,
    pub(super) transport: Transport,
    pub(super) worker: Worker,
}

impl Router {
    /// Has a wish fulfilled, and returns the version in which it is, with the results.
    ///
    /// # Errors
    /// [`MetadataError::NoController`]: nothing was done. [`MetadataError::TimedOut`]: nobody knows.
    pub(super) async fn submit(&self, wish: Wish, deadline: Instant) -> Result<(u64, Results), MetadataError> {
        let mut request = Request { again: false, wish };
        let mut seeker = Seeker::default();
        let mut reason = "no node is known to lead the metadata group".to_owned();
        let mut pause = PAUSE.0;
        while Instant::now() < deadline {
            let mut changes = self.leaders.changes();
            changes.borrow_and_update();
            if let Some(node) = self.seek(&mut seeker) {
                match self.ask(node, &request, deadline).await {
                    Answer::Done { version, results } => return Ok((version, results)),
                    Answer::NotLeader(leader) => {
                        reason = format!("node {node} does not lead the metadata group");
                        seeker.hint = leader;
                    }
                    Answer::NotTaken(why) => reason = format!("node {node} says: {why}"),
                    Answer::Unknown => {
                        reason = format!("node {node} did not say what became of it");
                        request.again = true;
                    }
                }
            }
            if !seeker.may_hurry() {
                let wait = pause.min(deadline.saturating_duration_since(Instant::now()));
                let _ = timeout(wait, changes.changed()).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
        Err(give_up(request.again, &reason))
    }

    /// Who may lead: whom the last one asked named, whom the announcements name, whom Raft names; else each voter in turn.
    fn seek(&self, seeker: &mut Seeker) -> Option<NodeId> {
        seeker.tries += 1;
        let liveness = self.transport.liveness();
        let alive = |node: &NodeId| *node == self.node || liveness.is_alive(*node);
        let hint = seeker.hint.take().filter(alive);
        let announced = || self.leaders.leader(RaftGroupId::METADATA).map(|leader| leader.node);
        let followed = || self.group.leadership().borrow().leader.filter(alive);
        // What is believed may be wrong for long: ask around now and then.
        let believed = if seeker.tries.is_multiple_of(4) { None } else { hint.or_else(announced).or_else(followed) };
        believed.or_else(|| {
            let live: Vec<NodeId> = self.voters.iter().copied().filter(alive).collect();
            (!live.is_empty()).then(|| live[seeker.tries % live.len()])
        })
    }

    async fn ask(&self, node: NodeId, request: &Request, deadline: Instant) -> Answer {
        let within = deadline.saturating_duration_since(Instant::now()).min(TRY_WITHIN);
        let asked = async {
            if node == self.node {
                return timeout(within, self.worker.ask(request.clone())).await.unwrap_or(Answer::Unknown);
            }
            match self.transport.call(node, Service::Controller, request.encode(), within).await {
                Ok(answer) => Answer::decode(&answer).unwrap_or(Answer::Unknown),
                Err(error @ (CallError::Unreachable(_) | CallError::NotServed(_))) => {
                    Answer::NotTaken(error.to_string())
                }
                Err(CallError::TimedOut(_) | CallError::Broken(_)) => Answer::Unknown,
            }
        };
        tokio::select! {
            answer = asked => answer,
            () = self.replaced(node) => Answer::Unknown,
        }
    }

    /// Waits until another node is known to lead in place of `node`: then `node` may never answer.
    async fn replaced(&self, node: NodeId) {
        let mut changes = self.leaders.changes();
        let before = self.leaders.epoch(RaftGroupId::METADATA);
        loop {
            let leader = self.leaders.leader(RaftGroupId::METADATA);
            if leader.is_some_and(|leader| leader.node != node && Some(leader.epoch) > before) {
                return;
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// How far the search for the leader has come.
#[derive(Default)]
struct Seeker {
    hint: Option<NodeId>,
    tries: usize,
    hurried: usize,
}

impl Seeker {
    /// Whether to ask the node that was named without a pause; not for ever, since two nodes may name each other.
    fn may_hurry(&mut self) -> bool {
        self.hurried = if self.hint.is_some() && self.hurried < 2 { self.hurried + 1 } else { 0 };
        self.hurried > 0
    }
}

fn give_up(ambiguous: bool, reason: &str) -> MetadataError {
    if ambiguous {
        MetadataError::TimedOut(format!(
            "The controller did not confirm the request in time ({reason}); it may yet be done: look before you ask again"
        ))
    } else {
        MetadataError::NoController(format!(
            "No controller could be reached in time ({reason}); nothing was done: see that a majority of the nodes runs, and try again"
        ))
    }
}
