//! Writing records.

use caudal_protocol::batch::{BatchBuilder, Record, RecordBatch};
use caudal_protocol::messages::ProduceRequest;
use caudal_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use caudal_types::Offset;

use crate::admin::text;
use crate::{Client, ClientError};

/// acks=all: the answer comes when the records are committed.
const ACKS_ALL: i16 = -1;

impl Client {
    /// Writes records into a partition as one batch, and waits until they are committed; returns the first one's offset. The topic is created if it does not exist and the
    /// cluster does that. Tries again while that may help: without idempotence, records can then be written twice.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn produce(&self, topic: &str, partition: i32, records: &[Record]) -> Result<Offset, ClientError> {
        self.produce_batch(topic, partition, &BatchBuilder::new().build(records)?).await
    }

    /// Writes a batch, as [`produce`](Self::produce) does; if it is an idempotent producer's, trying again does no harm.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn produce_batch(&self, topic: &str, partition: i32, batch: &RecordBatch) -> Result<Offset, ClientError> {
        let mut retry = self.retry();
        loop {
            match self.try_produce(topic, partition, batch).await {
                Ok(offset) => return Ok(offset),
                Err(error) => {
                    self.forget(topic);
                    retry.after(error).await?;
                }
            }
        }
    }

    async fn try_produce(&self, topic: &str, partition: i32, batch: &RecordBatch) -> Result<Offset, ClientError> {
        let metadata = self.cached_topic(topic, true).await?;
        let leader = metadata.leader(partition)?;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.bytes().clone()));
        let data = TopicProduceData::default()
            .with_name(text(topic).into())
            .with_topic_id(metadata.id)
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(ACKS_ALL)
            .with_timeout_ms(self.timeout_ms())
            .with_topic_data(vec![data]);
        let response = self.call_node(leader, &request).await?;
        let answer = response.responses.iter().flat_map(|topic| &topic.partition_responses).next();
        let answer = answer.ok_or_else(|| ClientError::Missing(format!("{topic}-{partition}")))?;
        ClientError::check(answer.error_code, answer.error_message.as_deref(), || {
            format!("writing to {topic}-{partition}")
        })?;
        Ok(answer.base_offset)
    }
}
