//! Single requests to single nodes, each sent once: what a library would try again by itself could happen twice, and nobody would know.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use caudal_client::{ClientError, Connection};
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Record, whole_batches};
use caudal_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use caudal_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use caudal_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use caudal_protocol::messages::delete_topics_request::DeleteTopicState;
use caudal_protocol::messages::describe_configs_request::DescribeConfigsResource;
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use caudal_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use caudal_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use caudal_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use caudal_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, DescribeTransactionsRequest, FetchRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, MetadataRequest, MetadataResponse, ProduceRequest, Request, StrBytes,
    TransactionalId,
};
use caudal_types::{Clock, SystemClock};
use tokio::runtime::Handle;

use super::client::{Outcome, REQUEST_WITHIN};
use crate::history::{Offset, Value};

/// Sends requests to nodes by their numbers.
#[derive(Clone, Debug)]
pub struct Requests {
    addresses: Vec<String>,
    runtime: Handle,
}

/// What some node coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coordinated {
    /// A consumer group.
    Group(String),
    /// The transactions of a producer.
    TransactionalId(String),
}

impl Coordinated {
    /// The type of key by which FindCoordinator is asked, and the key.
    fn key(&self) -> (i8, &str) {
        match self {
            Self::Group(name) => (KEY_GROUP, name),
            Self::TransactionalId(id) => (KEY_TRANSACTION, id),
        }
    }
}

impl fmt::Display for Coordinated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group {name}"),
            Self::TransactionalId(id) => write!(f, "transactional id {id}"),
        }
    }
}

/// What is asked of a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Start,
    End,
    CommittedEnd,
}

/// Why nothing is known, or that nothing happened.
enum Failure {
    /// Nothing happened.
    Refused(String),
    /// It may have.
    Unknown(String),
}

impl<T> From<Result<T, Failure>> for Outcome<T> {
    fn from(result: Result<T, Failure>) -> Self {
        match result {
            Ok(value) => Self::Ok(value),
            Err(Failure::Refused(error)) => Self::Fail(error),
            Err(Failure::Unknown(error)) => Self::Info(error),
        }
    }
}

impl Requests {
    /// For nodes at these addresses, the first being node 1.
    pub fn new(addresses: Vec<String>, runtime: Handle) -> Self {
        Self { addresses, runtime }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> u32 {
        u32::try_from(self.addresses.len()).unwrap_or(u32::MAX)
    }

    /// Creates a topic.
    pub fn create_topic(&self, node: u32, topic: &str, partitions: u32) -> Outcome<()> {
        self.create_topic_with(node, topic, partitions, &[])
    }

    /// Creates a topic with these settings.
    pub fn create_topic_with(&self, node: u32, topic: &str, partitions: u32, settings: &[(&str, &str)]) -> Outcome<()> {
        let setting = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let creatable = CreatableTopic::default()
            .with_name(text(topic).into())
            .with_num_partitions(partitions.cast_signed())
            .with_replication_factor(-1)
            .with_configs(settings.iter().map(setting).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(BROKER_WITHIN_MS);
        let answer = self.call(node, &request).and_then(|answer| {
            let result = answer.topics.first().map(|result| (result.error_code, result.error_message.clone()));
            check(result)
        });
        answer.into()
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, node: u32, topic: &str) -> Outcome<()> {
        let state = DeleteTopicState::default().with_name(Some(text(topic).into()));
        let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(BROKER_WITHIN_MS);
        let answer = self.call(node, &request).and_then(|answer| {
            check(answer.responses.first().map(|result| (result.error_code, result.error_message.clone())))
        });
        answer.into()
    }

    /// Gives a topic more partitions.
    pub fn grow_topic(&self, node: u32, topic: &str, partitions: u32) -> Outcome<()> {
        let topic = CreatePartitionsTopic::default()
            .with_name(text(topic).into())
            .with_count(partitions.cast_signed())
            .with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(BROKER_WITHIN_MS);
        let answer = self.call(node, &request).and_then(|answer| {
            check(answer.results.first().map(|result| (result.error_code, result.error_message.clone())))
        });
        answer.into()
    }

    /// Sets the register of a topic.
    pub fn write_config(&self, node: u32, topic: &str, value: Value) -> Outcome<()> {
        let config = AlterableConfig::default()
            .with_name(text(REGISTER))
            .with_config_operation(OPERATION_SET)
            .with_value(Some(text(&value.to_string())));
        let resource = AlterConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.call(node, &request).and_then(|answer| {
            check(answer.responses.first().map(|result| (result.error_code, result.error_message.clone())))
        });
        answer.into()
    }

    /// Reads the register of a topic: `None` where there is no topic, or nobody has set it.
    pub fn read_config(&self, node: u32, topic: &str) -> Outcome<Option<Value>> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(text(topic))
            .with_configuration_keys(Some(vec![text(REGISTER)]));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let read = || {
            let answer = self.call(node, &request)?;
            let result = answer.results.first();
            if result.is_some_and(|result| result.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.code()) {
                return Ok(None);
            }
            check(result.map(|result| (result.error_code, result.error_message.clone())))?;
            let set =
                result.and_then(|result| result.configs.iter().find(|config| config.config_source == SOURCE_TOPIC));
            Ok(set.and_then(|config| config.value.as_ref()?.parse().ok()))
        };
        // A read that gets no answer has no effect.
        match read() {
            Ok(value) => Outcome::Ok(value),
            Err(Failure::Refused(error) | Failure::Unknown(error)) => Outcome::Fail(error),
        }
    }

    /// The topics that a node knows, with their numbers of partitions.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn list_topics(&self, node: u32) -> Result<BTreeMap<String, u32>, String> {
        let answer = self.metadata(node)?;
        let count = |partitions: usize| u32::try_from(partitions).unwrap_or(u32::MAX);
        let topics = answer.topics.into_iter().filter(|topic| !topic.is_internal);
        Ok(topics.filter_map(|topic| Some((topic.name?.to_string(), count(topic.partitions.len())))).collect())
    }

    /// What a node knows of all topics.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn metadata(&self, node: u32) -> Result<MetadataResponse, String> {
        let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        self.call(node, &request).map_err(|failure| match failure {
            Failure::Refused(error) | Failure::Unknown(error) => error,
        })
    }

    /// The end of a partition, as its leader gives it.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn end(&self, leader: u32, topic: &str, partition: i32) -> Result<Offset, String> {
        self.offset(leader, ANY_EPOCH, topic, partition, Wanted::End)
    }

    /// Where what is committed ends, as its leader says: at the first record of an open transaction, if there is one.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn committed_end(&self, leader: u32, topic: &str, partition: i32) -> Result<Offset, String> {
        self.offset(leader, ANY_EPOCH, topic, partition, Wanted::CommittedEnd)
    }

    /// Where a partition begins, as a node says that leads it in this epoch.
    ///
    /// # Errors
    /// When it does not tell, or does not lead it in this epoch.
    pub fn start(&self, leader: u32, epoch: i32, topic: &str, partition: i32) -> Result<Offset, String> {
        self.offset(leader, epoch, topic, partition, Wanted::Start)
    }

    fn offset(&self, leader: u32, epoch: i32, topic: &str, partition: i32, wanted: Wanted) -> Result<Offset, String> {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(epoch)
            .with_timestamp(if wanted == Wanted::Start { EARLIEST } else { LATEST });
        let topic = ListOffsetsTopic::default().with_name(text(topic).into()).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(i8::from(wanted == Wanted::CommittedEnd))
            .with_topics(vec![topic]);
        let answer = || {
            let answer = self.call(leader, &request)?;
            let found = answer.topics.first().and_then(|topic| topic.partitions.first());
            check(found.map(|found| (found.error_code, None)))?;
            found.map(|found| found.offset).ok_or_else(|| Failure::Refused("no partition in the answer".to_owned()))
        };
        answer().map_err(|failure| match failure {
            Failure::Refused(error) | Failure::Unknown(error) => error,
        })
    }

    /// Who coordinates something, as a node says.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn coordinator(&self, node: u32, of: &Coordinated) -> Result<u32, String> {
        let (key_type, key) = of.key();
        let request = FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(vec![text(key)]);
        let answer = || {
            let answer = self.call(node, &request)?;
            let found = answer.coordinators.first();
            check(found.map(|found| (found.error_code, found.error_message.clone())))?;
            let id = found.and_then(|found| u32::try_from(found.node_id.0).ok());
            id.ok_or_else(|| Failure::Refused("no node in the answer".to_owned()))
        };
        answer().map_err(|failure| match failure {
            Failure::Refused(error) | Failure::Unknown(error) => error,
        })
    }

    /// Whether a transaction of this transactional id is open, as its coordinator says.
    pub fn is_in_transaction(&self, coordinator: u32, id: &str) -> bool {
        let ids = vec![TransactionalId(text(id))];
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
        self.call(coordinator, &request).is_ok_and(|answer| {
            answer.transaction_states.iter().any(|found| found.error_code == 0 && &*found.transaction_state == ONGOING)
        })
    }

    /// Lets go of what is before an offset: where the log begins then.
    pub fn delete_records(&self, leader: u32, topic: &str, partition: i32, before: Offset) -> Outcome<Offset> {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before);
        let topic = DeleteRecordsTopic::default().with_name(text(topic).into()).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(BROKER_WITHIN_MS);
        let answer = || -> Result<Offset, Failure> {
            let answer = self.call(leader, &request)?;
            let found = answer.topics.first().and_then(|topic| topic.partitions.first());
            check(found.map(|found| (found.error_code, None)))?;
            Ok(found.map_or(-1, |found| found.low_watermark))
        };
        answer().into()
    }

    /// All bytes of a partition, as this node has them, be it the leader or not.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn bytes(&self, node: u32, topic: &str, partition: i32, from: Offset) -> Result<Vec<u8>, String> {
        let metadata = self.metadata(node)?;
        let named =
            metadata.topics.iter().find(|found| found.name.as_ref().is_some_and(|name| name.0.as_str() == topic));
        let id = named.ok_or_else(|| format!("node {node} knows no topic {topic}"))?.topic_id;
        let (mut all, mut next) = (Vec::new(), from);
        loop {
            let wanted = FetchPartition::default()
                .with_partition(partition)
                .with_fetch_offset(next)
                .with_partition_max_bytes(FETCH_BYTES);
            let topic =
                FetchTopic::default().with_topic(text(topic).into()).with_topic_id(id).with_partitions(vec![wanted]);
            let request =
                FetchRequest::default().with_max_bytes(FETCH_BYTES).with_session_epoch(-1).with_topics(vec![topic]);
            let answer = self.call(node, &request).map_err(|failure| match failure {
                Failure::Refused(error) | Failure::Unknown(error) => error,
            })?;
            let found = answer.responses.first().and_then(|topic| topic.partitions.first());
            let found = found.ok_or("no partition in the answer")?;
            if found.error_code != 0 {
                return Err(format!("node {node}: {}", ErrorCode(found.error_code)));
            }
            let records = found.records.clone().unwrap_or_default();
            let batches = whole_batches(&records);
            let Some(behind) = batches.last().and_then(|last| behind(last)) else { return Ok(all) };
            next = behind;
            all.extend(batches.concat());
        }
    }

    /// Writes a record, and returns its offset.
    pub fn produce(&self, leader: u32, topic: &str, partition: i32, value: Value) -> Outcome<Offset> {
        let produce = || {
            let metadata = self.metadata(leader).map_err(Failure::Refused)?;
            let id =
                metadata.topics.iter().find(|found| found.name.as_ref().is_some_and(|name| name.0.as_str() == topic));
            let id = id.ok_or_else(|| Failure::Refused(format!("node {leader} knows no topic {topic}")))?.topic_id;
            let value = Some(value.to_string().into_bytes().into());
            let record = Record { timestamp: SystemClock.now_ms(), key: None, value, headers: Vec::new() };
            let batch = BatchBuilder::new().build(&[record]).map_err(|error| Failure::Refused(error.to_string()))?;
            let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.bytes().clone()));
            let topic = TopicProduceData::default()
                .with_name(text(topic).into())
                .with_topic_id(id)
                .with_partition_data(vec![data]);
            let request = ProduceRequest::default()
                .with_acks(ACKS_ALL)
                .with_timeout_ms(BROKER_WITHIN_MS)
                .with_topic_data(vec![topic]);
            let answer = self.call(leader, &request)?;
            let answer = answer.responses.first().and_then(|topic| topic.partition_responses.first());
            let (code, offset) = answer.map(|answer| (answer.error_code, answer.base_offset)).unwrap_or((-1, -1));
            // Also one that says that it does not lead may have led when it took the record.
            if code == 0 { Ok(offset) } else { Err(Failure::Unknown(ErrorCode(code).to_string())) }
        };
        produce().into()
    }

    fn call<R: Request>(&self, node: u32, request: &R) -> Result<R::Response, Failure> {
        let address = &self.addresses[node as usize - 1];
        self.runtime.block_on(async {
            let connecting = Connection::open(address, "jepsen", REQUEST_WITHIN);
            let connected = tokio::time::timeout(REQUEST_WITHIN, connecting).await;
            let connection = connected.map_err(|_| Failure::Refused(format!("{address} cannot be reached")))?;
            // Opening asks for versions only.
            let mut connection = connection.map_err(|error| Failure::Refused(error.to_string()))?;
            match tokio::time::timeout(ADMIN_WITHIN, connection.call(request)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error @ ClientError::NoCommonVersion { .. })) => Err(Failure::Refused(error.to_string())),
                Ok(Err(error)) => Err(Failure::Unknown(error.to_string())),
                Err(_) => Err(Failure::Unknown(format!("{address} did not answer"))),
            }
        })
    }
}

fn check(result: Option<(i16, Option<StrBytes>)>) -> Result<(), Failure> {
    let (code, message) = result.ok_or_else(|| Failure::Unknown("nothing in the answer".to_owned()))?;
    if code == 0 {
        return Ok(());
    }
    let code = ErrorCode(code);
    let error = format!("{code} {}", message.as_deref().unwrap_or_default());
    // These say that the request is wrong in the state that there is; of others nobody knows what came before them.
    let refused = matches!(
        code,
        ErrorCode::TOPIC_ALREADY_EXISTS
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::INVALID_PARTITIONS
            | ErrorCode::INVALID_TOPIC_EXCEPTION
            | ErrorCode::INVALID_REPLICATION_FACTOR
            | ErrorCode::INVALID_CONFIG
    );
    Err(if refused { Failure::Refused(error) } else { Failure::Unknown(error) })
}

/// The offset behind a batch, by its header.
fn behind(batch: &[u8]) -> Option<Offset> {
    let base = i64::from_be_bytes(batch.get(..8)?.try_into().ok()?);
    let last = i32::from_be_bytes(batch.get(23..27)?.try_into().ok()?);
    Some(base + i64::from(last) + 1)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

const REGISTER: &str = "retention.ms";
const RESOURCE_TOPIC: i8 = 2;
const SOURCE_TOPIC: i8 = 1;
const OPERATION_SET: i8 = 0;
const KEY_GROUP: i8 = 0;
const KEY_TRANSACTION: i8 = 1;
const ONGOING: &str = "Ongoing";
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const ANY_EPOCH: i32 = -1;
const FETCH_BYTES: i32 = 1 << 20;
const ACKS_ALL: i16 = -1;
const BROKER_WITHIN_MS: i32 = 5000;
const ADMIN_WITHIN: Duration = Duration::from_secs(8);
