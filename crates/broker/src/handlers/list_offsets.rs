//! ListOffsets: the earliest and the latest offset, or that of a time.

use std::collections::HashSet;
use std::time::Duration;

use caudal_partition::{FoundOffset, OffsetQuery, Partitions};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse as Response, ListOffsetsTopicResponse,
};
use caudal_protocol::messages::{BrokerId, ListOffsetsRequest, ListOffsetsResponse};
use futures::{FutureExt, StreamExt, stream};
use tokio::time::timeout;

use crate::cluster::{Cluster, Place, TopicRef};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// How many partitions of one request are asked at once.
const AT_ONCE: usize = 32;

/// How long the majority may take to confirm the latest offset. A leader that cannot reach it knows no offset.
const WITHIN: Duration = Duration::from_secs(5);

/// From this version on clients know OFFSET_NOT_AVAILABLE.
const NOT_AVAILABLE: i16 = 5;

/// In place of a replica: who asks wants to know what this very node has.
const DEBUGGER: BrokerId = BrokerId(-2);

/// Readers of committed records only.
const READ_COMMITTED: i8 = 1;

pub(crate) struct ListOffsets {
    cluster: Cluster,
    partitions: Partitions,
}

impl ListOffsets {
    pub(crate) fn new(cluster: Cluster, partitions: Partitions) -> Self {
        Self { cluster, partitions }
    }

    async fn list(
        &self,
        topic: TopicRef,
        asked: ListOffsetsPartition,
        target: Result<Target, ErrorCode>,
        anywhere: bool,
    ) -> Result<FoundOffset, ErrorCode> {
        let target = target?;
        let partition = match topic.locate(&self.cluster.image(), &self.partitions, asked.partition_index) {
            Place::Here(_, partition) => partition,
            Place::Elsewhere(_) => return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            Place::Nowhere(code) => return Err(code),
        };
        match target {
            Target::Nothing => Ok(NOTHING),
            Target::Query(query) => {
                let epoch = asked.current_leader_epoch;
                let found = if anywhere {
                    partition.find_offset_here(query, epoch).boxed()
                } else {
                    partition.find_offset(query, epoch).boxed()
                };
                let found = timeout(WITHIN, found).await;
                let found = found.map_err(|_elapsed| ErrorCode::OFFSET_NOT_AVAILABLE)?;
                found.map(|found| found.unwrap_or(NOTHING)).map_err(|error| error.code())
            }
        }
    }
}

/// No record fits.
const NOTHING: FoundOffset = FoundOffset { offset: -1, timestamp: -1, leader_epoch: -1 };

/// What a timestamp of the request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Query(OffsetQuery),
    /// Known to find nothing: it is about tiered storage.
    Nothing,
}

impl Target {
    fn of(timestamp: i64, version: i16, committed_only: bool) -> Result<Self, ErrorCode> {
        let from = |least: i16, target: Self| {
            if version >= least { Ok(target) } else { Err(ErrorCode::UNSUPPORTED_VERSION) }
        };
        match timestamp {
            -1 => Ok(Self::Query(OffsetQuery::Latest { committed_only })),
            -2 => Ok(Self::Query(OffsetQuery::Earliest)),
            -3 => from(7, Self::Query(OffsetQuery::MaxTimestamp { committed_only })),
            // The earliest that is not only in tiered storage.
            -4 => from(8, Self::Query(OffsetQuery::Earliest)),
            // The latest in tiered storage, and the earliest that waits to go there.
            -5 => from(9, Self::Nothing),
            -6 => from(11, Self::Nothing),
            // What newer versions of the protocol may give a meaning to.
            ..0 => Err(ErrorCode::UNSUPPORTED_VERSION),
            at => Ok(Self::Query(OffsetQuery::Timestamp { at, committed_only })),
        }
    }
}

impl Handler for ListOffsets {
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;

    async fn handle(&self, context: &RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let committed_only = context.version >= 2 && request.isolation_level == READ_COMMITTED;
        let anywhere = request.replica_id == DEBUGGER;
        let repeated = repeated(&request.topics);
        let mut answers = Vec::new();
        for topic in &request.topics {
            let by_name = TopicRef::Name(topic.name.as_str().into());
            for asked in &topic.partitions {
                let target = if repeated.contains(&(topic.name.as_str(), asked.partition_index)) {
                    Err(ErrorCode::INVALID_REQUEST)
                } else {
                    Target::of(asked.timestamp, context.version, committed_only)
                };
                answers.push(self.list(by_name.clone(), asked.clone(), target, anywhere));
            }
        }
        let mut answers = stream::iter(answers).buffered(AT_ONCE);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let answer = answers.next().await.unwrap_or(Err(ErrorCode::UNKNOWN_SERVER_ERROR));
                partitions.push(part(context.version, asked.partition_index, answer));
            }
            let topic = ListOffsetsTopicResponse::default().with_name(topic.name.clone());
            topics.push(topic.with_partitions(partitions));
        }
        Response::default().with_topics(topics).into()
    }
}

/// The partitions that a request names more than once.
fn repeated(topics: &[ListOffsetsTopic]) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    let named = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.as_str(), partition.partition_index)));
    named.filter(|partition| !seen.insert(*partition)).collect()
}

fn part(version: i16, partition: i32, answer: Result<FoundOffset, ErrorCode>) -> ListOffsetsPartitionResponse {
    let part = ListOffsetsPartitionResponse::default().with_partition_index(partition);
    match answer {
        Ok(found) => part
            .with_timestamp(found.timestamp)
            .with_offset(found.offset)
            .with_leader_epoch(if version >= 4 { found.leader_epoch } else { -1 }),
        Err(ErrorCode::OFFSET_NOT_AVAILABLE) if version < NOT_AVAILABLE => {
            part.with_error_code(ErrorCode::LEADER_NOT_AVAILABLE.code()).with_timestamp(-1).with_offset(-1)
        }
        Err(code) => part.with_error_code(code.code()).with_timestamp(-1).with_offset(-1),
    }
}

impl Outcome for ListOffsetsResponse {
    fn failed(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_timestamps_need_their_versions() {
        assert_eq!(Target::of(-1, 1, false), Ok(Target::Query(OffsetQuery::Latest { committed_only: false })));
        assert_eq!(Target::of(-1, 2, true), Ok(Target::Query(OffsetQuery::Latest { committed_only: true })));
        let query = OffsetQuery::Timestamp { at: 1234, committed_only: true };
        assert_eq!(Target::of(1234, 2, true), Ok(Target::Query(query)));
        for (timestamp, least) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            assert_eq!(Target::of(timestamp, least - 1, false), Err(ErrorCode::UNSUPPORTED_VERSION));
            assert!(Target::of(timestamp, least, false).is_ok());
        }
        assert_eq!(Target::of(-5, 11, false), Ok(Target::Nothing));
        assert_eq!(Target::of(-7, 11, false), Err(ErrorCode::UNSUPPORTED_VERSION));
    }
}
