//! Consumer groups.

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use caudal_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use caudal_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use caudal_protocol::messages::heartbeat_request::HeartbeatRequest;
use caudal_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use caudal_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use caudal_protocol::messages::list_groups_request::ListGroupsRequest;
use caudal_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use caudal_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use caudal_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use caudal_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use caudal_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest, StrBytes};

use crate::harness::{Client, TestNode, code, topic};

fn group() -> GroupId {
    GroupId("invoices".into())
}

/// Joins as the only member: the member's id and the generation.
async fn join_and_sync(client: &mut Client) -> (StrBytes, i32) {
    let protocol = JoinGroupRequestProtocol::default().with_name("range".into());
    let join = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_group_instance_id(None)
        .with_protocol_type("consumer".into())
        .with_protocols(vec![protocol.with_metadata(Bytes::from_static(b"subscription"))]);
    let refused = client.call(9, &join).await;
    assert_eq!(code(refused.error_code), ErrorCode::MEMBER_ID_REQUIRED);
    let joined = client.call(9, &join.with_member_id(refused.member_id.clone())).await;
    assert_eq!((code(joined.error_code), &joined.leader), (ErrorCode::NONE, &refused.member_id));
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(&joined.members[0].metadata[..], b"subscription");

    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"assignment"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_group_instance_id(None)
        .with_protocol_type(Some("consumer".into()))
        .with_protocol_name(Some("range".into()))
        .with_assignments(vec![assignment]);
    let synced = client.call(5, &sync).await;
    assert_eq!((code(synced.error_code), &synced.assignment[..]), (ErrorCode::NONE, &b"assignment"[..]));
    let silent = client.call(5, &sync.with_protocol_name(None)).await;
    assert_eq!(code(silent.error_code), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    (joined.member_id, joined.generation_id)
}

async fn commit(client: &mut Client, member: &StrBytes, generation: i32, partitions: &[i32]) -> Vec<ErrorCode> {
    let partition = |index: &i32| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(42)
            .with_committed_leader_epoch(3)
            .with_committed_metadata(Some("words".into()))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic("t"))
        .with_partitions(partitions.iter().map(partition).collect());
    let mut request = OffsetCommitRequest::default();
    request.group_id = group();
    request.member_id = member.clone();
    request.group_instance_id = None;
    request.generation_id_or_member_epoch = generation;
    request.topics = vec![topic];
    let response = client.call(9, &request).await;
    response.topics[0].partitions.iter().map(|part| code(part.error_code)).collect()
}

#[tokio::test]
async fn a_group_lives_from_its_first_member_to_its_removal() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    let found = client.call(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec!["invoices".into()])).await;
    assert_eq!((found.coordinators[0].error_code, found.coordinators[0].node_id.0), (0, 1));

    let (member, generation) = join_and_sync(&mut client).await;
    let heartbeat = |generation| {
        let request = HeartbeatRequest::default().with_group_id(group()).with_generation_id(generation);
        request.with_member_id(member.clone()).with_group_instance_id(None)
    };
    assert_eq!(client.call(4, &heartbeat(generation)).await.error_code, 0);
    assert_eq!(code(client.call(4, &heartbeat(generation + 1)).await.error_code), ErrorCode::ILLEGAL_GENERATION);

    let committed = commit(&mut client, &member, generation, &[0, 7, 1]).await;
    assert_eq!(committed, [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NONE]);
    let stranger = commit(&mut client, &"nobody".into(), generation, &[0]).await;
    assert_eq!(stranger, [ErrorCode::UNKNOWN_MEMBER_ID]);
    fetch_offsets(&mut client).await;

    let listed = client.call(5, &ListGroupsRequest::default().with_states_filter(vec!["stable".into()])).await;
    assert_eq!(
        listed.groups.iter().map(|g| (&*g.group_id.0, &*g.group_type)).collect::<Vec<_>>(),
        [("invoices", "classic")]
    );
    let described =
        client.call(6, &DescribeGroupsRequest::default().with_groups(vec![group(), GroupId("x".into())])).await;
    assert_eq!((&*described.groups[0].group_state, described.groups[0].members.len()), ("Stable", 1));
    assert_eq!(&*described.groups[0].members[0].client_id, "tester");
    assert_eq!(code(described.groups[1].error_code), ErrorCode::GROUP_ID_NOT_FOUND);

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    assert_eq!(code(client.call(2, &delete).await.results[0].error_code), ErrorCode::NON_EMPTY_GROUP);
    let leaving = MemberIdentity::default().with_member_id(member).with_group_instance_id(None).with_reason(None);
    let left = client.call(5, &LeaveGroupRequest::default().with_group_id(group()).with_members(vec![leaving])).await;
    assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
    assert_eq!(delete_offset(&mut client, 1).await, ErrorCode::NONE);
    assert_eq!(delete_offset(&mut client, 9).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(client.call(2, &delete).await.results[0].error_code, 0);
    assert_eq!(code(client.call(2, &delete).await.results[0].error_code), ErrorCode::GROUP_ID_NOT_FOUND);
    node.stop().await;
}

async fn fetch_offsets(client: &mut Client) {
    let id = client.topic_id("t").await;
    let asked = |by_id: bool| {
        let topic_asked = OffsetFetchRequestTopics::default().with_partition_indexes(vec![0, 5]);
        let topic_asked = if by_id { topic_asked.with_topic_id(id) } else { topic_asked.with_name(topic("t")) };
        let group =
            OffsetFetchRequestGroup::default().with_group_id(group()).with_member_id(None).with_member_epoch(-1);
        let mut request = OffsetFetchRequest::default();
        request.groups = vec![group.clone().with_topics(Some(vec![topic_asked])), group.with_topics(None)];
        request
    };
    for version in [9, 10] {
        let response = client.call(version, &asked(version == 10)).await;
        let one = &response.groups[0].topics[0];
        assert_eq!(one.topic_id == id, version == 10);
        let part = &one.partitions[0];
        assert_eq!((part.committed_offset, part.committed_leader_epoch), (42, 3));
        assert_eq!(part.metadata.as_deref(), Some("words"));
        assert_eq!((one.partitions[1].committed_offset, one.partitions[1].error_code), (-1, 0));
        let all: Vec<i32> = response.groups[1].topics[0].partitions.iter().map(|p| p.partition_index).collect();
        assert_eq!(all, [0, 1]);
    }
}

async fn delete_offset(client: &mut Client, partition: i32) -> ErrorCode {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
    let response =
        client.call(0, &OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic])).await;
    assert_eq!(response.error_code, 0);
    code(response.topics[0].partitions[0].error_code)
}

#[tokio::test]
async fn other_coordinators_are_refused_with_a_reason() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    for (key_type, expected) in [(0, ErrorCode::NONE), (1, ErrorCode::NONE), (2, ErrorCode::INVALID_REQUEST)] {
        let request = FindCoordinatorRequest::default().with_key_type(key_type);
        let many = client.call(6, &request.clone().with_coordinator_keys(vec!["k".into()])).await;
        assert_eq!(code(many.coordinators[0].error_code), expected);
        let one = client.call(3, &request.with_key("k".into())).await;
        assert_eq!(code(one.error_code), expected);
        assert_eq!(one.error_message.is_some_and(|text| !text.is_empty()), expected.is_error());
    }
    node.stop().await;
}
