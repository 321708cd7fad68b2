//! TxnOffsetCommit: a consumer group's positions, committed with a transaction.

use caudal_coordinator::model::{MemberIdentity, OffsetToCommit};
use caudal_coordinator::{Coordinator, GroupError, TransactionError};
use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use caudal_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use std::sync::Arc;

use super::transactions::{identity, join};
use crate::cluster::{Cluster, partition_of};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on the client speaks version 2 of transactions: the group joins with the commit.
const VERSION_2: i16 = 5;
/// From this version on clients know TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 4;

pub(crate) struct TxnOffsetCommit {
    cluster: Cluster,
    coordinator: Coordinator,
}

impl TxnOffsetCommit {
    pub(crate) fn new(cluster: Cluster, coordinator: Coordinator) -> Self {
        Self { cluster, coordinator }
    }

    async fn commit(
        &self,
        version: i16,
        request: &TxnOffsetCommitRequest,
        offsets: Vec<OffsetToCommit>,
    ) -> Vec<ErrorCode> {
        let count = offsets.len();
        let is_2 = version >= VERSION_2;
        let producer = identity(request.producer_id, request.producer_epoch);
        let join = join(&request.transactional_id, producer, if is_2 { 2 } else { 1 }, is_2);
        let member = MemberIdentity {
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.as_deref().map(str::to_owned),
            generation: request.generation_id,
            before_epochs: false,
        };
        match self.coordinator.commit_in_transaction(&request.group_id, &member, &join, offsets).await {
            Ok(results) => results
                .iter()
                .map(|result| result.as_ref().map_or_else(KafkaError::code, |()| ErrorCode::NONE))
                .collect(),
            Err(error) => vec![code(version, &error); count],
        }
    }
}

fn code(version: i16, error: &TransactionError) -> ErrorCode {
    match error {
        TransactionError::Fenced => ErrorCode::INVALID_PRODUCER_EPOCH,
        TransactionError::NotEnlisted if version < ABORTABLE => ErrorCode::INVALID_TXN_STATE,
        // What Kafka answers to a member of a group that is not there, and to one that is behind, before version 6.
        TransactionError::Group(GroupError::GroupNotFound(_) | GroupError::StaleMemberEpoch) => {
            ErrorCode::ILLEGAL_GENERATION
        }
        error => error.code(),
    }
}

impl Handler for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    type Response = TxnOffsetCommitResponse;

    async fn handle(&self, context: &RequestContext, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
        let (image, mut offsets) = (self.cluster.image(), Vec::new());
        let mut topics: Vec<_> = request.topics.iter().map(|topic| check_topic(&image, topic, &mut offsets)).collect();
        let codes = if offsets.is_empty() { Vec::new() } else { self.commit(context.version, &request, offsets).await };
        let parts = topics.iter_mut().flat_map(|topic: &mut TxnOffsetCommitResponseTopic| &mut topic.partitions);
        for (part, code) in parts.filter(|part| part.error_code == 0).zip(codes) {
            part.error_code = code.code();
        }
        TxnOffsetCommitResponse::default().with_topics(topics)
    }
}

/// Refuses what does not exist, and puts the rest into `offsets`.
fn check_topic(
    image: &ClusterImage,
    topic: &TxnOffsetCommitRequestTopic,
    offsets: &mut Vec<OffsetToCommit>,
) -> TxnOffsetCommitResponseTopic {
    let found = image.topic(&topic.name);
    let part = |partition: &TxnOffsetCommitRequestPartition| {
        let index = partition.partition_index;
        let part = TxnOffsetCommitResponsePartition::default().with_partition_index(index);
        let Some(topic) = found.filter(|topic| partition_of(topic, index).is_some()) else {
            return part.with_error_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.code());
        };
        offsets.push(OffsetToCommit {
            key: (Arc::clone(&topic.name), index),
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
            retention_ms: None,
        });
        part
    };
    let partitions = topic.partitions.iter().map(part).collect();
    TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
}

impl Outcome for TxnOffsetCommitResponse {
    fn failed(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}
