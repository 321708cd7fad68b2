//! One outgoing connection to a peer: requests go out, answers come back, many in flight.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::transport::socket::{self, FrameReader, QUEUE_FRAMES, Queued};
use crate::transport::stats::SentCounters;
use crate::wire::{self, InFrame, OutFrame, Request, Response};

/// The most bytes that may wait for the socket.
const QUEUE_BYTES: u32 = 8 << 20;
/// The most requests without an answer, beside those that nobody waits for any more.
const WAITING_MAX: usize = 1 << 16;

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LaneError {
    /// There is no connection: the request was not sent.
    #[error("the node cannot be reached")]
    Unreachable,
    /// The connection broke: the request may have been sent.
    #[error("the connection broke")]
    Broken,
    /// The request is longer than a frame may be.
    #[error("the message is longer than a frame may be")]
    TooLong,
}

/// An answer with its payload.
pub(crate) type Answered = (Response, Bytes);

/// Hears the answers to a request that has several.
pub(crate) type Listener = Box<dyn FnMut(Response) + Send + Sync>;

enum Waiting {
    Once(oneshot::Sender<Answered>),
    Parts(Listener),
}

impl Waiting {
    fn is_abandoned(&self) -> bool {
        matches!(self, Self::Once(sender) if sender.is_closed())
    }
}

/// A connection to one peer for one purpose, or its absence.
#[derive(Debug)]
pub(crate) struct LaneHandle {
    connection: RwLock<Option<Arc<Connection>>>,
    next_id: AtomicU64,
    sent: Arc<SentCounters>,
}

struct Connection {
    out: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    /// `None` once the connection is gone.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl LaneHandle {
    /// A lane without a connection.
    pub(crate) fn new(sent: Arc<SentCounters>) -> Self {
        Self { connection: RwLock::default(), next_id: AtomicU64::default(), sent }
    }

    /// Whether there is a connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.read().is_some()
    }

    /// How many requests were made.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Sends `request`; the answer comes through the returned channel, which closes when the connection breaks. Waits while too much waits
    /// for the socket.
    pub(crate) async fn request(
        &self,
        request: &Request,
        payload: Vec<Bytes>,
    ) -> Result<oneshot::Receiver<Answered>, LaneError> {
        let (tx, rx) = oneshot::channel();
        self.send(request, payload, Waiting::Once(tx)).await?;
        Ok(rx)
    }

    /// Sends `request`, whose answers `listener` hears; it is dropped after the last one, or when the connection breaks.
    pub(crate) async fn request_parts(&self, request: &Request, listener: Listener) -> Result<(), LaneError> {
        self.send(request, Vec::new(), Waiting::Parts(listener)).await
    }

    async fn send(&self, request: &Request, payload: Vec<Bytes>, waiting: Waiting) -> Result<(), LaneError> {
        let connection = self.connection.read().clone().ok_or(LaneError::Unreachable)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = OutFrame::new(id, false, request, payload).map_err(|_| LaneError::TooLong)?;
        let bytes = u32::try_from(frame.bytes()).unwrap_or(QUEUE_BYTES).min(QUEUE_BYTES);
        let room = connection.room.clone().acquire_many_owned(bytes).await.map_err(|_| LaneError::Broken)?;
        connection.expect(id, waiting)?;
        self.sent.request(request);
        connection.out.send(Queued { frame, room: Some(room) }).await.map_err(|_| LaneError::Broken)
    }

    /// Serves the lane over a socket whose handshake is done, until it breaks.
    pub(crate) async fn run<R, W>(&self, mut frames: FrameReader<R>, mut socket: W) -> std::io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (out, queue) = mpsc::channel(QUEUE_FRAMES);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES as usize));
        let waiting = Mutex::new(Some(HashMap::new()));
        let connection = Arc::new(Connection { out, room, waiting });
        let _gone = Disconnect { lane: self, connection: connection.clone() };
        *self.connection.write() = Some(connection.clone());
        tokio::select! {
            written = socket::write_frames(queue, &mut socket) => written,
            read = connection.read_answers(&mut frames) => read,
        }
    }
}

/// Takes the connection away when its task ends, however it ends: whoever waits learns at once.
struct Disconnect<'a> {
    lane: &'a LaneHandle,
    connection: Arc<Connection>,
}

impl Drop for Disconnect<'_> {
    fn drop(&mut self) {
        *self.lane.connection.write() = None;
        self.connection.room.close();
        let waiting = self.connection.waiting.lock().take();
        drop(waiting);
    }
}

impl Connection {
    fn expect(&self, id: u64, waiting: Waiting) -> Result<(), LaneError> {
        let mut all = self.waiting.lock();
        let all = all.as_mut().ok_or(LaneError::Broken)?;
        if all.len() >= WAITING_MAX {
            all.retain(|_, waiting| !waiting.is_abandoned());
        }
        if all.len() >= WAITING_MAX {
            return Err(LaneError::Unreachable);
        }
        all.insert(id, waiting);
        Ok(())
    }

    async fn read_answers(&self, frames: &mut FrameReader<impl AsyncRead + Unpin>) -> std::io::Result<()> {
        while let Some(frame) = frames.next().await {
            self.answered(frame?)?;
        }
        Ok(())
    }

    fn answered(&self, frame: InFrame) -> std::io::Result<()> {
        let response: Response = wire::decode(&frame.header).map_err(socket::invalid)?;
        let mut all = self.waiting.lock();
        let Some(waiting) = all.as_mut().and_then(|all| all.remove(&frame.id)) else { return Ok(()) };
        match waiting {
            // Whoever asked may have stopped waiting.
            Waiting::Once(sender) => drop(sender.send((response, frame.payload))),
            Waiting::Parts(mut listener) => {
                listener(response);
                if let Some(all) = all.as_mut().filter(|_| frame.more) {
                    all.insert(frame.id, Waiting::Parts(listener));
                }
            }
        }
        Ok(())
    }
}
