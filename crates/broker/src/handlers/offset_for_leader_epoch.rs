//! OffsetForLeaderEpoch: where the records of an epoch end, so that consumers notice a truncated log (KIP-320).

use caudal_partition::Partitions;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use caudal_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use futures::{StreamExt, stream};

use crate::cluster::{Cluster, Place, TopicRef};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// How many partitions of one request are asked at once.
const AT_ONCE: usize = 32;

pub(crate) struct OffsetForLeaderEpoch {
    cluster: Cluster,
    partitions: Partitions,
}

impl OffsetForLeaderEpoch {
    pub(crate) fn new(cluster: Cluster, partitions: Partitions) -> Self {
        Self { cluster, partitions }
    }

    async fn end(&self, topic: TopicRef, asked: OffsetForLeaderPartition) -> EpochEndOffset {
        let end = match topic.locate(&self.cluster.image(), &self.partitions, asked.partition) {
            Place::Here(_, partition) => {
                let end = partition.epoch_end(asked.leader_epoch, asked.current_leader_epoch).await;
                end.map_err(|error| error.code())
            }
            Place::Elsewhere(_) => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            Place::Nowhere(code) => Err(code),
        };
        let part = EpochEndOffset::default().with_partition(asked.partition);
        match end {
            Ok(end) => part.with_leader_epoch(end.epoch).with_end_offset(end.end_offset),
            Err(code) => part.with_error_code(code.code()),
        }
    }
}

impl Handler for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    type Response = OffsetForLeaderEpochResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let asked = request.topics.iter().flat_map(|topic| {
            let by_name = TopicRef::Name(topic.topic.as_str().into());
            topic.partitions.iter().map(move |asked| self.end(by_name.clone(), asked.clone()))
        });
        let ends: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
        let mut ends = ends.into_iter();
        let answer = |topic: OffsetForLeaderTopic| {
            let partitions = ends.by_ref().take(topic.partitions.len()).collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        };
        let topics = request.topics.into_iter().map(answer).collect();
        OffsetForLeaderEpochResponse::default().with_topics(topics)
    }
}

impl Outcome for OffsetForLeaderEpochResponse {
    fn failed(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}
