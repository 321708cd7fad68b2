//! What a consumer asks for besides records: a group in which it is alone, and which forgets.

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorResponse, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::topics::Topics;

const MEMBER: StrBytes = StrBytes::from_static_str("the-only-member");
const NOT_COMMITTED: i64 = -1;

pub(super) fn coordinator(topics: &Topics) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(i32::from(topics.ports[0]))
}

/// Whoever joins is alone in its group, and assigns itself.
pub(super) fn join(request: &JoinGroupRequest) -> JoinGroupResponse {
    let protocol = request.protocols.first();
    let metadata = protocol.map(|protocol| protocol.metadata.clone()).unwrap_or_default();
    JoinGroupResponse::default()
        .with_generation_id(1)
        .with_protocol_name(protocol.map(|protocol| protocol.name.clone()))
        .with_leader(MEMBER)
        .with_member_id(MEMBER)
        .with_members(vec![JoinGroupResponseMember::default().with_member_id(MEMBER).with_metadata(metadata)])
}

pub(super) fn sync(request: SyncGroupRequest) -> SyncGroupResponse {
    let own = request.assignments.into_iter().next();
    SyncGroupResponse::default().with_assignment(own.map(|one| one.assignment).unwrap_or_default())
}

pub(super) fn committed(request: &OffsetFetchRequest) -> OffsetFetchResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        let nothing = |&partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition)
                .with_committed_offset(NOT_COMMITTED)
                .with_metadata(Some(StrBytes::default()))
        };
        OffsetFetchResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partition_indexes.iter().map(nothing).collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

pub(super) fn commit(request: &OffsetCommitRequest) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let taken = topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition::default().with_partition_index(partition.partition_index));
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(taken.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}
