//! The cluster: who leads what, and where requests go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::metadata_request::MetadataRequestTopic;
use caudal_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use caudal_protocol::messages::{MetadataRequest, MetadataResponse, Request, StrBytes};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::retry::Retry;
use crate::{ClientError, Connection};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What a request is given at least, however little time the whole operation has.
const SHORTEST_REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// Its host, as it advertises it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
}

impl Broker {
    /// Where it listens.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// A partition, as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its number, from 0.
    pub index: i32,
    /// The node that leads it, if one does.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The nodes that should have it; the first is the preferred leader.
    pub replicas: Vec<i32>,
    /// Those of them that are alive and caught up.
    pub isr: Vec<i32>,
}

/// A topic, as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its id; nil if the broker does not tell.
    pub id: Uuid,
    /// Kafka's own, such as the one for consumer offsets.
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionMetadata>,
}

impl TopicMetadata {
    /// One of its partitions.
    ///
    /// # Errors
    /// [`ClientError::NoSuchPartition`].
    pub fn partition(&self, partition: i32) -> Result<&PartitionMetadata, ClientError> {
        let (topic, count) = (self.name.clone(), self.partitions.len());
        let found = self.partitions.iter().find(|candidate| candidate.index == partition);
        found.ok_or(ClientError::NoSuchPartition { topic, partition, count })
    }

    /// How many replicas its partitions have.
    pub fn replication_factor(&self) -> usize {
        self.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0)
    }

    /// Who leads a partition.
    ///
    /// # Errors
    /// When there is no such partition, or no leader now.
    pub fn leader(&self, partition: i32) -> Result<i32, ClientError> {
        let no_leader = || ClientError::NoLeader { topic: self.name.clone(), partition };
        self.partition(partition)?.leader.ok_or_else(no_leader)
    }
}

/// The cluster, as one of its nodes sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// Its id.
    pub cluster_id: Option<String>,
    /// The node that is said to be the controller.
    pub controller: Option<i32>,
    /// Its nodes.
    pub brokers: Vec<Broker>,
    /// The topics asked for.
    pub topics: Vec<TopicMetadata>,
}

/// A client of one cluster. Clones share connections; on each of these, one request is under way at a time, so whoever polls with long waits has its own client.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    timeout: Duration,
}

#[derive(Debug)]
struct Inner {
    bootstrap: Vec<String>,
    client_id: String,
    request_timeout: Duration,
    connections: Mutex<HashMap<String, Slot>>,
    brokers: Mutex<BTreeMap<i32, Broker>>,
    /// The addresses whose last answer to [`Client::call_any`] did not come.
    failing: Mutex<HashSet<String>>,
    topics: Mutex<HashMap<String, TopicMetadata>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

impl Client {
    /// A client that begins at `bootstrap`: addresses `host:port`, separated by commas. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ClientError::BadBootstrap`].
    pub fn new(bootstrap: &str) -> Result<Self, ClientError> {
        let addresses: Vec<&str> = bootstrap.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let is_address = |part: &&str| {
            part.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if addresses.is_empty() || !addresses.iter().all(is_address) {
            return Err(ClientError::BadBootstrap(bootstrap.to_owned()));
        }
        let inner = Inner {
            bootstrap: addresses.into_iter().map(str::to_owned).collect(),
            client_id: "caudal-client".to_owned(),
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            connections: Mutex::default(),
            brokers: Mutex::default(),
            failing: Mutex::default(),
            topics: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), timeout: DEFAULT_TIMEOUT })
    }

    /// The same client with another time limit for whole operations, tries and all (30 s if never set).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The time limit for whole operations.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn retry(&self) -> Retry {
        Retry::new(self.timeout)
    }

    /// The time limit for a single request: that of operations, if it is shorter, so that one node that hangs does not outlast it.
    fn request_timeout(&self) -> Duration {
        self.inner.request_timeout.min(self.timeout.max(SHORTEST_REQUEST_TIMEOUT))
    }

    /// The time that a broker is given for an operation, in the field of the request.
    pub(crate) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.inner.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Sends a request to the broker at `address`, once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call_at<R: Request>(&self, address: &str, request: &R) -> Result<R::Response, ClientError> {
        let slot = self.inner.connections.lock().entry(address.to_owned()).or_default().clone();
        let mut slot = slot.lock().await;
        // Taken out while it is used: if this future is dropped half-way, the connection goes with it, and no answer is left over for the next request.
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => Connection::open(address, &self.inner.client_id, self.request_timeout()).await?,
        };
        let response = connection.call(request).await?;
        *slot = Some(connection);
        Ok(response)
    }

    /// Sends a request to a node, once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call_node<R: Request>(&self, node: i32, request: &R) -> Result<R::Response, ClientError> {
        let address = self.inner.brokers.lock().get(&node).map(Broker::address);
        let address = address.ok_or_else(|| ClientError::NoSuchNode { node, nodes: self.known_nodes() })?;
        self.call_at(&address, request).await
    }

    fn known_nodes(&self) -> Vec<i32> {
        self.inner.brokers.lock().keys().copied().collect()
    }

    /// Sends a request to any node that answers: first those of the bootstrap list, then the others that are known, and last those that failed before.
    ///
    /// # Errors
    /// The last try's error.
    pub async fn call_any<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let mut last = ClientError::BadBootstrap(String::new());
        for address in self.addresses() {
            match self.call_at(&address, request).await {
                Err(error) if error.is_retriable() => {
                    self.inner.failing.lock().insert(address);
                    last = error;
                }
                other => {
                    self.inner.failing.lock().remove(&address);
                    return other;
                }
            }
        }
        Err(last)
    }

    /// Whom to ask, each once. Those that failed last come last: one that hangs would cost its time-out each time.
    fn addresses(&self) -> Vec<String> {
        let mut addresses = self.inner.bootstrap.clone();
        addresses.extend(self.inner.brokers.lock().values().map(Broker::address));
        let mut seen = HashSet::new();
        addresses.retain(|address| seen.insert(address.clone()));
        let failing = self.inner.failing.lock();
        addresses.sort_by_key(|address| failing.contains(address));
        addresses
    }

    /// Describes the cluster with the topics named, or with all topics; a topic that does not exist is left out.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<ClusterMetadata, ClientError> {
        let mut retry = self.retry();
        loop {
            match self.try_metadata(topics, false).await {
                Ok((metadata, _)) => return Ok(metadata),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Describes a topic; if it does not exist, it is created when `auto_create` is set and the cluster allows it.
    ///
    /// # Errors
    /// See [`ClientError`]; UNKNOWN_TOPIC_OR_PARTITION is tried again only if the topic may come into being.
    pub async fn topic(&self, name: &str, auto_create: bool) -> Result<TopicMetadata, ClientError> {
        let mut retry = self.retry();
        loop {
            let error = match self.try_metadata(Some(&[name]), auto_create).await {
                Ok((metadata, code)) => match metadata.topics.into_iter().next() {
                    Some(topic) => return Ok(topic),
                    None => ClientError::Kafka { what: format!("topic '{name}'"), code, message: None },
                },
                Err(error) => error,
            };
            if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) && !auto_create {
                return Err(error);
            }
            retry.after(error).await?;
        }
    }

    /// What was last heard of a topic, or what the cluster says now.
    pub(crate) async fn cached_topic(&self, name: &str, auto_create: bool) -> Result<TopicMetadata, ClientError> {
        let cached = self.inner.topics.lock().get(name).cloned();
        match cached {
            Some(topic) => Ok(topic),
            None => self.topic(name, auto_create).await,
        }
    }

    /// Forgets what was heard of a topic.
    pub(crate) fn forget(&self, topic: &str) {
        self.inner.topics.lock().remove(topic);
    }

    /// The cluster, and the code of the first topic that has one.
    async fn try_metadata(
        &self,
        topics: Option<&[&str]>,
        auto_create: bool,
    ) -> Result<(ClusterMetadata, ErrorCode), ClientError> {
        let named = |name: &&str| {
            let name = StrBytes::from_string((*name).to_owned());
            MetadataRequestTopic::default().with_name(Some(name.into()))
        };
        let request = MetadataRequest::default()
            .with_topics(topics.map(|names| names.iter().map(named).collect()))
            .with_allow_auto_topic_creation(auto_create);
        let response = self.call_any(&request).await?;
        ClientError::check(response.error_code, None, || "asking for metadata".to_owned())?;
        let code = response.topics.iter().map(|topic| ErrorCode(topic.error_code)).find(|code| code.is_error());
        let metadata = cluster_metadata(&response);
        self.remember(&metadata);
        Ok((metadata, code.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)))
    }

    fn remember(&self, metadata: &ClusterMetadata) {
        *self.inner.brokers.lock() = metadata.brokers.iter().map(|broker| (broker.id, broker.clone())).collect();
        let mut topics = self.inner.topics.lock();
        topics.extend(metadata.topics.iter().map(|topic| (topic.name.clone(), topic.clone())));
    }
}

fn cluster_metadata(response: &MetadataResponse) -> ClusterMetadata {
    let text = |text: &StrBytes| text.as_str().to_owned();
    let broker = |broker: &caudal_protocol::messages::metadata_response::MetadataResponseBroker| Broker {
        id: broker.node_id.0,
        host: text(&broker.host),
        port: u16::try_from(broker.port).unwrap_or(0),
        rack: broker.rack.as_ref().map(text),
    };
    ClusterMetadata {
        cluster_id: response.cluster_id.as_ref().map(text),
        controller: Some(response.controller_id.0).filter(|id| *id >= 0),
        brokers: response.brokers.iter().map(broker).collect(),
        topics: response.topics.iter().filter(|topic| topic.error_code == 0).map(topic_metadata).collect(),
    }
}

fn topic_metadata(topic: &MetadataResponseTopic) -> TopicMetadata {
    let mut partitions: Vec<_> = topic.partitions.iter().map(partition_metadata).collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicMetadata {
        name: topic.name.as_ref().map(|name| name.0.to_string()).unwrap_or_default(),
        id: topic.topic_id,
        internal: topic.is_internal,
        partitions,
    }
}

fn partition_metadata(partition: &MetadataResponsePartition) -> PartitionMetadata {
    PartitionMetadata {
        index: partition.partition_index,
        leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.iter().map(|id| id.0).collect(),
        isr: partition.isr_nodes.iter().map(|id| id.0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_addresses_are_checked() {
        for good in ["127.0.0.1:9092", "a:1, b:2", "[::1]:9092,"] {
            assert!(Client::new(good).is_ok(), "{good}");
        }
        for bad in ["", "host", "host:port", ":9092", "host:99999", ","] {
            assert!(matches!(Client::new(bad), Err(ClientError::BadBootstrap(_))), "{bad}");
        }
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_told_with_advice() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has an address").to_string();
        drop(listener);
        let client = Client::new(&address).expect("an address").with_timeout(Duration::from_millis(50));
        let error = client.metadata(None).await.expect_err("nobody listens").to_string();
        assert!(error.contains(&address) && error.contains("is the broker running"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_is_no_broker_is_told_as_such() {
        use tokio::io::AsyncWriteExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address").to_string();
        let server = async {
            let (mut socket, _) = listener.accept().await.expect("accepts");
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("writes");
            socket
        };
        let client = Client::new(&address).expect("an address");
        let (_socket, result) = tokio::join!(server, client.metadata(None));
        assert!(matches!(result, Err(ClientError::NotKafka { .. })), "{result:?}");
    }
}
