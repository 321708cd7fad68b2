//! What partitions hold: their offsets, their sizes on each node, and deleting of what is old.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use caudal_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use caudal_protocol::messages::list_offsets_request::{self, ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::{BrokerId, DeleteRecordsRequest, ListOffsetsRequest};
use caudal_types::{Offset, TimestampMs};
use futures::future::join_all;

use crate::admin::text;
use crate::nodes::by_leader;
use crate::retry::Retry;
use crate::{Answers, Broker, Client, ClientError, OffsetSpec};

/// The consumer's own id among the replicas: it is none.
const NO_REPLICA: BrokerId = BrokerId(-1);
/// How long partitions without a leader are tried again: whoever looks at many should see the others soon.
const LEADERLESS_WITHIN: Duration = Duration::from_secs(3);

/// A partition of a topic.
pub type Place = (String, i32);
/// An offset and the timestamp of its record; none if no record fits.
pub type FoundOffset = Option<(Offset, TimestampMs)>;
/// What was found in each partition.
pub type FoundOffsets = BTreeMap<Place, Result<FoundOffset, ClientError>>;

/// A data folder of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// The node.
    pub node: i32,
    /// The folder.
    pub path: String,
    /// The size of its filesystem, if the broker tells.
    pub total_bytes: Option<i64>,
    /// What is free there, if the broker tells.
    pub usable_bytes: Option<i64>,
    /// The replicas in it.
    pub replicas: Vec<ReplicaLog>,
}

/// A replica's log on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLog {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its size.
    pub bytes: i64,
    /// How many offsets it is behind.
    pub offset_lag: i64,
}

impl Client {
    /// Finds an offset in each of several partitions, asking all their leaders at once.
    ///
    /// # Errors
    /// When the cluster cannot be asked at all; what goes wrong with single partitions is told with each.
    pub async fn find_offsets(&self, places: &[Place], spec: OffsetSpec) -> Result<FoundOffsets, ClientError> {
        let mut retry = Retry::new(self.timeout().min(LEADERLESS_WITHIN));
        let mut left: BTreeSet<Place> = places.iter().cloned().collect();
        let mut found = BTreeMap::new();
        while !left.is_empty() {
            let mut again = None;
            for (place, outcome) in self.try_find_offsets(&left, spec).await? {
                match outcome {
                    Err(error) if error.is_retriable() && exists(&error) => {
                        found.insert(place, Err(error));
                        again = Some(ClientError::NoLeader { topic: String::new(), partition: 0 });
                    }
                    outcome => {
                        left.remove(&place);
                        found.insert(place, outcome);
                    }
                }
            }
            match again {
                None => break,
                Some(error) => {
                    if retry.after(error).await.is_err() {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    async fn try_find_offsets(&self, places: &BTreeSet<Place>, spec: OffsetSpec) -> Result<FoundOffsets, ClientError> {
        let names: BTreeSet<&str> = places.iter().map(|(topic, _)| topic.as_str()).collect();
        let cluster = self.metadata(Some(&names.into_iter().collect::<Vec<_>>())).await?;
        let mut found: FoundOffsets = BTreeMap::new();
        for place in places {
            let topic = cluster.topics.iter().find(|topic| topic.name == place.0);
            let unknown = || refused(place, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let leader = topic.ok_or_else(unknown).and_then(|topic| topic.leader(place.1));
            found.insert(place.clone(), leader.map(|_| None));
        }
        let asked = by_leader(&cluster).into_iter().map(|(leader, mut topics)| {
            for (topic, partitions) in &mut topics {
                partitions.retain(|partition| places.contains(&(topic.clone(), *partition)));
            }
            topics.retain(|_, partitions| !partitions.is_empty());
            self.offsets_at(leader, topics, spec)
        });
        for part in join_all(asked).await {
            found.extend(part);
        }
        Ok(found)
    }

    /// Asks one leader.
    async fn offsets_at(&self, leader: i32, topics: BTreeMap<String, Vec<i32>>, spec: OffsetSpec) -> FoundOffsets {
        let places = topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(|partition| (topic.clone(), *partition)).collect::<Vec<_>>()
        });
        let places: Vec<Place> = places.collect();
        if places.is_empty() {
            return BTreeMap::new();
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            let partition =
                |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(spec.as_kafka());
            ListOffsetsTopic::default()
                .with_name(text(&name).into())
                .with_partitions(partitions.into_iter().map(partition).collect())
        });
        let request = list_offsets_request::ListOffsetsRequest::default()
            .with_replica_id(NO_REPLICA)
            .with_topics(topics.collect())
            .with_timeout_ms(self.timeout_ms());
        let response = match self.call_node(leader, &ListOffsetsRequest::from(request)).await {
            Ok(response) => response,
            Err(error) => {
                let why = error.to_string();
                let broken = |place| {
                    let source = std::io::Error::other(why.clone());
                    (place, Err(ClientError::Broken { address: format!("node {leader}"), source }))
                };
                return places.into_iter().map(broken).collect();
            }
        };
        let mut found: FoundOffsets = BTreeMap::new();
        for topic in &response.topics {
            for answer in &topic.partitions {
                let place = (topic.name.to_string(), answer.partition_index);
                let checked = ClientError::check(answer.error_code, None, || asking(&place));
                let offset = Some((answer.offset, answer.timestamp)).filter(|(offset, _)| *offset >= 0);
                found.insert(place, checked.map(|()| offset));
            }
        }
        found
    }

    /// The data folders of all nodes with the replicas in them, by node.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log_dirs(&self) -> Result<Answers<LogDir>, ClientError> {
        let ask = |node: Broker| async move {
            let request = DescribeLogDirsRequest::default().with_topics(None);
            let response = self.call_at(&node.address(), &request).await?;
            let what = || format!("asking node {} for its logs", node.id);
            ClientError::check(response.error_code, None, what)?;
            let mut dirs = Vec::new();
            for dir in response.results {
                ClientError::check(dir.error_code, None, what)?;
                let replicas = dir.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|partition| ReplicaLog {
                        topic: topic.name.to_string(),
                        partition: partition.partition_index,
                        bytes: partition.partition_size,
                        offset_lag: partition.offset_lag,
                    })
                });
                let told = |bytes: i64| Some(bytes).filter(|bytes| *bytes >= 0);
                let mut replicas: Vec<_> = replicas.collect();
                replicas.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
                dirs.push(LogDir {
                    node: node.id,
                    path: dir.log_dir.to_string(),
                    total_bytes: told(dir.total_bytes),
                    usable_bytes: told(dir.usable_bytes),
                    replicas,
                });
            }
            Ok(dirs)
        };
        self.ask_all(ask).await
    }

    /// Deletes the records of a partition before an offset (-1: all that are committed); answers the first offset that is left.
    ///
    /// # Errors
    /// See [`ClientError`]; OFFSET_OUT_OF_RANGE when the offset is beyond the end.
    pub async fn delete_records(&self, place: &Place, before: Offset) -> Result<Offset, ClientError> {
        let mut retry = self.retry();
        loop {
            match self.try_delete_records(place, before).await {
                Ok(low) => return Ok(low),
                Err(error) => {
                    self.forget(&place.0);
                    retry.after(error).await?;
                }
            }
        }
    }

    async fn try_delete_records(&self, place: &Place, before: Offset) -> Result<Offset, ClientError> {
        let (topic, partition) = place;
        let leader = self.cached_topic(topic, false).await?.leader(*partition)?;
        let wanted = DeleteRecordsPartition::default().with_partition_index(*partition).with_offset(before);
        let wanted = DeleteRecordsTopic::default().with_name(text(topic).into()).with_partitions(vec![wanted]);
        let request = DeleteRecordsRequest::default().with_topics(vec![wanted]).with_timeout_ms(self.timeout_ms());
        let response = self.call_node(leader, &request).await?;
        let answer = response.topics.iter().flat_map(|topic| &topic.partitions).next();
        let answer = answer.ok_or_else(|| ClientError::Missing(format!("{topic}-{partition}")))?;
        ClientError::check(answer.error_code, None, || format!("deleting records of {topic}-{partition}"))?;
        Ok(answer.low_watermark)
    }
}

/// Another try is for what exists: a topic that nobody knows is not waited for.
fn exists(error: &ClientError) -> bool {
    error.code() != Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn asking((topic, partition): &Place) -> String {
    format!("asking for an offset of {topic}-{partition}")
}

fn refused(place: &Place, code: ErrorCode) -> ClientError {
    ClientError::Kafka { what: asking(place), code, message: None }
}
