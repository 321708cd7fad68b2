//! Connections that other nodes make to this one.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_types::NodeId;
use caudal_types::net::{Listener, ReadHalf, Socket, WriteHalf};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::transport::Inner;
use crate::transport::socket::{self, Answer, FrameReader, QUEUE_FRAMES, Queued};
use crate::wire::{self, Hello, InFrame, Lane, MAGIC, PROTOCOL_VERSION, Request, Response, Welcome};

/// The most connections from other nodes, those included that have not said hello.
const CONNECTIONS_MAX: usize = 1024;
/// The most requests of one connection that are being served.
const SERVED_MAX: usize = 1 << 16;
/// The most bytes of requests of one connection that are being served; reading stops above.
const SERVED_BYTES_MAX: usize = 16 << 20;
/// The most calls of one connection that are being served.
const CALLS_MAX: usize = 1024;

/// Accepts connections for ever.
pub(crate) async fn run(inner: Arc<Inner>, listener: Arc<Listener>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, from)) => {
                let serving = serve(inner.clone(), socket, permit);
                inner.tasks.spawn("transport connection", until_it_ends(from, serving));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection from a node");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn until_it_ends(from: SocketAddr, serving: impl Future<Output = io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::debug!(%from, %error, "a connection from a node ended");
    }
}

/// Shakes hands, and serves the connection: here when it is for control, among the workers otherwise.
async fn serve(inner: Arc<Inner>, socket: Socket, permit: OwnedSemaphorePermit) -> io::Result<()> {
    let from = socket.peer_addr()?;
    socket.set_nodelay()?;
    let (read, mut write) = socket.into_split();
    let mut frames = FrameReader::new(read);
    let hello: Hello = frames.first().await?;
    if let Err(reason) = check(&inner, &hello) {
        tracing::warn!(%from, node = hello.node, reason, "a connection from a node is refused");
        return socket::send_first(&mut write, &Welcome::Refused { reason }).await;
    }
    socket::send_first(&mut write, &Welcome::Accepted { incarnation: inner.incarnation }).await?;
    if hello.lane == Lane::Control {
        return accepted(inner, hello, frames, write, permit).await;
    }
    let socket = frames.reunite(write)?.detach()?;
    let (workers, tasks) = (inner.workers.clone(), inner.tasks.clone());
    let serving = async move {
        let (read, write) = socket.attach()?.into_split();
        accepted(inner, hello, FrameReader::new(read), write, permit).await
    };
    tasks.spawn_on(&workers, "transport connection", until_it_ends(from, serving));
    Ok(())
}

/// Serves a connection whose handshake is done, until it ends or the same node makes another one.
async fn accepted(
    inner: Arc<Inner>,
    hello: Hello,
    mut frames: FrameReader<ReadHalf>,
    write: WriteHalf,
    _permit: OwnedSemaphorePermit,
) -> io::Result<()> {
    frames.trust();
    let peer = NodeId(hello.node);
    if let Some(known) = inner.peers.get(&peer).filter(|_| hello.lane == Lane::Control) {
        known.wake();
    }
    let replaced = CancellationToken::new();
    let before = inner.incoming.lock().insert((peer, hello.lane), replaced.clone());
    if let Some(before) = before {
        before.cancel();
    }
    tokio::select! {
        ended = Connection::new(inner, peer).run(frames, write) => ended,
        () = replaced.cancelled() => Ok(()),
    }
}

/// Why a connection is not accepted.
fn check(inner: &Inner, hello: &Hello) -> Result<(), String> {
    let config = &inner.config;
    if hello.magic != MAGIC || hello.version != PROTOCOL_VERSION {
        return Err(format!("it speaks version {} of the protocol, this node {PROTOCOL_VERSION}", hello.version));
    }
    if hello.cluster_id != config.cluster_id {
        let (theirs, ours) = (&hello.cluster_id, &config.cluster_id);
        return Err(format!("it belongs to the cluster {theirs:?}, this node to {ours:?}"));
    }
    if hello.to != config.node_id.0 {
        return Err(format!("it looks for node {}, but this is node {}; check the peers", hello.to, config.node_id));
    }
    if !inner.peers.contains_key(&NodeId(hello.node)) {
        return Err(format!("node {} is not among the peers of node {}", hello.node, config.node_id));
    }
    Ok(())
}

/// One connection's requests.
struct Connection {
    inner: Arc<Inner>,
    peer: NodeId,
    calls: Arc<Semaphore>,
}

/// A request being served; answers how many bytes it had.
type Serving = BoxFuture<'static, usize>;

impl Connection {
    fn new(inner: Arc<Inner>, peer: NodeId) -> Self {
        Self { inner, peer, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }

    async fn run(self, frames: FrameReader<ReadHalf>, mut socket: WriteHalf) -> io::Result<()> {
        let (out, queue) = mpsc::channel(QUEUE_FRAMES);
        tokio::select! {
            written = socket::write_frames(queue, &mut socket) => written,
            served = self.serve_requests(frames, out) => served,
        }
    }

    async fn serve_requests(&self, mut frames: FrameReader<ReadHalf>, out: mpsc::Sender<Queued>) -> io::Result<()> {
        let mut serving: FuturesUnordered<Serving> = FuturesUnordered::new();
        let mut bytes = 0;
        loop {
            let room = serving.len() < SERVED_MAX && bytes < SERVED_BYTES_MAX;
            tokio::select! {
                Some(served) = serving.next(), if !serving.is_empty() => bytes -= served,
                frame = frames.next(), if room => {
                    let Some(frame) = frame else { return Ok(()) };
                    let frame = frame?;
                    let length = frame.payload.len();
                    if let Some(future) = self.begin(frame, &out).await? {
                        bytes += length;
                        serving.push(Box::pin(async move {
                            future.await;
                            length
                        }));
                    }
                }
            }
        }
    }

    /// Begins to serve a request. What is quick is answered here.
    async fn begin(&self, frame: InFrame, out: &mpsc::Sender<Queued>) -> io::Result<Option<BoxFuture<'static, ()>>> {
        let request: Request = wire::decode(&frame.header).map_err(socket::invalid)?;
        let answer = Answer { id: frame.id, out: out.clone(), sent: self.inner.sent.clone() };
        match request {
            Request::Ping => {
                answer.send(&self.inner.pong(), Vec::new()).await;
                Ok(None)
            }
            Request::Call { service } => {
                self.call(service, frame.payload, answer).await;
                Ok(None)
            }
            raft => match self.inner.raft_service() {
                Some(service) => Ok(Some(service.serve(self.peer, raft, frame.payload, answer))),
                None => {
                    answer.send(&Response::NotServed, Vec::new()).await;
                    Ok(None)
                }
            },
        }
    }

    /// Runs a call in a task of its own, so that nothing else on the connection waits for it.
    async fn call(&self, service: u8, body: Bytes, answer: Answer) {
        let permit = self.calls.clone().try_acquire_owned();
        let (Some(handler), Ok(permit)) = (self.inner.call_handler(service), permit) else {
            return answer.send(&Response::NotServed, Vec::new()).await;
        };
        let peer = self.peer;
        self.inner.tasks.spawn_on(&self.inner.workers, "transport call", async move {
            let reply = handler.call(peer, body).await;
            answer.send(&Response::Called, vec![reply]).await;
            drop(permit);
        });
    }
}
