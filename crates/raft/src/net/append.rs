//! Sends entries to a follower, many requests in flight on the node's data connection.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_types::mutant;
use futures::{Stream, StreamExt, stream};
use openraft::errors::{NetworkError, RPCError, Timeout, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendError};
use openraft::{OptionalSend, RPCTypes};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::net::convert::{append_out, vote_in};
use crate::net::spares::Spares;
use crate::transport::lane::{Answered, LaneError};
use crate::transport::peer::Peer;
use crate::types::{LogId, TypeConfig, payload_bytes};
use crate::wire::{AppendAnswer, Lane, Request, Response};

/// Requests of one group in flight to one follower.
const WINDOW_REQUESTS: usize = 64;
/// Bytes of one group in flight to one follower.
const WINDOW_BYTES: usize = 8 << 20;
/// How long a follower that answers pings may take for one append. Its disk may be slow; a node that is gone breaks the connection, which
/// ends the wait at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What openraft expects for each request.
pub(crate) type Outcome = Result<Result<Option<LogId>, StreamAppendError<TypeConfig>>, RPCError<TypeConfig>>;

/// Who sends entries of which group to whom.
#[derive(Clone, Debug)]
pub(crate) struct Appender {
    pub(crate) group: u64,
    pub(crate) me: u64,
    pub(crate) target: u64,
    /// How long a follower may go without word of a commit.
    pub(crate) commit_within: Duration,
    pub(crate) spares: Arc<Spares>,
    pub(crate) peer: Option<Arc<Peer>>,
}

/// A request on its way.
struct InFlight {
    prev: Option<LogId>,
    last: Option<LogId>,
    bytes: usize,
    at: Instant,
    answer: oneshot::Receiver<Answered>,
}

/// One session: as long as its input, and ended by the first error.
struct Session<S> {
    appender: Appender,
    input: Option<S>,
    in_flight: VecDeque<InFlight>,
    bytes: usize,
    /// The last entry that was sent.
    sent: Option<LogId>,
    /// Word of a commit, and when it has to go. The next entry replaces it: openraft takes an answer for all requests up to the same entry.
    held: Option<(AppendEntriesRequest<TypeConfig>, Instant)>,
    within: Duration,
    ended: bool,
}

/// What a session goes on with.
enum Step {
    /// The oldest request's answer; `None` when none came in time.
    Answered(Option<Result<Answered, oneshot::error::RecvError>>),
    /// What openraft has to send; `None` when that was all.
    Input(Option<AppendEntriesRequest<TypeConfig>>),
    /// Word of a commit was held long enough.
    Due,
}

impl Appender {
    /// Sends what comes from `input`, and yields the answers in the same order. The output ends once the input has ended and every
    /// answer has come, or with the first error.
    pub(crate) fn stream<S>(self, input: S, ttl: Duration) -> Pin<Box<dyn Stream<Item = Outcome> + Send>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let within = ttl.max(ANSWER_WITHIN);
        let session = Session {
            appender: self,
            input: Some(input),
            in_flight: VecDeque::new(),
            bytes: 0,
            sent: None,
            held: None,
            within,
            ended: false,
        };
        Box::pin(stream::unfold(session, |mut session| async move {
            let outcome = session.next().await?;
            Some((outcome, session))
        }))
    }

    async fn send(&self, request: &AppendEntriesRequest<TypeConfig>) -> Result<InFlight, RPCError<TypeConfig>> {
        let prev = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(prev);
        let bytes = request.entries.iter().map(payload_bytes).sum();
        let at = Instant::now();
        self.spares.sent(self.target, at);
        let (mut append, payload) = append_out(self.group, request);
        append.sync_within_ms = self.spares.sync_within_ms(self.target);
        let peer = self.peer.as_ref().ok_or_else(|| unreachable(LaneError::Unreachable))?;
        let sent = peer.lane(Lane::Append).request(&Request::Append(append), payload).await;
        let answer = sent.map_err(unreachable)?;
        let answer = if mutant::active("ack_on_one_replica") { answered_unseen() } else { answer };
        Ok(InFlight { prev, last, bytes, at, answer })
    }

    fn timed_out(&self, timeout: Duration) -> RPCError<TypeConfig> {
        Timeout { action: RPCTypes::AppendEntries, id: self.me, target: self.target, timeout }.into()
    }
}

/// An answer that the node has not given.
fn answered_unseen() -> oneshot::Receiver<Answered> {
    let (sender, receiver) = oneshot::channel();
    // The receiver is there.
    let _ = sender.send((Response::Append(AppendAnswer::Done), Bytes::new()));
    receiver
}

/// The node is not there: openraft waits a while before it tries again.
pub(crate) fn unreachable(error: LaneError) -> RPCError<TypeConfig> {
    Unreachable::new(&error).into()
}

/// The node is there, but its answer is of no use.
pub(crate) fn useless(answer: &Response) -> RPCError<TypeConfig> {
    match answer {
        Response::NotServed | Response::Append(AppendAnswer::NotServed) => {
            Unreachable::from_string("the Raft group is not open on the node").into()
        }
        other => NetworkError::from_string(format!("the node answered {other:?}")).into(),
    }
}

impl<S> Session<S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
{
    async fn next(&mut self) -> Option<Outcome> {
        while !self.ended {
            let taken = match self.step().await? {
                Step::Answered(answer) => return self.settle(answer),
                Step::Input(None) => {
                    self.input = None;
                    self.send_held().await
                }
                Step::Input(Some(request)) => self.take(request).await,
                Step::Due => self.send_held().await,
            };
            if let Err(error) = taken {
                return Some(self.fail(error));
            }
        }
        None
    }

    /// `None` once everything was sent and answered.
    async fn step(&mut self) -> Option<Step> {
        let open = self.in_flight.len() < WINDOW_REQUESTS && self.bytes < WINDOW_BYTES;
        let input = self.input.as_mut();
        if input.is_none() && self.in_flight.is_empty() {
            return None;
        }
        let answered = when(self.in_flight.front_mut(), |first| timeout(self.within, &mut first.answer));
        let next = when(input.filter(|_| open), StreamExt::next);
        let due = when(self.held.as_ref(), |(_, due)| sleep_until(*due));
        Some(tokio::select! {
            biased;
            answer = answered => Step::Answered(answer.ok()),
            request = next => Step::Input(request),
            () = due => Step::Due,
        })
    }

    /// Sends a request, or holds it when it has nothing but word of a commit to a follower that was sent all entries.
    async fn take(&mut self, request: AppendEntriesRequest<TypeConfig>) -> Result<(), RPCError<TypeConfig>> {
        let is_word = request.entries.is_empty() && request.prev_log_id.is_some() && request.prev_log_id == self.sent;
        if !is_word || self.appender.commit_within.is_zero() {
            self.held = None;
            return self.send(request).await;
        }
        let due = self.held.take().map_or_else(|| Instant::now() + self.appender.commit_within, |(_, due)| due);
        self.held = Some((request, due));
        Ok(())
    }

    async fn send_held(&mut self) -> Result<(), RPCError<TypeConfig>> {
        match self.held.take() {
            Some((request, _)) => self.send(request).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, request: AppendEntriesRequest<TypeConfig>) -> Result<(), RPCError<TypeConfig>> {
        let sent = self.appender.send(&request).await?;
        self.bytes += sent.bytes;
        self.sent = sent.last;
        self.in_flight.push_back(sent);
        Ok(())
    }

    /// Ends the session with an error.
    fn fail(&mut self, error: RPCError<TypeConfig>) -> Outcome {
        self.ended = true;
        Err(error)
    }

    /// Settles the oldest request with its answer.
    fn settle(&mut self, answered: Option<Result<Answered, oneshot::error::RecvError>>) -> Option<Outcome> {
        let first = self.in_flight.pop_front()?;
        self.bytes -= first.bytes;
        let answer = match answered {
            None => return Some(self.fail(self.appender.timed_out(self.within))),
            Some(Err(_)) => return Some(self.fail(unreachable(LaneError::Broken))),
            Some(Ok((answer, _))) => answer,
        };
        let result = match (answer, first.prev) {
            (Response::Append(AppendAnswer::Done), _) => {
                let oldest = self.in_flight.front().map(|next| next.at);
                self.appender.spares.answered(self.appender.target, oldest);
                return Some(Ok(Ok(first.last)));
            }
            (Response::Append(AppendAnswer::HigherVote(vote)), _) => StreamAppendError::HigherVote(vote_in(vote)),
            (Response::Append(AppendAnswer::Conflict), Some(prev)) => StreamAppendError::Conflict(prev),
            (other, _) => return Some(self.fail(useless(&other))),
        };
        self.ended = true;
        Some(Ok(Err(result)))
    }
}

/// What `wait` waits for, or for ever when there is nothing to wait for.
async fn when<T, F: Future>(what: Option<T>, wait: impl FnOnce(T) -> F) -> F::Output {
    match what {
        Some(what) => wait(what).await,
        None => std::future::pending().await,
    }
}
