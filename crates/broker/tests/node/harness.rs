//! The node and a client for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_broker::{Broker, BrokerConfig, BrokerParts, ConnectionLimits, LogLevels, NodeSetting};
use caudal_coordinator::{Coordinator, CoordinatorConfig, CoordinatorParts};
use caudal_metadata::config_defs::ConfigType;
use caudal_metadata::quotas::QuotaWindows;
use caudal_metadata::{Controller, ControllerConfig, NodeRegistration};
use caudal_partition::{Partitions, PartitionsConfig};
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Record, RecordBatch};
use caudal_protocol::frame::{decode_response, encode_request};
use caudal_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use caudal_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use caudal_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use caudal_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use caudal_protocol::messages::produce_response::PartitionProduceResponse;
use caudal_protocol::messages::{BrokerId, Request, TopicName};
use caudal_raft::{RaftGroups, RaftGroupsConfig, Transport, TransportConfig};
use caudal_storage::{Engine, LogWriter, MemEngine};
use caudal_types::{Clock, Network, NodeId, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const NODE: NodeId = NodeId(1);

/// Longer than anything takes; what exceeds it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node with everything that a broker stands on.
pub(crate) struct TestNode {
    pub(crate) broker: Broker,
    parts: BrokerParts,
}

impl TestNode {
    pub(crate) async fn start() -> Self {
        let engine: Arc<dyn Engine> = Arc::new(MemEngine::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let transport = Transport::start(TransportConfig {
            node_id: NODE,
            cluster_id: "test".to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            peers: Vec::new(),
            ping_interval: Duration::from_millis(100),
            suspect_after: Duration::from_millis(1000),
            network: Network::Tcp,
        });
        let transport = transport.await.unwrap();
        let raft = RaftGroupsConfig {
            node_id: NODE,
            election_timeout: Duration::from_millis(500),
            rebalance_after: Duration::ZERO,
            disk_stall_after: Duration::from_secs(2),
            log_cache_bytes: 16 << 20,
        };
        let groups =
            RaftGroups::new(raft, Arc::clone(&engine), LogWriter::start(Arc::clone(&engine)), transport.clone())
                .unwrap();
        let controller = ControllerConfig {
            node_id: NODE,
            nodes: vec![NODE],
            cluster_id: "test".to_owned(),
            registration: NodeRegistration { host: "localhost".to_owned(), port: 9092, rack: Some("r1".to_owned()) },
            coordinator_shards: 2,
            num_partitions: 2,
            default_replication_factor: None,
            topic_defaults: BTreeMap::from([("log.segment.bytes".to_owned(), "1048576".to_owned())]),
            mutation_windows: QuotaWindows::default(),
        };
        let started =
            Controller::start(controller, groups.clone(), transport.clone(), Arc::clone(&engine), Arc::clone(&clock));
        let controller = started.await.unwrap();
        let partitions = PartitionsConfig {
            node_id: NODE,
            topic_defaults: controller.config().topic_defaults.clone(),
            producer_expiration_ms: 86_400_000,
            retention_check_interval: Duration::from_secs(300),
            compaction: Default::default(),
        };
        let partitions = Partitions::start(
            partitions,
            controller.clone(),
            groups.clone(),
            transport.liveness(),
            Arc::clone(&engine),
            Arc::clone(&clock),
        )
        .unwrap();
        let coordinator = CoordinatorConfig { initial_rebalance_delay_ms: 0, ..CoordinatorConfig::new(NODE) };
        let standing_on = CoordinatorParts {
            controller: controller.clone(),
            partitions: partitions.clone(),
            groups: groups.clone(),
            transport: transport.clone(),
            engine,
            clock: Arc::clone(&clock),
        };
        let coordinator = Coordinator::start(coordinator, standing_on);
        let parts = BrokerParts { controller, partitions, coordinator, groups, transport, clock };
        parts.await_formed().await;
        let broker = Broker::start(config(), parts.clone()).await.unwrap();
        Self { broker, parts }
    }

    pub(crate) async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.broker.local_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, next_id: 0 }
    }

    /// Connects, and makes a topic.
    pub(crate) async fn with_topic(&self, name: &str, partitions: i32) -> Client {
        self.with_topic_as(name, partitions, &[]).await
    }

    /// A client, and a topic with settings.
    pub(crate) async fn with_topic_as(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&'static str, &'static str)],
    ) -> Client {
        let mut client = self.connect().await;
        let request = CreateTopicsRequest::default()
            .with_topics(vec![creatable(name, partitions, settings)])
            .with_timeout_ms(30_000);
        let response = client.call(7, &request).await;
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
        client
    }

    /// Stops everything, from the clients downwards.
    pub(crate) async fn stop(self) {
        self.broker.shutdown(Duration::from_secs(5)).await;
        self.parts.coordinator.shutdown().await;
        self.parts.partitions.shutdown().await;
        self.parts.controller.shutdown().await;
        self.parts.groups.shutdown().await;
        self.parts.transport.shutdown().await;
    }
}

/// Waits until the cluster can serve.
trait AwaitFormed {
    async fn await_formed(&self);
}

impl AwaitFormed for BrokerParts {
    async fn await_formed(&self) {
        let (mut images, mut leaders) = (self.controller.images(), self.controller.leaders().changes());
        let formed = async {
            loop {
                let image = self.controller.image();
                let led = |group| self.controller.leaders().leader(group).is_some();
                let shards = &image.coordinator_shards;
                if image.nodes.contains_key(&NODE) && !shards.is_empty() && shards.iter().all(|s| led(s.group)) {
                    return;
                }
                tokio::select! {
                    changed = images.changed() => changed.unwrap(),
                    changed = leaders.changed() => changed.unwrap(),
                }
            }
        };
        tokio::time::timeout(PATIENCE, formed).await.expect("the cluster is formed");
    }
}

fn num_partitions() -> NodeSetting {
    NodeSetting {
        name: "num.partitions",
        kind: ConfigType::Int,
        documentation: "How many partitions a topic gets.",
        given: Some("2".to_owned()),
        default: Some("1".to_owned()),
        internal: false,
    }
}

fn config() -> BrokerConfig {
    BrokerConfig {
        node_id: NODE,
        listen: "127.0.0.1:0".to_owned(),
        folder: std::env::temp_dir(),
        max_connections: 100,
        request_max_bytes: 4 << 20,
        request_memory_bytes: 64 << 20,
        fetch_memory_bytes: 64 << 20,
        idle_timeout: Duration::from_secs(600),
        auto_create_topics: true,
        fetch_sessions_max: 10,
        telemetry_max_bytes: 1 << 20,
        replica_selector: None,
        fetch_max_bytes: 8 << 20,
        quota_windows: QuotaWindows::default(),
        connections: ConnectionLimits::default(),
        shown: Arc::from([num_partitions()]),
        log_levels: LogLevels::new("info", &["caudal_raft"], Box::new(|_| Ok(()))),
        network: Network::Tcp,
    }
}

/// A client that speaks in raw requests.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    next_id: i32,
}

impl Client {
    /// Sends a request and reads its answer, which must be in the request's version to the last byte.
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let id = self.send(version, request).await;
        self.receive::<R>(version, id).await
    }

    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.next_id += 1;
        let frame = encode_request(R::KEY, version, self.next_id, "tester", request);
        let frame = frame.unwrap_or_else(|error| panic!("API {} version {version}: {error}", R::KEY));
        self.stream.write_all(&frame).await.unwrap();
        self.next_id
    }

    pub(crate) async fn receive<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let frame = self.frame().await.unwrap_or_else(|| panic!("API {} version {version}: no answer", R::KEY));
        let (got, response) = decode_response::<R::Response>(R::KEY, version, &frame)
            .unwrap_or_else(|error| panic!("API {} version {version}: {error}", R::KEY));
        assert_eq!(got, id, "answers come in the order of the requests");
        response
    }

    /// The next frame without its length; `None` when the broker has closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let len = self.stream.read_i32().await.ok()?;
            let mut frame = BytesMut::zeroed(usize::try_from(len).unwrap());
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(frame.freeze())
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the broker answers or closes")
    }

    pub(crate) async fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> PartitionProduceResponse {
        let response = self.call(11, &produce_request(topic, partition, -1, batch)).await;
        response.responses[0].partition_responses[0].clone()
    }

    /// Fetches from an offset on, without waiting, outside of a session.
    pub(crate) async fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> PartitionData {
        let response: FetchResponse = self.call(12, &fetch_request(topic, partition, offset)).await;
        response.responses[0].partitions[0].clone()
    }

    pub(crate) async fn topic_id(&mut self, name: &str) -> uuid::Uuid {
        let asked = MetadataRequestTopic::default().with_name(Some(topic(name)));
        let response = self.call(12, &MetadataRequest::default().with_topics(Some(vec![asked]))).await;
        response.topics[0].topic_id
    }
}

/// Waits for a condition that nobody announces.
pub(crate) async fn until(met: impl Fn() -> bool) {
    let polled = async {
        while !met() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.expect("the condition is met in time");
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName(name.to_owned().into())
}

pub(crate) fn produce_request(name: &str, partition: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let data = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}

pub(crate) fn fetch_request(name: &str, partition: i32, offset: i64) -> FetchRequest {
    let wanted =
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let wanted = FetchTopic::default().with_topic(topic(name)).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![wanted])
}

pub(crate) fn record(value: &str) -> Record {
    Record { timestamp: 1000, value: Some(Bytes::from(value.to_owned())), ..Record::default() }
}

/// A topic with settings, to be created with the default replication factor.
pub(crate) fn creatable(name: &str, partitions: i32, settings: &[(&'static str, &'static str)]) -> CreatableTopic {
    let setting = |(name, value): &(&'static str, &'static str)| {
        CreatableTopicConfig::default().with_name((*name).into()).with_value(Some((*value).into()))
    };
    CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(settings.iter().map(setting).collect())
}

/// A batch as a producer sends it.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    let records: Vec<Record> = values.iter().map(|value| record(value)).collect();
    BatchBuilder::new().build(&records).unwrap().bytes().clone()
}

/// The values of fetched records, with their offsets.
pub(crate) fn values(data: &PartitionData) -> Vec<(i64, String)> {
    let (mut rest, mut values) = (data.records.clone().unwrap_or_default(), Vec::new());
    while !rest.is_empty() {
        let len = 12 + usize::try_from(i32::from_be_bytes(rest[8..12].try_into().unwrap())).unwrap();
        let batch = RecordBatch::parse_stored(rest.split_to(len)).expect("fetched batches are whole and sound");
        batch
            .for_each_record(&mut |record| {
                let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
                values.push((batch.base_offset() + i64::from(record.offset_delta), value));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
    values
}

pub(crate) fn code(number: i16) -> ErrorCode {
    ErrorCode(number)
}
