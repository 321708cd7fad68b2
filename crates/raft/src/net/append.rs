//! Sends entries to a follower, many requests in flight on the node's data connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use openraft::errors::{NetworkError, RPCError, Timeout, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendError};
use openraft::{OptionalSend, RPCTypes};
use tokio::sync::oneshot;

use crate::net::convert::{append_out, vote_in};
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
    pub(crate) peer: Option<Arc<Peer>>,
}

/// A request on its way.
struct InFlight {
    prev: Option<LogId>,
    last: Option<LogId>,
    bytes: usize,
    answer: oneshot::Receiver<Answered>,
}

/// One session: as long as its input, and ended by the first error.
struct Session<S> {
    appender: Appender,
    input: Option<S>,
    in_flight: VecDeque<InFlight>,
    bytes: usize,
    within: Duration,
    ended: bool,
}

impl Appender {
    /// Sends what comes from `input`, and yields the answers in the same order. The output ends once the input has ended and every
    /// answer has come, or with the first error.
    pub(crate) fn stream<S>(self, input: S, ttl: Duration) -> Pin<Box<dyn Stream<Item = Outcome> + Send>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let within = ttl.max(ANSWER_WITHIN);
        let input = Some(input);
        let session = Session { appender: self, input, in_flight: VecDeque::new(), bytes: 0, within, ended: false };
        Box::pin(stream::unfold(session, |mut session| async move {
            let outcome = session.next().await?;
            Some((outcome, session))
        }))
    }

    async fn send(&self, request: &AppendEntriesRequest<TypeConfig>) -> Result<InFlight, RPCError<TypeConfig>> {
        let prev = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(prev);
        let bytes = request.entries.iter().map(payload_bytes).sum();
        let (append, payload) = append_out(self.group, request);
        let peer = self.peer.as_ref().ok_or_else(|| unreachable(LaneError::Unreachable))?;
        let sent = peer.lane(Lane::Append).request(&Request::Append(append), payload).await;
        Ok(InFlight { prev, last, bytes, answer: sent.map_err(unreachable)? })
    }

    fn timed_out(&self, timeout: Duration) -> RPCError<TypeConfig> {
        Timeout { action: RPCTypes::AppendEntries, id: self.me, target: self.target, timeout }.into()
    }
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
            let open = self.in_flight.len() < WINDOW_REQUESTS && self.bytes < WINDOW_BYTES;
            match (self.in_flight.front_mut(), self.input.as_mut().filter(|_| open)) {
                (None, None) => return None,
                (None, Some(input)) => {
                    let request = input.next().await;
                    if let Err(error) = self.take(request).await {
                        return Some(self.fail(error));
                    }
                }
                (Some(first), None) => {
                    let answered = tokio::time::timeout(self.within, &mut first.answer).await;
                    return self.settle(answered.ok());
                }
                (Some(first), Some(input)) => tokio::select! {
                    biased;
                    answered = tokio::time::timeout(self.within, &mut first.answer) => return self.settle(answered.ok()),
                    request = input.next() => if let Err(error) = self.take(request).await {
                        return Some(self.fail(error));
                    },
                },
            }
        }
        None
    }

    async fn take(&mut self, request: Option<AppendEntriesRequest<TypeConfig>>) -> Result<(), RPCError<TypeConfig>> {
        match request {
            None => self.input = None,
            Some(request) => {
                let sent = self.appender.send(&request).await?;
                self.bytes += sent.bytes;
                self.in_flight.push_back(sent);
            }
        }
        Ok(())
    }

    /// Ends the session with an error.
    fn fail(&mut self, error: RPCError<TypeConfig>) -> Outcome {
        self.ended = true;
        Err(error)
    }

    /// Settles the oldest request with its answer; `None` when none came in time.
    fn settle(&mut self, answered: Option<Result<Answered, oneshot::error::RecvError>>) -> Option<Outcome> {
        let first = self.in_flight.pop_front()?;
        self.bytes -= first.bytes;
        let answer = match answered {
            None => return Some(self.fail(self.appender.timed_out(self.within))),
            Some(Err(_)) => return Some(self.fail(unreachable(LaneError::Broken))),
            Some(Ok((answer, _))) => answer,
        };
        let result = match (answer, first.prev) {
            (Response::Append(AppendAnswer::Done), _) => return Some(Ok(Ok(first.last))),
            (Response::Append(AppendAnswer::HigherVote(vote)), _) => StreamAppendError::HigherVote(vote_in(vote)),
            (Response::Append(AppendAnswer::Conflict), Some(prev)) => StreamAppendError::Conflict(prev),
            (other, _) => return Some(self.fail(useless(&other))),
        };
        self.ended = true;
        Some(Ok(Err(result)))
    }
}
