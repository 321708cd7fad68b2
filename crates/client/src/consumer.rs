//! Reading records and finding offsets, without consumer groups.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use caudal_protocol::batch::{RecordBatch, RecordView, whole_batches};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use caudal_protocol::messages::fetch_response::PartitionData;
use caudal_protocol::messages::list_offsets_request::{self, ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest};
use caudal_types::{Offset, TimestampMs};
use futures::future::join_all;

use crate::admin::text;
use crate::{Client, ClientError, TopicMetadata};

/// How long a broker waits for records when there are none.
const POLL_WAIT: Duration = Duration::from_millis(100);
const FETCH_MAX_BYTES: i32 = 8 << 20;
/// The consumer's own id among the replicas: it is none.
const NO_REPLICA: BrokerId = BrokerId(-1);

/// Which offset is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that can be read.
    Earliest,
    /// One past the last record.
    Latest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first record whose timestamp is at least this.
    Timestamp(TimestampMs),
}

impl OffsetSpec {
    pub(crate) fn as_kafka(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// What one fetch of a partition brought.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    /// One past the last committed record.
    pub high_watermark: Offset,
    /// The first offset that can be read.
    pub log_start: Offset,
    /// Whole batches, as they came; the first may begin before the offset asked for.
    pub batches: Vec<RecordBatch>,
}

impl FetchedBatch {
    /// The records from `offset` on, without control records.
    ///
    /// # Errors
    /// [`ClientError::Batch`] when a batch is damaged.
    pub fn records(&self, partition: i32, offset: Offset) -> Result<Vec<ConsumedRecord>, ClientError> {
        let mut records = Vec::new();
        for batch in self.batches.iter().filter(|batch| !batch.is_control()) {
            batch.for_each_record(&mut |view| {
                let record = consumed(partition, batch.base_offset() + i64::from(view.offset_delta), view);
                if record.offset >= offset {
                    records.push(record);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(records)
    }

    /// The offset that follows what was read; `offset` if nothing was.
    pub fn next_offset(&self, offset: Offset) -> Offset {
        let end = |batch: &RecordBatch| batch.base_offset() + i64::from(batch.last_offset_delta()) + 1;
        self.batches.last().map_or(offset, end).max(offset)
    }
}

fn consumed(partition: i32, offset: Offset, view: RecordView<'_>) -> ConsumedRecord {
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    ConsumedRecord {
        partition,
        offset,
        timestamp: view.timestamp,
        key: copy(view.key),
        value: copy(view.value),
        headers: view.headers.map(|header| (Bytes::copy_from_slice(header.key), copy(header.value))).collect(),
    }
}

impl Client {
    /// Finds an offset of a partition and the timestamp of its record; `None` if no record fits.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list_offset(
        &self,
        topic: &str,
        partition: i32,
        spec: OffsetSpec,
    ) -> Result<Option<(Offset, TimestampMs)>, ClientError> {
        let mut retry = self.retry();
        loop {
            match self.try_list_offset(topic, partition, spec).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    self.forget(topic);
                    retry.after(error).await?;
                }
            }
        }
    }

    async fn try_list_offset(
        &self,
        topic: &str,
        partition: i32,
        spec: OffsetSpec,
    ) -> Result<Option<(Offset, TimestampMs)>, ClientError> {
        let leader = self.cached_topic(topic, false).await?.leader(partition)?;
        let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(spec.as_kafka());
        let wanted = ListOffsetsTopic::default().with_name(text(topic).into()).with_partitions(vec![wanted]);
        let request = list_offsets_request::ListOffsetsRequest::default()
            .with_replica_id(NO_REPLICA)
            .with_topics(vec![wanted])
            .with_timeout_ms(self.timeout_ms());
        let request = ListOffsetsRequest::from(request);
        let response = self.call_node(leader, &request).await?;
        let answer = response.topics.iter().flat_map(|topic| &topic.partitions).next();
        let answer = answer.ok_or_else(|| ClientError::Missing(format!("{topic}-{partition}")))?;
        ClientError::check(answer.error_code, None, || format!("asking for an offset of {topic}-{partition}"))?;
        Ok(Some((answer.offset, answer.timestamp)).filter(|(offset, _)| *offset >= 0))
    }

    /// Reads a partition from `offset` on, and waits at most `wait` if there is nothing yet. Does not try again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: Offset,
        wait: Duration,
    ) -> Result<FetchedBatch, ClientError> {
        let metadata = self.cached_topic(topic, false).await?;
        let leader = metadata.leader(partition)?;
        let mut fetched = self.fetch_from(leader, &metadata, &[(partition, offset)], wait).await?;
        fetched.remove(&partition).unwrap_or_else(|| Err(ClientError::Missing(format!("{topic}-{partition}"))))
    }

    /// Reads several partitions with one leader in one request.
    async fn fetch_from(
        &self,
        leader: i32,
        topic: &TopicMetadata,
        positions: &[(i32, Offset)],
        wait: Duration,
    ) -> Result<BTreeMap<i32, Result<FetchedBatch, ClientError>>, ClientError> {
        let partition = |(partition, offset): &(i32, Offset)| {
            FetchPartition::default()
                .with_partition(*partition)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(FETCH_MAX_BYTES)
        };
        let wanted = FetchTopic::default()
            .with_topic(text(&topic.name).into())
            .with_topic_id(topic.id)
            .with_partitions(positions.iter().map(partition).collect());
        let request = FetchRequest::default()
            .with_replica_id(NO_REPLICA)
            .with_max_wait_ms(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(FETCH_MAX_BYTES)
            .with_session_epoch(-1)
            .with_topics(vec![wanted]);
        let response = self.call_node(leader, &request).await?;
        ClientError::check(response.error_code, None, || format!("reading topic '{}'", topic.name))?;
        let answers = response.responses.iter().flat_map(|topic| &topic.partitions);
        Ok(answers.map(|answer| (answer.partition_index, fetched(&topic.name, answer))).collect())
    }
}

fn fetched(topic: &str, answer: &PartitionData) -> Result<FetchedBatch, ClientError> {
    ClientError::check(answer.error_code, None, || format!("reading {topic}-{}", answer.partition_index))?;
    let batches = whole_batches(&answer.records.clone().unwrap_or_default());
    let batches = batches.into_iter().map(RecordBatch::parse_stored).collect::<Result<Vec<_>, _>>()?;
    Ok(FetchedBatch { high_watermark: answer.high_watermark, log_start: answer.log_start_offset, batches })
}

/// Reads partitions of a topic on and on, each from its own offset. It belongs to no group and commits nothing.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    topic: String,
    positions: BTreeMap<i32, Offset>,
}

impl Consumer {
    /// A consumer of the partitions given (all, if none is given), from the offsets that `from` means now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn start(
        client: Client,
        topic: &str,
        partitions: Option<&[i32]>,
        from: OffsetSpec,
    ) -> Result<Self, ClientError> {
        let metadata = client.topic(topic, false).await?;
        let all: Vec<i32> = metadata.partitions.iter().map(|partition| partition.index).collect();
        let mut positions = BTreeMap::new();
        for partition in partitions.unwrap_or(&all) {
            metadata.partition(*partition)?;
            let found = client.list_offset(topic, *partition, from).await?;
            let end = client.list_offset(topic, *partition, OffsetSpec::Latest);
            let position = match found {
                Some((offset, _)) => offset,
                None => end.await?.map_or(0, |(offset, _)| offset),
            };
            positions.insert(*partition, position);
        }
        Ok(Self::at(client, topic, positions))
    }

    /// A consumer from exactly these offsets, by partition.
    pub fn at(client: Client, topic: &str, positions: BTreeMap<i32, Offset>) -> Self {
        Self { client, topic: topic.to_owned(), positions }
    }

    /// The offsets that come next, by partition.
    pub fn positions(&self) -> &BTreeMap<i32, Offset> {
        &self.positions
    }

    /// The next records, in the order of their offsets in each partition; none if nothing came within a moment. Rides out a change of leaders.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn poll(&mut self) -> Result<Vec<ConsumedRecord>, ClientError> {
        let mut retry = self.client.retry();
        loop {
            match self.try_poll().await {
                Ok(records) => return Ok(records),
                Err(error) => {
                    self.client.forget(&self.topic);
                    retry.after(error).await?;
                }
            }
        }
    }

    async fn try_poll(&mut self) -> Result<Vec<ConsumedRecord>, ClientError> {
        let metadata = self.client.cached_topic(&self.topic, false).await?;
        let mut by_leader = BTreeMap::<i32, Vec<(i32, Offset)>>::new();
        for (partition, offset) in &self.positions {
            by_leader.entry(metadata.leader(*partition)?).or_default().push((*partition, *offset));
        }
        let mut fetches = Vec::new();
        for (leader, positions) in &by_leader {
            fetches.push(self.client.fetch_from(*leader, &metadata, positions, POLL_WAIT));
        }
        let answers = join_all(fetches).await;

        let mut records = Vec::new();
        let mut failure = None;
        for answer in answers {
            match answer {
                Ok(partitions) => {
                    for (partition, outcome) in partitions {
                        self.take(partition, outcome, &mut records).unwrap_or_else(|error| failure = Some(error));
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        // What came is given first; an error that lasts comes again.
        match failure {
            Some(error) if records.is_empty() => Err(error),
            Some(_) => {
                self.client.forget(&self.topic);
                Ok(records)
            }
            None => Ok(records),
        }
    }

    fn take(
        &mut self,
        partition: i32,
        outcome: Result<FetchedBatch, ClientError>,
        records: &mut Vec<ConsumedRecord>,
    ) -> Result<(), ClientError> {
        let Some(position) = self.positions.get_mut(&partition) else { return Ok(()) };
        let batch = outcome?;
        records.extend(batch.records(partition, *position)?);
        *position = batch.next_offset(*position);
        Ok(())
    }
}
