//! What a handler's work ends in, on its way to the socket.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::memory::BytesTaken;
use crate::quotas::RequestTimer;

/// A frame to be sent, in pieces that are written without being joined.
#[derive(Debug, Default)]
pub(crate) struct OutFrame {
    /// The length prefix, the header and the body.
    pub(crate) pieces: Vec<Bytes>,
    /// Memory that the answer occupies until it is written.
    pub(crate) held: Option<BytesTaken>,
}

impl From<Bytes> for OutFrame {
    fn from(frame: Bytes) -> Self {
        Self { pieces: vec![frame], held: None }
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// This is sent.
    Send(OutFrame),
    /// The client wants no answer (Produce with acks=0).
    Nothing,
    /// The connection is closed, for this reason.
    Close(String),
}

/// An answer with what the statistics want to know of it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) answer: Answer,
    /// It carries an error code somewhere.
    pub(crate) failed: bool,
    /// For how long the client is not heard behind it, in milliseconds: it has used more than its quotas allow.
    pub(crate) throttle_ms: i32,
    /// Measures the request, if its client's time is limited.
    pub(crate) timer: Option<Arc<RequestTimer>>,
}

/// When the answer is there.
pub(crate) enum Reply {
    /// Now.
    Now(Served),
    /// Later: the request has its place in the order, and the next one may be taken, unless the client is not to be heard for so many milliseconds.
    Later(BoxFuture<'static, Served>, i32),
}
