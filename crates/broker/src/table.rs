//! Which handler serves which API.

use std::sync::Arc;
use std::time::Instant;

use caudal_protocol::api::SERVED;
use caudal_protocol::frame::{FrameError, RequestFrame, encode_response};
use caudal_protocol::messages::{Decodable, Encodable, StrBytes};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::reply::{Answer, Reply, Served};
use crate::stats::Counters;

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
}

/// Serves one API: a typed request in, a typed response out. Errors are part of the response.
pub(crate) trait Handler: Send + Sync + 'static {
    type Request: Decodable + Send;
    type Response: Encodable + Outcome + Send;

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
            let response = self.0.handle(&context, request).await;
            Ok(Reply::Now(encoded(frame.api_key, &context, &response)))
        }
        .boxed()
    }
}

/// Encodes a response. One that cannot be encoded is a handler's bug; it costs the client its connection.
pub(crate) fn encoded<R: Encodable + Outcome>(api_key: i16, context: &RequestContext, response: &R) -> Served {
    let failed = response.failed();
    match encode_response(api_key, context.version, context.correlation_id, response) {
        Ok(frame) => Served { answer: Answer::Send(frame.freeze().into()), failed },
        Err(error) => {
            tracing::error!(api_key, version = context.version, %error, "an answer could not be encoded");
            Served { answer: Answer::Close(format!("the answer could not be encoded: {error}")), failed: true }
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
        match handler.serve(frame, context).await? {
            Reply::Now(served) => {
                counters.answered(index, served.failed, arrived.elapsed());
                Ok(Reply::Now(served))
            }
            Reply::Later(pending) => {
                let counted = pending.inspect(move |served| counters.answered(index, served.failed, arrived.elapsed()));
                Ok(Reply::Later(counted.boxed()))
            }
        }
    }
}
