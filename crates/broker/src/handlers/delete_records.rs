//! DeleteRecords: lets partitions begin later (KIP-107).

use std::time::Duration;

use caudal_partition::Partitions;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use caudal_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use caudal_types::Offset;
use futures::stream::{self, StreamExt};
use tokio::time::timeout;

use crate::cluster::{Cluster, Place, TopicRef};
use crate::error::KafkaError;
use crate::handlers::within;
use crate::table::{Handler, Outcome, RequestContext};

/// All records that there are.
const ALL: i64 = -1;
/// How a refusal says that there is no offset.
const NO_OFFSET: Offset = -1;
/// How long a majority may take whatever time-out was asked for. In Kafka the time-out bounds the wait for the other replicas alone, after the leader has
/// removed the records; here they are removed by what a majority agrees on, so that a time-out of zero would never see it.
const AT_LEAST: Duration = Duration::from_millis(500);
/// How many partitions of one request are asked at once.
const AT_ONCE: usize = 64;

pub(crate) struct DeleteRecords {
    cluster: Cluster,
    partitions: Partitions,
}

impl DeleteRecords {
    pub(crate) fn new(cluster: Cluster, partitions: Partitions) -> Self {
        Self { cluster, partitions }
    }

    async fn delete(&self, topic: TopicRef, wish: DeleteRecordsPartition, within: Duration) -> Result<Offset, Refused> {
        let partition = match topic.locate(&self.cluster.image(), &self.partitions, wish.partition_index) {
            Place::Here(_, partition) => partition,
            Place::Elsewhere(_) => return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER.into()),
            Place::Nowhere(code) => return Err(code.into()),
        };
        let before = (wish.offset != ALL).then_some(wish.offset);
        match timeout(within, partition.delete_records(before)).await {
            Ok(deleted) => deleted.map_err(|error| error.code().into()),
            // It may yet happen.
            Err(_) => {
                let low_watermark = partition.offsets().borrow().log_start;
                Err(Refused { code: ErrorCode::REQUEST_TIMED_OUT, low_watermark })
            }
        }
    }
}

/// Why it is not known that records were deleted.
struct Refused {
    code: ErrorCode,
    low_watermark: Offset,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, low_watermark: NO_OFFSET }
    }
}

fn result(partition: i32, outcome: Result<Offset, Refused>) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(partition);
    match outcome {
        Ok(log_start) => result.with_low_watermark(log_start),
        Err(Refused { code, low_watermark }) => result.with_low_watermark(low_watermark).with_error_code(code.code()),
    }
}

impl Handler for DeleteRecords {
    type Request = DeleteRecordsRequest;
    type Response = DeleteRecordsResponse;

    async fn handle(&self, _context: &RequestContext, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        let within = within(request.timeout_ms).max(AT_LEAST);
        let mut wishes = Vec::new();
        for topic in &request.topics {
            let by_name = TopicRef::Name(topic.name.as_str().into());
            wishes.extend(topic.partitions.iter().map(|wish| self.delete(by_name.clone(), wish.clone(), within)));
        }
        let mut outcomes = stream::iter(wishes).buffered(AT_ONCE);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wish in &topic.partitions {
                let outcome = outcomes.next().await.unwrap_or(Err(ErrorCode::UNKNOWN_SERVER_ERROR.into()));
                partitions.push(result(wish.partition_index, outcome));
            }
            topics.push(DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions));
        }
        DeleteRecordsResponse::default().with_topics(topics)
    }
}

impl Outcome for DeleteRecordsResponse {
    fn failed(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}
