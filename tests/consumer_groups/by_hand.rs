//! What no client library would send, and what tools see.

use caudal_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest as Beat;
use caudal_protocol::messages::describe_configs_request::DescribeConfigsResource;
use caudal_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use caudal_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use caudal_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use caudal_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DescribeConfigsRequest, DescribeConfigsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, GroupId, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse,
};
use caudal_tests::raw::name;

use super::*;

const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;
const FENCED_MEMBER_EPOCH: i16 = 110;
const UNSUPPORTED_ASSIGNOR: i16 = 112;
const STALE_MEMBER_EPOCH: i16 = 113;
const INVALID_REGULAR_EXPRESSION: i16 = 128;
/// The resource type of groups in requests for settings.
const GROUP_RESOURCE: i8 = 32;

fn group() -> GroupId {
    GroupId(GROUP.into())
}

fn alive(epoch: i32) -> Beat {
    Beat::default().with_group_id(group()).with_member_id("m".into()).with_member_epoch(epoch)
}

fn joining(regex: &'static str) -> Beat {
    alive(0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_regex(Some(regex.into()))
        .with_topic_partitions(Some(Vec::new()))
}

fn beat(raw: &mut Raw, request: &Beat) -> ConsumerGroupHeartbeatResponse {
    raw.call(68, 1, true, request)
}

fn commit(raw: &mut Raw, member: &'static str, epoch: i32) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default().with_name(name(TOPIC)).with_partitions(vec![partition]);
    let mut request = OffsetCommitRequest::default();
    request.0 = request.0.with_group_id(group()).with_member_id(member.into()).with_topics(vec![topic]);
    request.0.generation_id_or_member_epoch = epoch;
    let answer: OffsetCommitResponse = raw.call(8, 9, true, &request);
    answer.topics[0].partitions[0].error_code
}

fn fetch(raw: &mut Raw, epoch: i32) -> i16 {
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group())
        .with_member_id(Some("m".into()))
        .with_member_epoch(epoch)
        .with_topics(None);
    let mut request = OffsetFetchRequest::default();
    request.0 = request.0.with_groups(vec![asked]);
    let answer: OffsetFetchResponse = raw.call(9, 9, true, &request);
    answer.groups[0].error_code
}

fn set_interval(raw: &mut Raw, value: &'static str) -> i16 {
    let config =
        AlterableConfig::default().with_name("consumer.heartbeat.interval.ms".into()).with_value(Some(value.into()));
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP_RESOURCE)
        .with_resource_name(GROUP.into())
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer: IncrementalAlterConfigsResponse = raw.call(44, 1, true, &request);
    answer.responses[0].error_code
}

#[test]
fn refusals_have_kafkas_codes() {
    let cluster = cluster(1);
    let mut raw = Raw::connect(cluster.bootstrap());
    let mut code = |request: &Beat| beat(&mut raw, request).error_code;
    assert_eq!(code(&alive(1)), GROUP_ID_NOT_FOUND);
    assert_eq!(code(&joining(".*").with_member_id("".into())), INVALID_REQUEST);
    assert_eq!(code(&joining(".*").with_rebalance_timeout_ms(-1)), INVALID_REQUEST);
    assert_eq!(code(&joining(".*").with_server_assignor(Some("own".into()))), UNSUPPORTED_ASSIGNOR);
    assert_eq!(code(&joining("(")), INVALID_REGULAR_EXPRESSION);
    assert_eq!(code(&joining("enc.*")), 0);
    assert_eq!(code(&alive(7)), FENCED_MEMBER_EPOCH);
    assert_eq!(code(&alive(1).with_member_id("x".into())), UNKNOWN_MEMBER_ID);
    assert_eq!(commit(&mut raw, "m", 7), STALE_MEMBER_EPOCH);
    assert_eq!(commit(&mut raw, "x", 1), UNKNOWN_MEMBER_ID);
    assert_eq!(commit(&mut raw, "m", 1), 0);
    assert_eq!((fetch(&mut raw, 7), fetch(&mut raw, 1)), (STALE_MEMBER_EPOCH, 0));
}

#[test]
fn tools_see_the_group_and_its_settings() {
    let cluster = cluster(1);
    let mut raw = Raw::connect(cluster.bootstrap());
    let answer = beat(&mut raw, &joining("enc.*"));
    let given = answer.assignment.expect("everything").topic_partitions;
    assert_eq!((answer.member_epoch, given.len(), given[0].partitions.len()), (1, 1, 6));

    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let described: ConsumerGroupDescribeResponse = raw.call(69, 1, true, &request);
    let described = &described.groups[0];
    assert_eq!((&*described.group_state, &*described.assignor_name, described.group_epoch), ("Stable", "uniform", 1));
    let member = &described.members[0];
    assert_eq!((member.member_type, member.subscribed_topic_regex.as_deref()), (1, Some("enc.*")));
    assert_eq!(member.assignment.topic_partitions[0].topic_name.as_str(), TOPIC);

    let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
    let by_the_old: DescribeGroupsResponse = raw.call(15, 6, true, &request);
    assert_eq!(by_the_old.groups[0].error_code, GROUP_ID_NOT_FOUND);
    let mut listed = |kind: &'static str| -> ListGroupsResponse {
        raw.call(16, 5, true, &ListGroupsRequest::default().with_types_filter(vec![kind.into()]))
    };
    assert!(listed("classic").groups.is_empty());
    let listed = listed("Consumer");
    assert_eq!((&*listed.groups[0].group_state, &*listed.groups[0].group_type), ("Stable", "consumer"));

    assert_eq!((set_interval(&mut raw, "99"), set_interval(&mut raw, "1500")), (INVALID_CONFIG, 0));
    assert_eq!(beat(&mut raw, &alive(1)).heartbeat_interval_ms, 1500);
    let resource =
        DescribeConfigsResource::default().with_resource_type(GROUP_RESOURCE).with_resource_name(GROUP.into());
    let keys = ["consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"].map(Into::into).to_vec();
    let resource = resource.with_configuration_keys(Some(keys));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let settings: DescribeConfigsResponse = raw.call(32, 4, true, &request);
    let settings = &settings.results[0].configs;
    let found: Vec<_> = settings.iter().map(|s| (&*s.name, s.value.as_deref(), s.config_source)).collect();
    let expected =
        [("consumer.heartbeat.interval.ms", Some("1500"), 8), ("consumer.session.timeout.ms", Some("10000"), 4)];
    assert_eq!(found, expected);

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    let mut delete = || -> i16 {
        let answer: DeleteGroupsResponse = raw.call(42, 2, true, &delete);
        answer.results[0].error_code
    };
    assert_eq!(delete(), NON_EMPTY_GROUP);
}

#[test]
fn settings_altered_at_any_node_reach_the_coordinator() {
    let cluster = cluster(3);
    let mut raw = Raw::connect(cluster.address(coordinator(&cluster)));
    let joined = until_some(SOON, "the member to join", || {
        let answer = beat(&mut raw, &joining("enc.*"));
        (answer.error_code == 0).then_some(answer)
    });
    assert_eq!(joined.heartbeat_interval_ms, 500);
    for (node, interval) in cluster.nodes().zip(["1100", "1200", "1300"]) {
        let mut other = Raw::connect(cluster.address(node));
        assert_eq!(set_interval(&mut other, interval), 0, "at node {node}");
        until(SOON, "the coordinator to know what was set at another node", || {
            let answer = beat(&mut raw, &alive(joined.member_epoch));
            answer.error_code == 0 && answer.heartbeat_interval_ms.to_string() == interval
        });
    }
}
