//! The connections between nodes. Per pair of nodes a control connection (votes, pings, heartbeats, calls) and data connections
//! (appends, snapshots), so that heartbeats never wait behind payload.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_types::NodeId;
use tokio::sync::watch;

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
}

/// What a call is for; persisted in the wire format between nodes, keep stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Service {
    /// Wishes forwarded to the controller.
    Controller = 1,
    /// Announcements of leaderships.
    Leaders = 2,
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

/// The liveness of all nodes, as this node sees it: between nodes, not between groups.
#[derive(Clone, Debug)]
pub struct NodeLiveness {}

impl NodeLiveness {
    /// Whether `node` is alive; this node itself always is.
    pub fn is_alive(&self, _node: NodeId) -> bool {
        todo!()
    }

    /// All other nodes with their liveness, whenever one changes.
    pub fn watch(&self) -> watch::Receiver<Vec<(NodeId, Liveness)>> {
        todo!()
    }
}

/// The connections to the other nodes; a cheap handle.
#[derive(Clone, Debug)]
pub struct Transport {}

impl Transport {
    /// Listens for peers and begins to connect to them; connections are mended with back-off.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(_config: TransportConfig) -> std::io::Result<Self> {
        todo!()
    }

    /// Serves calls of a kind; a second registration replaces the first.
    pub fn serve(&self, _service: Service, _handler: Arc<dyn CallHandler>) {
        todo!()
    }

    /// Calls `node` and waits for its answer. A call to this node itself is served directly.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        _node: NodeId,
        _service: Service,
        _body: Bytes,
        _within: Duration,
    ) -> Result<Bytes, CallError> {
        todo!()
    }

    /// The liveness of the nodes.
    pub fn liveness(&self) -> NodeLiveness {
        todo!()
    }

    /// Closes all connections.
    pub async fn shutdown(&self) {
        todo!()
    }
}
