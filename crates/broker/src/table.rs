//! Which handler serves which API.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use caudal_metadata::quotas::Payer;
use caudal_protocol::api::SERVED;
use caudal_protocol::frame::{FrameError, RequestFrame, encode_response};
use caudal_protocol::messages::{Decodable, Encodable, StrBytes};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::quotas::{Client, RequestTimer};
use crate::reply::{Answer, Reply, Served};
use crate::stats::Counters;
use crate::throttled::Throttled;

/// What a handler may want to know beside the request's body.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// The version of the request.
    pub(crate) version: i16,
    /// Returned in the answer.
    pub(crate) correlation_id: i32,
    /// Who the client says it is; empty when it does not.
    pub(crate) client_id: StrBytes,
    /// The client's address, as Kafka writes it: `/127.0.0.1`.
    pub(crate) client_host: Arc<str>,
    /// The connection.
    pub(crate) peer: Arc<Peer>,
    /// The name of the client's principal.
    pub(crate) user: Arc<str>,
    /// The size of the request, in bytes.
    pub(crate) size: usize,
    /// Measures the request, if its client's time is limited.
    pub(crate) timer: Option<Arc<RequestTimer>>,
}

/// What is known of a connection's client; it is gone with the connection.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Where the client listens for answers.
    pub(crate) port: Option<u16>,
    /// What it said in its first ApiVersions (KIP-511), unless it is too old to say.
    pub(crate) software: OnceLock<Software>,
}

/// A client library.
#[derive(Debug)]
pub(crate) struct Software {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl RequestContext {
    /// Whose quotas count.
    pub(crate) fn client(&self) -> Client<'_> {
        Client { user: &self.user, client_id: &self.client_id }
    }

    /// Who pays for topics and partitions; `strict` when the version of the request has an error for whoever cannot.
    pub(crate) fn payer(&self, strict: bool) -> Payer {
        Payer { user: self.user.to_string(), client_id: self.client_id.to_string(), strict }
    }

    /// How long the client has to wait for the time that it has taken, in milliseconds.
    pub(crate) fn throttle_ms(&self) -> i32 {
        self.timer.as_ref().map_or(0, |timer| timer.throttle_ms())
    }
}

/// Serves one API: a typed request in, a typed response out. Errors are part of the response.
pub(crate) trait Handler: Send + Sync + 'static {
    type Request: Decodable + Send;
    type Response: Encodable + Outcome + Throttled + Send;

    fn handle(&self, context: &RequestContext, request: Self::Request) -> impl Future<Output = Self::Response> + Send;
}

/// A response that can tell whether it carries an error code, at the top level or in any part.
pub(crate) trait Outcome {
    fn failed(&self) -> bool;
}

/// Serves one API, from bytes to bytes.
pub(crate) trait Serve: Send + Sync + 'static {
    /// # Errors
    /// [`FrameError::Malformed`] when the body cannot be decoded: the connection is closed.
    fn serve<'a>(&'a self, frame: RequestFrame, context: RequestContext) -> BoxFuture<'a, Result<Reply, FrameError>>;
}

/// A [`Handler`] with decoding before and encoding behind it.
pub(crate) struct Plain<H>(pub(crate) H);

impl<H: Handler> Serve for Plain<H> {
    fn serve<'a>(&'a self, frame: RequestFrame, context: RequestContext) -> BoxFuture<'a, Result<Reply, FrameError>> {
        async move {
            let request = frame.decode::<H::Request>()?;
            let mut response = self.0.handle(&context, request).await;
            response.set_throttle_time_ms(response.throttle_time_ms().max(context.throttle_ms()));
            Ok(Reply::Now(encoded(frame.api_key, &context, &response)))
        }
        .boxed()
    }
}

/// Encodes a response. One that cannot be encoded is a handler's bug; it costs the client its connection.
pub(crate) fn encoded<R: Encodable + Outcome + Throttled>(
    api_key: i16,
    context: &RequestContext,
    response: &R,
) -> Served {
    let (failed, throttle_ms) = (response.failed(), response.throttle_time_ms());
    let served = |answer, failed| Served { answer, failed, throttle_ms, timer: None };
    match encode_response(api_key, context.version, context.correlation_id, response) {
        Ok(frame) => served(Answer::Send(frame.freeze().into()), failed),
        Err(error) => {
            tracing::error!(api_key, version = context.version, %error, "an answer could not be encoded");
            served(Answer::Close(format!("the answer could not be encoded: {error}")), true)
        }
    }
}

/// The handlers by API.
pub(crate) struct ApiTable {
    /// In the order of the list.
    handlers: Vec<Arc<dyn Serve>>,
    counters: Arc<Counters>,
}

impl ApiTable {
    /// `handlers` are in the order of the list.
    pub(crate) fn new(handlers: Vec<Arc<dyn Serve>>, counters: Arc<Counters>) -> Self {
        Self { handlers, counters }
    }

    /// Serves a request and counts it.
    ///
    /// # Errors
    /// See [`FrameError`]: the connection is closed.
    pub(crate) async fn dispatch(&self, frame: RequestFrame, context: RequestContext) -> Result<Reply, FrameError> {
        let index = SERVED.iter().position(|api| api.key == frame.api_key);
        let Some((index, handler)) = index.and_then(|index| Some((index, self.handlers.get(index)?))) else {
            return Err(FrameError::UnknownApi(frame.api_key));
        };
        let arrived = Instant::now();
        let counters = Arc::clone(&self.counters);
        let timer = context.timer.clone();
        let serving = handler.serve(frame, context);
        let reply = match &timer {
            Some(timer) => timer.time(serving).await?,
            None => serving.await?,
        };
        match reply {
            Reply::Now(served) => {
                counters.answered(index, served.failed, arrived.elapsed());
                Ok(Reply::Now(Served { timer, ..served }))
            }
            Reply::Later(pending, throttle_ms) => {
                let counted = pending.inspect(move |served| counters.answered(index, served.failed, arrived.elapsed()));
                let counted = match timer {
                    Some(timer) => {
                        let timed = timer.time(counted);
                        timed.map(|served| Served { timer: Some(timer), ..served }).boxed()
                    }
                    None => counted.boxed(),
                };
                Ok(Reply::Later(counted, throttle_ms))
            }
        }
    }
}
