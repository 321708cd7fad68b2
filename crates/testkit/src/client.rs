//! A Kafka client on the simulated network: one connection at a time, raw requests, no retries of its own.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_protocol::frame::{decode_response, encode_request};
use caudal_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use caudal_protocol::messages::{FindCoordinatorRequest, Request, TopicName};
use caudal_types::net::Socket;
use caudal_types::{Network, NodeId};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::net::{self, Host, Net};
use crate::node::{CLIENT_PORT, host};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long making a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was not sent.
    #[error("no connection: {0}")]
    NotSent(io::Error),
    /// It may have had its effect.
    #[error("no answer: {0}")]
    Unknown(String),
}

/// A client.
pub struct Client {
    network: Network,
    nodes: Vec<NodeId>,
    chance: StdRng,
    /// Who is thought to serve what this client asks for.
    target: Option<NodeId>,
    connection: Option<(NodeId, Socket)>,
    next_id: i32,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Client {
    /// A client on `host` that knows these nodes.
    pub fn new(net: &Net, host: Host, nodes: Vec<NodeId>, chance: StdRng) -> Self {
        net.bring_up(host);
        let network = Network::Simulated(net.attach(host));
        Self { network, nodes, chance, target: None, connection: None, next_id: 0 }
    }

    /// Asks whoever was found last; anybody, when nobody was.
    ///
    /// # Errors
    /// See [`CallError`]; the connection is closed then, and another node is asked the next time.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, CallError> {
        let id = self.send(version, request).await?;
        self.receive::<R>(version, id).await
    }

    /// Sends a request, to be followed by [`receive`](Self::receive).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32, CallError> {
        self.next_id += 1;
        let id = self.next_id;
        let frame = encode_request(R::KEY, version, id, "simulated", request)
            .map_err(|error| CallError::NotSent(io::Error::other(error)))?;
        let sent = match self.socket().await {
            Ok(socket) => match timeout(PATIENCE, socket.write_all(&frame)).await {
                Ok(Ok(())) => Ok(id),
                Ok(Err(error)) => Err(CallError::Unknown(error.to_string())),
                Err(_) => Err(CallError::Unknown("it could not be written in time".to_owned())),
            },
            Err(error) => Err(CallError::NotSent(error)),
        };
        sent.inspect_err(|_| self.give_up())
    }

    /// Waits for the answer to a request; answers come in the order of the requests.
    ///
    /// # Errors
    /// [`CallError::Unknown`].
    pub async fn receive<R: Request>(&mut self, version: i16, id: i32) -> Result<R::Response, CallError> {
        let frame = match &mut self.connection {
            Some((_, socket)) => timeout(PATIENCE, read_frame(socket)).await,
            None => return Err(CallError::Unknown("the connection is closed".to_owned())),
        };
        let answer = match frame {
            Ok(Ok(frame)) => decode_response::<R::Response>(R::KEY, version, &frame).map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not come in time".to_owned()),
        };
        match answer {
            Ok((got, response)) if got == id => Ok(response),
            Ok((got, _)) => {
                self.give_up();
                Err(CallError::Unknown(format!("the answer to {got} came instead of that to {id}")))
            }
            Err(reason) => {
                self.give_up();
                Err(CallError::Unknown(reason))
            }
        }
    }

    /// Closes the connection, and forgets who is to be asked.
    pub fn give_up(&mut self) {
        self.connection = None;
        self.target = None;
    }

    /// Who is asked.
    pub fn target(&self) -> Option<NodeId> {
        self.target
    }

    /// Asks some node who leads a partition, and asks that one from now on; whether it is known.
    pub async fn find_leader(&mut self, topic: &str, partition: i32) -> bool {
        self.give_up();
        let wanted = MetadataRequestTopic::default().with_name(Some(TopicName(topic.to_owned().into())));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(false);
        let Ok(response) = self.call(9, &request).await else { return false };
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let leader =
            partitions.filter(|known| known.partition_index == partition).map(|known| known.leader_id.0).next();
        self.aim(leader)
    }

    /// Asks some node who coordinates a group, and asks that one from now on; whether it is known.
    pub async fn find_coordinator(&mut self, group: &str) -> bool {
        self.find_coordinator_of(0, group).await
    }

    /// Asks some node who coordinates a transactional id, and asks that one from now on; whether it is known.
    pub async fn find_transaction_coordinator(&mut self, id: &str) -> bool {
        self.find_coordinator_of(1, id).await
    }

    async fn find_coordinator_of(&mut self, key_type: i8, key: &str) -> bool {
        self.give_up();
        let request = FindCoordinatorRequest::default().with_key(key.to_owned().into()).with_key_type(key_type);
        let Ok(response) = self.call(2, &request).await else { return false };
        self.aim((response.error_code == 0).then_some(response.node_id.0))
    }

    fn aim(&mut self, node: Option<i32>) -> bool {
        let node = node.and_then(|node| u32::try_from(node).ok()).map(NodeId).filter(|node| self.nodes.contains(node));
        self.target = node;
        if self.connection.as_ref().map(|(to, _)| *to) != node {
            self.connection = None;
        }
        node.is_some()
    }

    async fn socket(&mut self) -> io::Result<&mut Socket> {
        if self.connection.is_none() {
            let node = match self.target {
                Some(node) => node,
                None => self.nodes[self.chance.random_range(0..self.nodes.len())],
            };
            self.target = Some(node);
            let address = net::address(host(node), CLIENT_PORT).to_string();
            let socket = timeout(CONNECT_WITHIN, self.network.connect(&address)).await??;
            self.connection = Some((node, socket));
        }
        self.connection.as_mut().map(|(_, socket)| socket).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

async fn read_frame(socket: &mut Socket) -> io::Result<Bytes> {
    let length = socket.read_i32().await?;
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut frame = BytesMut::zeroed(length);
    socket.read_exact(&mut frame).await?;
    Ok(frame.freeze())
}

/// What a client on a host draws lots with.
pub(crate) fn chance(seed: u64, host: Host) -> StdRng {
    crate::entropy::generator(seed, 1000 + u64::from(host))
}

/// Shared by those that know the same cluster.
pub(crate) type Nodes = Arc<Vec<NodeId>>;
