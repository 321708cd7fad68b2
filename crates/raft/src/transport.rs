//! The connections between nodes. Per pair of nodes a control connection (votes, pings, heartbeats, calls) and data connections
//! (appends, snapshots), so that heartbeats never wait behind payload.
//!
//! # Layout
//! - [`lane`]: an outgoing connection: dialled, mended, many messages in flight
//! - [`peer`]: another node: its lanes, and the pings that tell whether it lives
//! - [`listener`]: incoming connections
//! - [`liveness`]: what the pings told
//! - [`pulse`]: the thread that the control connections live on
//! - [`socket`]: frames on a socket, written vectored
//! - [`stats`]: how many messages were sent

pub(crate) mod lane;
pub(crate) mod listener;
pub(crate) mod liveness;
pub(crate) mod peer;
mod pulse;
pub(crate) mod socket;
pub(crate) mod stats;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use caudal_storage::{DiskSpace, LogWriter};
use caudal_types::{Network, NodeId, Tasks};
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use self::liveness::NodeLiveness;
pub use self::stats::SentMessages;
use crate::transport::lane::LaneError;
use crate::transport::liveness::LivenessTable;
use crate::transport::peer::Peer;
use crate::transport::pulse::Pulse;
use crate::transport::socket::Answer;
use crate::transport::stats::SentCounters;
use crate::wire::{Lane, Request, Response};

/// Where a node listens for its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Which node.
    pub node: NodeId,
    /// Host and port.
    pub address: String,
}

/// What a transport needs to know.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// This node.
    pub node_id: NodeId,
    /// Nodes of another cluster are refused.
    pub cluster_id: String,
    /// Where this node listens for its peers, host and port.
    pub listen: String,
    /// The other nodes (an entry for this node is ignored).
    pub peers: Vec<PeerAddress>,
    /// How often nodes ping each other.
    pub ping_interval: Duration,
    /// How long a node may be silent before it is suspect.
    pub suspect_after: Duration,
    /// The network.
    pub network: Network,
}

/// What a call is for; persisted in the wire format between nodes, keep stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Service {
    /// Wishes forwarded to the controller.
    Controller = 1,
    /// Announcements of leaderships.
    Leaders = 2,
    /// What nodes ask each other about transactions.
    Transactions = 3,
    /// Committed offsets, from the coordinator of their group.
    Offsets = 4,
    /// What operators want of the node that leads a Raft group.
    Groups = 5,
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The node is not connected. The call was not sent.
    #[error("node {0} cannot be reached")]
    Unreachable(NodeId),
    /// No answer came in time; the call may have had its effect.
    #[error("node {0} did not answer in time")]
    TimedOut(NodeId),
    /// The connection broke before the answer; the call may have had its effect.
    #[error("the connection to node {0} broke")]
    Broken(NodeId),
    /// The other side serves no such calls (yet).
    #[error("node {0} does not serve this call")]
    NotServed(NodeId),
}

/// Serves calls from other nodes.
pub trait CallHandler: Send + Sync + 'static {
    /// Answers `body`, sent by `from`.
    fn call(&self, from: NodeId, body: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>>;
}

/// Whether a node can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It does not answer, or its process is gone.
    Suspect,
}

/// Serves Raft's messages from other nodes.
pub(crate) trait RaftService: Send + Sync + 'static {
    /// Answers `request` of `from` through `answer`.
    fn serve(&self, from: NodeId, request: Request, payload: Bytes, answer: Answer) -> BoxFuture<'static, ()>;
}

/// The connections to the other nodes; a cheap handle.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

/// What all connections share.
pub(crate) struct Inner {
    pub(crate) config: TransportConfig,
    /// Differs from one start of the process to the next.
    pub(crate) incarnation: u64,
    pub(crate) peers: BTreeMap<NodeId, Arc<Peer>>,
    pub(crate) liveness: Arc<LivenessTable>,
    pub(crate) sent: Arc<SentCounters>,
    pub(crate) tasks: Tasks,
    /// Where control connections are served.
    pub(crate) pulse: Pulse,
    /// Where everything else is.
    pub(crate) workers: Handle,
    /// The incoming connections: a new one takes the place of an old one, whose end may never be seen.
    pub(crate) incoming: Mutex<HashMap<(NodeId, Lane), CancellationToken>>,
    services: RwLock<HashMap<Service, Arc<dyn CallHandler>>>,
    raft: RwLock<Option<Arc<dyn RaftService>>>,
    disk: RwLock<Option<Disk>>,
    keen: AtomicBool,
}

/// What this node tells the others of its disk.
struct Disk {
    writer: LogWriter,
    stall_after: Duration,
}

impl Disk {
    fn has_space(&self) -> bool {
        self.writer.space() == DiskSpace::Enough
    }

    fn is_fit(&self) -> bool {
        self.writer.is_writable() && self.writer.writing_for() < self.stall_after
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn call_handler(&self, service: u8) -> Option<Arc<dyn CallHandler>> {
        let services = self.services.read();
        services.iter().find(|(known, _)| **known as u8 == service).map(|(_, handler)| handler.clone())
    }

    pub(crate) fn raft_service(&self) -> Option<Arc<dyn RaftService>> {
        self.raft.read().clone()
    }

    /// What this node answers to a ping.
    pub(crate) fn pong(&self) -> Response {
        Response::Pong { fit: self.is_fit(), keen: self.is_keen() }
    }

    /// Whether this node wants leaderships: it is not about to stop, and its disk has space for records.
    fn is_keen(&self) -> bool {
        self.keen.load(Ordering::Relaxed) && self.disk.read().as_ref().is_none_or(Disk::has_space)
    }

    /// Whether this node should lead anything.
    fn is_fit(&self) -> bool {
        self.disk.read().as_ref().is_none_or(Disk::is_fit)
    }
}

impl Transport {
    /// Listens for peers and begins to connect to them; connections are mended with back-off.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the system refuses a thread.
    pub async fn start(config: TransportConfig) -> std::io::Result<Self> {
        let pulse = if config.network.is_simulated() { Pulse::here() } else { Pulse::start()? };
        let (network, address) = (config.network.clone(), config.listen.clone());
        let bound = pulse.handle().spawn(async move { network.bind(&address).await });
        let socket = bound.await.map_err(std::io::Error::other)??;
        let sent = Arc::new(SentCounters::default());
        let others = config.peers.iter().filter(|peer| peer.node != config.node_id);
        let peers: BTreeMap<_, _> = others.map(|peer| (peer.node, Arc::new(Peer::new(peer.clone(), &sent)))).collect();
        let liveness = LivenessTable::new(config.node_id, peers.keys().copied());
        let inner = Arc::new(Inner {
            config,
            incarnation: rand::random(),
            peers,
            liveness,
            sent,
            tasks: Tasks::new(),
            pulse,
            workers: Handle::current(),
            incoming: Mutex::default(),
            services: RwLock::default(),
            raft: RwLock::default(),
            disk: RwLock::default(),
            keen: AtomicBool::new(true),
        });
        let (socket, shared) = (Arc::new(socket), inner.clone());
        let listening = move || listener::run(shared.clone(), socket.clone());
        inner.tasks.supervise_on(inner.pulse.handle(), "transport listener", listening);
        for peer in inner.peers.values() {
            peer::start(&inner, peer);
        }
        Ok(Self { inner })
    }

    /// Serves calls of a kind; a second registration replaces the first.
    pub fn serve(&self, service: Service, handler: Arc<dyn CallHandler>) {
        self.inner.services.write().insert(service, handler);
    }

    /// Calls `node` and waits for its answer. A call to this node itself is served directly.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        node: NodeId,
        service: Service,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, CallError> {
        let calling = async {
            if node == self.inner.config.node_id {
                let handler = self.inner.call_handler(service as u8).ok_or(CallError::NotServed(node))?;
                return Ok(handler.call(node, body).await);
            }
            self.call_peer(node, service, body).await
        };
        tokio::time::timeout(within, calling).await.unwrap_or(Err(CallError::TimedOut(node)))
    }

    async fn call_peer(&self, node: NodeId, service: Service, body: Bytes) -> Result<Bytes, CallError> {
        let peer = self.peer(node).ok_or(CallError::Unreachable(node))?;
        let request = Request::Call { service: service as u8 };
        let lane_error = |error| match error {
            LaneError::Unreachable | LaneError::TooLong => CallError::Unreachable(node),
            LaneError::Broken => CallError::Broken(node),
        };
        let sent = peer.lane(Lane::Control).request(&request, vec![body]).await.map_err(lane_error)?;
        match sent.await {
            Ok((Response::Called, answer)) => Ok(answer),
            Ok(_) => Err(CallError::NotServed(node)),
            Err(_) => Err(CallError::Broken(node)),
        }
    }

    /// Asks `nodes` for a sign of life, and returns when each has given one, or is known not to be alive, or `within` has passed. What
    /// [`liveness`](Self::liveness) says afterwards is not older than the question.
    pub async fn probe(&self, nodes: impl IntoIterator<Item = NodeId>, within: Duration) {
        let peers = nodes.into_iter().filter_map(|node| self.peer(node));
        let probes = peers.map(|peer| peer::probe(&self.inner.liveness, peer));
        // Whoever has not answered by then is suspected soon, or answers late.
        let _ = tokio::time::timeout(within, futures::future::join_all(probes)).await;
    }

    /// The liveness of the nodes.
    pub fn liveness(&self) -> NodeLiveness {
        NodeLiveness::new(self.inner.liveness.clone())
    }

    /// How many messages were sent to the other nodes, by kind, for metrics.
    pub fn sent(&self) -> Vec<SentMessages> {
        self.inner.sent.read()
    }

    /// Closes all connections.
    pub async fn shutdown(&self) {
        self.inner.tasks.shutdown().await;
    }

    /// The connections to a node, if it is one of the peers.
    pub(crate) fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.inner.peers.get(&node).cloned()
    }

    /// Serves Raft's messages.
    pub(crate) fn serve_raft(&self, service: Arc<dyn RaftService>) {
        *self.inner.raft.write() = Some(service);
    }

    /// Serves Raft's messages no more, and watches no disk.
    pub(crate) fn stop_serving_raft(&self) {
        *self.inner.raft.write() = None;
        *self.inner.disk.write() = None;
    }

    /// From now on the other nodes learn with each ping whether the disk behind `writer` is fit for leading: it takes writes, and none has been at
    /// it for longer than `stall_after`.
    pub(crate) fn watch_disk(&self, writer: LogWriter, stall_after: Duration) {
        *self.inner.disk.write() = Some(Disk { writer, stall_after });
    }

    /// Whether this node should lead anything.
    pub(crate) fn is_fit(&self) -> bool {
        self.inner.is_fit()
    }

    /// Tells the other nodes, with the next pings, that this node is about to stop and wants no leaderships.
    pub(crate) fn set_reluctant(&self) {
        self.inner.keen.store(false, Ordering::Relaxed);
    }

    /// Whether `node` is alive and wants leaderships.
    pub(crate) fn is_keen(&self, node: NodeId) -> bool {
        let me = node == self.inner.config.node_id;
        if me { self.inner.is_keen() } else { self.inner.liveness.is_keen(node) }
    }

    /// All peers.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.inner.peers.values()
    }

    /// What the pings told.
    pub(crate) fn liveness_table(&self) -> &Arc<LivenessTable> {
        &self.inner.liveness
    }
}
