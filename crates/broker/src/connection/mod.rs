//! A client's connection: frames in, answers out, in the order of the requests.

mod reader;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use caudal_protocol::api::key;
use caudal_protocol::frame::{FrameError, RequestFrame};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use self::reader::ReaderLimits;
use self::reader::{FrameReader, InFrame, ReadFrameError};
use self::writer::FrameWriter;
use crate::handlers::api_versions;
use crate::memory::BytesTaken;
use crate::quotas::{ANONYMOUS, Quotas, RequestTimer};
use crate::reply::{Answer, Reply, Served};
use crate::table::{ApiTable, Peer, RequestContext};

/// How many requests of one connection may wait for their outcome (only Produce does so while the next request is taken).
const PENDING_MAX: usize = 100;

/// Requests whose time is not limited: clients do not send them.
const UNTIMED: &[i16] = &[key::WRITE_TXN_MARKERS];

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Read(#[from] ReadFrameError),
    #[error("{0}")]
    Request(#[from] FrameError),
    #[error("{0}")]
    Closed(String),
    #[error("writing failed: {0}")]
    Write(#[from] std::io::Error),
}

/// What all connections share; a cheap handle.
#[derive(Clone)]
pub(crate) struct ConnectionParts {
    pub(crate) table: Arc<ApiTable>,
    pub(crate) limits: ReaderLimits,
    pub(crate) quotas: Arc<Quotas>,
    /// Cancelled when no more requests are to be taken.
    pub(crate) stop: CancellationToken,
}

/// A client's connection.
pub(crate) struct Connection<S> {
    stream: S,
    peer: SocketAddr,
    host: Arc<str>,
    known: Arc<Peer>,
    /// The name of the principal: whoever has not said who it is.
    user: Arc<str>,
    parts: ConnectionParts,
    reader: FrameReader,
    writer: FrameWriter,
    /// The outcomes to come, in the order of the requests, with the memory of each.
    pending: FuturesOrdered<BoxFuture<'static, (Served, BytesTaken)>>,
    /// The client is not heard until then (KIP-219): it has used more than its quotas allow.
    muted_until: Option<Instant>,
    /// For how long the client is not heard once the answers that are queued have been sent.
    throttle_ms: i32,
    /// Of the answers that are queued.
    timers: Vec<Arc<RequestTimer>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(crate) fn new(stream: S, peer: SocketAddr, parts: ConnectionParts) -> Self {
        Self {
            stream,
            peer,
            host: format!("/{}", peer.ip()).into(),
            known: Arc::new(Peer { port: Some(peer.port()), ..Peer::default() }),
            reader: FrameReader::new(parts.limits.clone()),
            writer: FrameWriter::new(Arc::clone(&parts.limits.counters)),
            user: ANONYMOUS.into(),
            pending: FuturesOrdered::new(),
            muted_until: None,
            throttle_ms: 0,
            timers: Vec::new(),
            parts,
        }
    }

    /// Serves the client until it leaves or misbehaves, or the broker stops.
    pub(crate) async fn run(mut self) {
        match self.serve().await {
            Ok(()) => tracing::debug!(peer = %self.peer, "connection closed"),
            Err(Ended::Read(error)) if !error.is_violation() => {
                tracing::debug!(peer = %self.peer, reason = %error, "connection closed");
            }
            Err(Ended::Write(error)) => tracing::debug!(peer = %self.peer, reason = %error, "connection closed"),
            Err(ended) => tracing::warn!(peer = %self.peer, reason = %ended, "closing the connection"),
        }
    }

    async fn serve(&mut self) -> Result<(), Ended> {
        let stop = self.parts.stop.clone();
        loop {
            tokio::select! {
                biased;
                Some((served, memory)) = self.pending.next() => {
                    self.answer_ready(served, memory).await?;
                }
                () = stop.cancelled() => return self.answer_pending().await,
                () = passed(self.muted_until), if self.muted_until.is_some() => self.muted_until = None,
                frame = self.reader.next_unless(self.muted_until.is_some(), &mut self.stream),
                    if self.pending.len() < PENDING_MAX =>
                {
                    match frame {
                        Ok(Some(frame)) => self.take(frame).await?,
                        Ok(None) => return self.answer_pending().await,
                        Err(error) => {
                            // What was asked before is answered before the connection closes.
                            self.answer_pending().await?;
                            return Err(error.into());
                        }
                    }
                }
            }
        }
    }

    /// Takes a request.
    async fn take(&mut self, frame: InFrame) -> Result<(), Ended> {
        let InFrame { bytes, memory } = frame;
        let size = bytes.len();
        let frame = match RequestFrame::parse(bytes) {
            Ok(frame) => frame,
            Err(FrameError::UnsupportedVersion { api_key: key::API_VERSIONS, correlation_id, .. }) => {
                self.answer_pending().await?;
                return self.answer(api_versions::unsupported_version(correlation_id)).await;
            }
            Err(error) => return self.refuse(error).await,
        };
        if frame.api_key != key::PRODUCE {
            self.answer_pending().await?;
        }
        let context = RequestContext {
            version: frame.api_version,
            correlation_id: frame.correlation_id,
            client_id: frame.client_id.clone().unwrap_or_default(),
            client_host: Arc::clone(&self.host),
            peer: Arc::clone(&self.known),
            user: Arc::clone(&self.user),
            size,
            timer: self.timer(&frame),
        };
        match self.parts.table.dispatch(frame, context).await {
            Ok(Reply::Now(served)) => {
                self.answer_pending().await?;
                self.answer(served).await
            }
            Ok(Reply::Later(pending, throttle_ms)) => {
                self.mute(throttle_ms);
                self.pending.push_back(pending.map(|served| (served, memory)).boxed());
                Ok(())
            }
            Err(error) => self.refuse(error).await,
        }
    }

    /// Answers what was asked before, then gives the connection up.
    async fn refuse(&mut self, error: FrameError) -> Result<(), Ended> {
        self.answer_pending().await?;
        Err(error.into())
    }

    /// Sends an answer, and with it all others that are ready behind it.
    async fn answer_ready(&mut self, served: Served, memory: BytesTaken) -> Result<(), Ended> {
        let mut held = vec![memory];
        let mut closed = self.queue(served);
        while closed.is_ok()
            && let Some(Some((served, memory))) = self.pending.next().now_or_never()
        {
            held.push(memory);
            closed = self.queue(served);
        }
        self.flush().await?;
        closed
    }

    /// Waits for all outcomes to come and sends them.
    async fn answer_pending(&mut self) -> Result<(), Ended> {
        while let Some((served, memory)) = self.pending.next().await {
            self.answer_ready(served, memory).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, served: Served) -> Result<(), Ended> {
        let closed = self.queue(served);
        self.flush().await?;
        closed
    }

    /// Sends what is queued; then the client is not heard for as long as the answers say.
    async fn flush(&mut self) -> Result<(), Ended> {
        let flushing = self.writer.flush(&mut self.stream);
        let flushed = match self.timers.last() {
            Some(timer) => timer.time(flushing).await,
            None => flushing.await,
        };
        self.timers.drain(..).for_each(|timer| timer.settle());
        let throttle_ms = std::mem::take(&mut self.throttle_ms);
        self.mute(throttle_ms);
        Ok(flushed?)
    }

    fn mute(&mut self, throttle_ms: i32) {
        let throttle = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0));
        if !throttle.is_zero() {
            tracing::trace!(peer = %self.peer, ?throttle, "the client has used more than its quotas allow");
            self.muted_until = self.muted_until.max(Some(Instant::now() + throttle));
        }
    }

    fn timer(&self, frame: &RequestFrame) -> Option<Arc<RequestTimer>> {
        let quotas = &self.parts.quotas;
        (quotas.limits_requests() && !UNTIMED.contains(&frame.api_key)).then(|| {
            let client_id = frame.client_id.clone().unwrap_or_default();
            Arc::new(RequestTimer::new(Arc::clone(quotas), Arc::clone(&self.user), client_id))
        })
    }

    fn queue(&mut self, served: Served) -> Result<(), Ended> {
        self.throttle_ms = self.throttle_ms.max(served.throttle_ms);
        self.timers.extend(served.timer);
        match served.answer {
            Answer::Send(frame) => self.writer.push(frame),
            Answer::Nothing => {}
            Answer::Close(reason) => return Err(Ended::Closed(reason)),
        }
        Ok(())
    }
}

/// Waits for a moment, or for ever.
async fn passed(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
