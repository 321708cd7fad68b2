//! Fulfils wishes on the node that leads the metadata group: one at a time, so that each is decided on what the one before has made.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_raft::{CallHandler, NodeLiveness, ProposeError, RaftGroup};
use caudal_types::limits::CONTROLLER_QUEUE_WISHES;
use caudal_types::{Clock, NodeId, Tasks, panics};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::model::ControllerConfig;
use super::wish::{Answer, Request, Results, Wish};
use crate::ClusterImage;
use crate::command::{Command, Proposal, Reply};
use crate::decide::{Charge, Decision, Facts, MutationMeters, decide};
use crate::quotas::{Payer, QuotaKey, QuotaLevels};

/// How long a majority may take to confirm that this node leads.
const BARRIER_WITHIN: Duration = Duration::from_secs(2);

/// A wish and who waits for its answer.
#[derive(Debug)]
struct Job {
    request: Request,
    answer: oneshot::Sender<Answer>,
}

/// The task's name. It is not started anew when it panics otherwise than in a decision: the next one must not be made without knowing what has become of the
/// proposal before it.
const CONTROLLER: &str = "controller";

/// A handle to this node's worker.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
}

/// What the worker works with.
pub(super) struct Parts {
    pub(super) config: ControllerConfig,
    pub(super) group: Arc<RaftGroup>,
    pub(super) images: watch::Receiver<Arc<ClusterImage>>,
    pub(super) liveness: NodeLiveness,
    pub(super) clock: Arc<dyn Clock>,
    /// What payers have used up. It is the leader's: a new one begins with full accounts, as Kafka's does.
    pub(super) meters: MutationMeters,
}

impl Worker {
    pub(super) fn start(parts: Parts, tasks: &Tasks) -> Self {
        let (jobs, waiting) = mpsc::channel(CONTROLLER_QUEUE_WISHES);
        tasks.spawn(CONTROLLER, parts.work(waiting));
        Self { jobs }
    }

    /// Has a wish fulfilled by this node, if it leads.
    pub(super) async fn ask(&self, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send(Job { request, answer }) {
            Ok(()) => answered.await.unwrap_or(Answer::Unknown),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Answer::NotTaken("too many wishes are waiting for the controller".to_owned())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Answer::NotTaken("the node is stopping".to_owned()),
        }
    }
}

/// Serves `Service::Controller`: wishes that other nodes forward.
impl CallHandler for Worker {
    fn call(&self, from: NodeId, body: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>> {
        Box::pin(async move {
            let answer = match Request::decode(&body) {
                Ok(request) => self.ask(request).await,
                Err(reason) => {
                    tracing::warn!(%from, %reason, "a wish cannot be read");
                    Answer::NotTaken(format!("the wish cannot be read: {reason}"))
                }
            };
            answer.encode()
        })
    }
}

impl Parts {
    async fn work(self, mut waiting: mpsc::Receiver<Job>) {
        while let Some(job) = waiting.recv().await {
            // Who has stopped waiting asks again, or has been told that nobody knows.
            if !job.answer.is_closed() {
                let answer = self.fulfil(job.request).await;
                let _ = job.answer.send(answer);
            }
        }
    }

    /// A wish that has been proposed is awaited to its end, even when nobody listens any more: the next decision must not be made
    /// without knowing its outcome.
    async fn fulfil(&self, request: Request) -> Answer {
        let leadership = *self.group.leadership().borrow();
        if !leadership.serving {
            return Answer::NotLeader(leadership.leader.filter(|leader| *leader != self.config.node_id));
        }
        let image = Arc::clone(&self.images.borrow());
        // One wish that cannot be decided must not keep the others from being fulfilled.
        let decided = panics::catch(CONTROLLER, || self.decide(request, &image));
        let (decision, throttle_ms) = match decided {
            Ok(decided) => decided,
            Err(panic) => {
                tracing::error!(%panic, "a wish could not be decided; the controller goes on with the others");
                return Answer::NotTaken(format!("the controller failed to decide: {panic}"));
            }
        };
        let answer = match decision.command.clone() {
            Some(command) => self.propose(command, decision).await,
            None => self.confirm(image.version, decision).await,
        };
        match (answer, throttle_ms) {
            (Answer::Done { version, results }, Some(throttle_ms)) => {
                Answer::Done { version, results: Results::Charged(throttle_ms, Box::new(results)) }
            }
            (answer, _) => answer,
        }
    }

    /// The decision, and how long the payer has to wait if there is one.
    fn decide(&self, request: Request, image: &ClusterImage) -> (Decision, Option<i32>) {
        let charge = match &request.wish {
            Wish::Charged(payer, _) => Some(self.charge(payer, image)),
            _ => None,
        };
        let alive = |node| self.liveness.is_alive(node);
        let facts = Facts { image, config: &self.config, alive: &alive, charge: charge.as_ref() };
        let decision = decide(request, &facts, &mut rand::rng());
        (decision, charge.map(|charge| charge.throttle_ms()))
    }

    fn charge(&self, payer: &Payer, image: &ClusterImage) -> Charge<'_> {
        let levels = QuotaLevels::of(&image.client_quotas, QuotaKey::ControllerMutationRate);
        let limit = levels.and_then(|levels| levels.find(&payer.user, &payer.client_id));
        Charge::new(&self.meters, limit, payer, self.clock.now_ms())
    }

    async fn propose(&self, command: Command, decision: Decision) -> Answer {
        let proposal = Proposal { at: self.clock.now_ms(), command };
        match self.group.propose(proposal.encode()).await {
            Ok(applied) => match Reply::decode(&applied.reply) {
                Ok(reply) => Answer::Done { version: applied.index, results: decision.finish(reply) },
                Err(reason) => {
                    tracing::error!(%reason, index = applied.index, "the reply to a metadata command cannot be read");
                    Answer::Unknown
                }
            },
            Err(ProposeError::NotLeader { leader }) => Answer::NotLeader(leader),
            Err(ProposeError::Unknown) => Answer::Unknown,
            Err(error @ (ProposeError::Storage(_) | ProposeError::Refused(_) | ProposeError::Stopped)) => {
                Answer::NotTaken(error.to_string())
            }
        }
    }

    /// An answer that no proposal stands behind could come from a leader that has been deposed without knowing it: ask a majority.
    async fn confirm(&self, version: u64, decision: Decision) -> Answer {
        match timeout(BARRIER_WITHIN, self.group.read_barrier()).await {
            Ok(Ok(())) => Answer::Done { version, results: decision.unchanged() },
            Ok(Err(ProposeError::NotLeader { leader })) => Answer::NotLeader(leader),
            Ok(Err(error)) => Answer::NotTaken(error.to_string()),
            Err(_) => Answer::NotTaken("the controller cannot reach a majority of the nodes".to_owned()),
        }
    }
}
