//! Every API in every version that is served: the answer must be readable to the last byte, whether it tells of success or of failure.

use bytes::Bytes;
use caudal_protocol::api::{SERVED, find};
use caudal_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use caudal_protocol::messages::alter_client_quotas_request::{self as alter_quotas, AlterClientQuotasRequest};
use caudal_protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};
use caudal_protocol::messages::api_versions_request::ApiVersionsRequest;
use caudal_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use caudal_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use caudal_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use caudal_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use caudal_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use caudal_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use caudal_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use caudal_protocol::messages::describe_client_quotas_request::{self as describe_quotas, DescribeClientQuotasRequest};
use caudal_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use caudal_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use caudal_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use caudal_protocol::messages::describe_topic_partitions_request::{DescribeTopicPartitionsRequest, TopicRequest};
use caudal_protocol::messages::describe_user_scram_credentials_request::{
    DescribeUserScramCredentialsRequest, UserName,
};
use caudal_protocol::messages::fetch_request::FetchRequest;
use caudal_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use caudal_protocol::messages::heartbeat_request::HeartbeatRequest;
use caudal_protocol::messages::incremental_alter_configs_request as incremental;
use caudal_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use caudal_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use caudal_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use caudal_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use caudal_protocol::messages::list_groups_request::ListGroupsRequest;
use caudal_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use caudal_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use caudal_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use caudal_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use caudal_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use caudal_protocol::messages::produce_request::ProduceRequest;
use caudal_protocol::messages::sync_group_request::SyncGroupRequest;
use caudal_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use caudal_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use caudal_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, BrokerId, DeleteRecordsRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, GetTelemetrySubscriptionsRequest, GroupId, ListOffsetsRequest,
    ListTransactionsRequest, OffsetCommitRequest, OffsetFetchRequest, ProducerId, PushTelemetryRequest, Request,
    TransactionalId, TxnOffsetCommitRequest, WriteTxnMarkersRequest, describe_producers_request as describe_producers,
};
use uuid::Uuid;

use crate::harness::{Client, TestNode, batch, fetch_request, produce_request, topic};
use crate::operations;

/// Asks in every version; what `make` answers must fit the version.
pub(crate) async fn each<R: Request>(client: &mut Client, asked: &mut Vec<i16>, make: impl Fn(i16) -> Vec<R>) {
    let api = find(R::KEY).expect("the API is served");
    for version in api.min..=api.max {
        for request in make(version) {
            client.call(version, &request).await;
        }
    }
    asked.push(R::KEY);
}

/// The id of the topic where the version names topics so.
fn id_from(least: i16, version: i16, id: Uuid) -> Uuid {
    if version >= least { id } else { Uuid::nil() }
}

fn name_before(least: i16, version: i16, name: &str) -> &str {
    if version >= least { "" } else { name }
}

pub(crate) const NAMES: [&str; 2] = ["t", "missing"];

fn group(id: &'static str) -> GroupId {
    GroupId(id.into())
}

#[tokio::test]
async fn every_version_is_answered_in_its_own_encoding() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    let known = client.topic_id("t").await;
    let ids = [("t", known), ("missing", Uuid::from_u128(7))];
    let mut asked = Vec::new();
    records(&mut client, &mut asked, &ids).await;
    groups(&mut client, &mut asked).await;
    offsets(&mut client, &mut asked, &ids).await;
    transactions(&mut client, &mut asked).await;
    topics(&mut client, &mut asked, &ids).await;
    settings(&mut client, &mut asked).await;
    cluster(&mut client, &mut asked, &ids).await;
    operations::in_every_version(&mut client, &mut asked).await;
    asked.sort_unstable();
    assert_eq!(asked, SERVED.iter().map(|api| api.key).collect::<Vec<_>>(), "every API is tried");
    node.stop().await;
}

async fn records(client: &mut Client, asked: &mut Vec<i16>, ids: &[(&str, Uuid)]) {
    each::<ProduceRequest>(client, asked, |version| {
        let request = |(name, id): &(&str, Uuid)| {
            let mut request = produce_request(name_before(13, version, name), 0, -1, batch(&["a"]));
            request.topic_data[0].topic_id = id_from(13, version, *id);
            let mut damaged = request.clone();
            damaged.topic_data[0].partition_data[0].records = Some(Bytes::from_static(b"damaged"));
            [request, damaged]
        };
        ids.iter().flat_map(request).collect()
    })
    .await;
    each::<FetchRequest>(client, asked, |version| {
        let request = |(name, id): &(&str, Uuid)| {
            let mut request = fetch_request(name_before(13, version, name), 0, 0).with_isolation_level(1);
            request.topics[0].topic_id = id_from(13, version, *id);
            let mut beyond = request.clone();
            beyond.topics[0].partitions[0].fetch_offset = 1000;
            [request, beyond]
        };
        ids.iter().flat_map(request).collect()
    })
    .await;
    each::<ListOffsetsRequest>(client, asked, |_| {
        let partition = |timestamp| ListOffsetsPartition::default().with_timestamp(timestamp);
        let topics = NAMES.iter().flat_map(|name| {
            let named = move |timestamp| {
                ListOffsetsTopic::default().with_name(topic(name)).with_partitions(vec![partition(timestamp)])
            };
            [-1, -2, -3, 0, i64::MAX].map(named)
        });
        let mut request = ListOffsetsRequest::default();
        request.replica_id = BrokerId(-1);
        topics
            .map(|topic| {
                request.topics = vec![topic];
                request.clone()
            })
            .collect()
    })
    .await;
    each::<OffsetForLeaderEpochRequest>(client, asked, |_| {
        let partition = OffsetForLeaderPartition::default().with_leader_epoch(1);
        let named = |name: &&str| {
            OffsetForLeaderTopic::default().with_topic(topic(name)).with_partitions(vec![partition.clone()])
        };
        vec![
            OffsetForLeaderEpochRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(NAMES.iter().map(named).collect()),
        ]
    })
    .await;
    each::<InitProducerIdRequest>(client, asked, |_| {
        let plain = InitProducerIdRequest::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
        let transactional = plain.clone().with_transactional_id(Some(TransactionalId("x".into())));
        vec![plain.with_transactional_id(None), transactional]
    })
    .await;
}

async fn groups(client: &mut Client, asked: &mut Vec<i16>) {
    each::<FindCoordinatorRequest>(client, asked, |version| {
        let keys = |request: FindCoordinatorRequest| {
            if version >= 4 { request.with_coordinator_keys(vec!["g".into()]) } else { request.with_key("g".into()) }
        };
        let refused = if version >= 1 { 2 } else { 0 };
        [0, refused].map(|kind| keys(FindCoordinatorRequest::default().with_key_type(kind))).into()
    })
    .await;
    each::<JoinGroupRequest>(client, asked, |version| {
        let request = JoinGroupRequest::default()
            .with_group_id(group("g"))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(if version >= 1 { 100 } else { -1 })
            .with_group_instance_id((version >= 5).then(|| "instance".into()))
            .with_protocol_type("consumer".into())
            .with_protocols(vec![JoinGroupRequestProtocol::default().with_name("range".into())]);
        let short = request.clone().with_group_id(group("other")).with_session_timeout_ms(1);
        // One version only joins: each new member would have to wait for those before it.
        if version == 0 { vec![request, short] } else { vec![short] }
    })
    .await;
    each::<SyncGroupRequest>(client, asked, |version| {
        let named = |name: &'static str| (version >= 5).then(|| name.into());
        let request = SyncGroupRequest::default().with_group_id(group("g")).with_member_id("nobody".into());
        let request = request.with_group_instance_id(None).with_protocol_type(named("consumer"));
        vec![request.with_protocol_name(named("range"))]
    })
    .await;
    each::<HeartbeatRequest>(client, asked, |_| {
        vec![HeartbeatRequest::default().with_group_id(group("g")).with_group_instance_id(None)]
    })
    .await;
    each::<LeaveGroupRequest>(client, asked, |version| {
        let request = LeaveGroupRequest::default().with_group_id(group("g"));
        let member =
            MemberIdentity::default().with_member_id("nobody".into()).with_group_instance_id(None).with_reason(None);
        vec![if version >= 3 { request.with_members(vec![member]) } else { request.with_member_id("nobody".into()) }]
    })
    .await;
    each::<DescribeGroupsRequest>(client, asked, |version| {
        let request = DescribeGroupsRequest::default().with_groups(vec![group("g"), group("none"), group("")]);
        vec![request.with_include_authorized_operations(version >= 3)]
    })
    .await;
    each::<ListGroupsRequest>(client, asked, |_| vec![ListGroupsRequest::default()]).await;
    each::<DeleteGroupsRequest>(client, asked, |_| {
        vec![DeleteGroupsRequest::default().with_groups_names(vec![group("g"), group("none"), group("none")])]
    })
    .await;
    consumer_groups(client, asked).await;
}

async fn consumer_groups(client: &mut Client, asked: &mut Vec<i16>) {
    each::<ConsumerGroupHeartbeatRequest>(client, asked, |version| {
        let join = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group("consumers"))
            .with_member_id(if version >= 1 { "member".into() } else { "".into() })
            .with_rebalance_timeout_ms(1000)
            .with_subscribed_topic_names(Some(vec![topic("t")]))
            .with_topic_partitions(Some(Vec::new()));
        let stranger = join.clone().with_member_id("nobody".into()).with_member_epoch(5);
        vec![join, stranger]
    })
    .await;
    each::<ConsumerGroupDescribeRequest>(client, asked, |_| {
        vec![ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("consumers"), group("none")])]
    })
    .await;
}

async fn offsets(client: &mut Client, asked: &mut Vec<i16>, ids: &[(&str, Uuid)]) {
    each::<OffsetCommitRequest>(client, asked, |version| {
        let named = |(name, id): &(&str, Uuid)| {
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
            OffsetCommitRequestTopic::default()
                .with_name(topic(name_before(10, version, name)))
                .with_topic_id(id_from(10, version, *id))
                .with_partitions(vec![partition])
        };
        let mut request = OffsetCommitRequest::default();
        request.group_id = group("tool");
        request.group_instance_id = None;
        request.generation_id_or_member_epoch = -1;
        request.topics = ids.iter().map(named).collect();
        vec![request]
    })
    .await;
    each::<OffsetFetchRequest>(client, asked, |version| {
        let mut request = OffsetFetchRequest::default();
        if version < 8 {
            request.group_id = group("tool");
            let named =
                |name: &&str| OffsetFetchRequestTopic::default().with_name(topic(name)).with_partition_indexes(vec![0]);
            request.topics = Some(NAMES.iter().map(named).collect());
            return vec![request];
        }
        let named = |(name, id): &(&str, Uuid)| {
            OffsetFetchRequestTopics::default()
                .with_name(topic(name_before(10, version, name)))
                .with_topic_id(id_from(10, version, *id))
                .with_partition_indexes(vec![0])
        };
        let one =
            OffsetFetchRequestGroup::default().with_group_id(group("tool")).with_member_id(None).with_member_epoch(-1);
        request.groups = vec![one.clone().with_topics(Some(ids.iter().map(named).collect())), one.with_topics(None)];
        vec![request]
    })
    .await;
    each::<OffsetDeleteRequest>(client, asked, |_| {
        let partition = OffsetDeleteRequestPartition::default();
        let named = |name: &&str| {
            OffsetDeleteRequestTopic::default().with_name(topic(name)).with_partitions(vec![partition.clone()])
        };
        let request = OffsetDeleteRequest::default().with_topics(NAMES.iter().map(named).collect());
        ["tool", "none"].map(|id| request.clone().with_group_id(group(id))).into()
    })
    .await;
}

async fn transactions(client: &mut Client, asked: &mut Vec<i16>) {
    let (id, producer) = (|| TransactionalId("x".into()), ProducerId(7));
    each::<AddPartitionsToTxnRequest>(client, asked, |version| {
        let named = |name: &&str| AddPartitionsToTxnTopic::default().with_name(topic(name)).with_partitions(vec![0]);
        let topics: Vec<_> = NAMES.iter().map(named).collect();
        if version < 4 {
            let request = AddPartitionsToTxnRequest::default().with_v3_and_below_transactional_id(id());
            return vec![request.with_v3_and_below_producer_id(producer).with_v3_and_below_topics(topics)];
        }
        let transaction = AddPartitionsToTxnTransaction::default().with_transactional_id(id());
        let adds = transaction.with_producer_id(producer).with_topics(topics);
        let looks = adds.clone().with_verify_only(true);
        vec![AddPartitionsToTxnRequest::default().with_transactions(vec![adds, looks])]
    })
    .await;
    each::<AddOffsetsToTxnRequest>(client, asked, |_| {
        let request = AddOffsetsToTxnRequest::default().with_transactional_id(id()).with_group_id(group("g"));
        vec![request.with_producer_id(producer)]
    })
    .await;
    each::<EndTxnRequest>(client, asked, |_| {
        let request = EndTxnRequest::default().with_transactional_id(id()).with_producer_id(producer);
        vec![request.clone(), request.with_transactional_id(TransactionalId("".into()))]
    })
    .await;
    each::<WriteTxnMarkersRequest>(client, asked, |_| {
        let named =
            |name: &&str| WritableTxnMarkerTopic::default().with_name(topic(name)).with_partition_indexes(vec![0]);
        let marker = WritableTxnMarker::default().with_producer_id(producer);
        let marker = marker.with_topics(NAMES.iter().map(named).collect());
        vec![WriteTxnMarkersRequest { markers: vec![marker.into()], ..WriteTxnMarkersRequest::default() }]
    })
    .await;
    each::<TxnOffsetCommitRequest>(client, asked, |version| {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(5);
        let named = |name: &&str| {
            TxnOffsetCommitRequestTopic::default().with_name(topic(name)).with_partitions(vec![partition.clone()])
        };
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id())
            .with_group_id(group("tool"))
            .with_producer_id(producer)
            .with_group_instance_id(None)
            .with_topics(NAMES.iter().map(named).collect());
        vec![if version >= 3 { request.with_generation_id(-1) } else { request }]
    })
    .await;
    each::<DescribeProducersRequest>(client, asked, |_| {
        let named = |name: &&str| {
            describe_producers::TopicRequest::default().with_name(topic(name)).with_partition_indexes(vec![0])
        };
        vec![DescribeProducersRequest::default().with_topics(NAMES.iter().map(named).collect())]
    })
    .await;
    each::<DescribeTransactionsRequest>(client, asked, |_| {
        vec![DescribeTransactionsRequest::default().with_transactional_ids(vec![id(), TransactionalId("y".into())])]
    })
    .await;
    each::<ListTransactionsRequest>(client, asked, |version| {
        let all = ListTransactionsRequest::default().with_duration_filter(-1);
        let pattern = (version >= 2).then(|| "(".into());
        vec![all.clone(), all.with_state_filters(vec!["Odd".into()]).with_transactional_id_pattern(pattern)]
    })
    .await;
}

async fn topics(client: &mut Client, asked: &mut Vec<i16>, ids: &[(&str, Uuid)]) {
    each::<DeleteRecordsRequest>(client, asked, |_| {
        let partitions = [-1, 9].map(|offset| DeleteRecordsPartition::default().with_offset(offset));
        let named =
            |name: &&str| DeleteRecordsTopic::default().with_name(topic(name)).with_partitions(partitions.to_vec());
        vec![DeleteRecordsRequest::default().with_topics(NAMES.iter().map(named).collect()).with_timeout_ms(30_000)]
    })
    .await;
    each::<CreateTopicsRequest>(client, asked, |_| {
        let wish = |name: &str| {
            CreatableTopic::default().with_name(topic(name)).with_num_partitions(1).with_replication_factor(1)
        };
        let topics = ["new", "t", "no way"].map(wish).into();
        vec![CreateTopicsRequest::default().with_topics(topics).with_validate_only(true).with_timeout_ms(30_000)]
    })
    .await;
    each::<CreatePartitionsRequest>(client, asked, |_| {
        let wish =
            |name: &&str| CreatePartitionsTopic::default().with_name(topic(name)).with_count(9).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(NAMES.iter().map(wish).collect());
        vec![request.with_validate_only(true).with_timeout_ms(30_000)]
    })
    .await;
    each::<DescribeTopicPartitionsRequest>(client, asked, |_| {
        let named = |name: &&str| TopicRequest::default().with_name(topic(name));
        let request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(1);
        vec![request.clone(), request.with_topics(NAMES.iter().map(named).collect())]
    })
    .await;
    each::<DeleteTopicsRequest>(client, asked, |version| {
        let request = DeleteTopicsRequest::default().with_timeout_ms(30_000);
        if version < 6 {
            return vec![request.with_topic_names(vec![topic("missing")])];
        }
        let by_name = DeleteTopicState::default().with_name(Some(topic("missing")));
        let by_id = DeleteTopicState::default().with_name(None).with_topic_id(ids[1].1);
        vec![request.with_topics(vec![by_name, by_id])]
    })
    .await;
}

async fn settings(client: &mut Client, asked: &mut Vec<i16>) {
    let resources = [(2, "t"), (2, "missing"), (4, "1"), (4, ""), (4, "9"), (8, "1"), (16, "m"), (32, "g"), (99, "x")];
    each::<DescribeConfigsRequest>(client, asked, |version| {
        let resource = |(kind, name): (i8, &'static str)| {
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(name.into())
                .with_configuration_keys(None)
        };
        let request = DescribeConfigsRequest::default().with_resources(resources.map(resource).into());
        vec![request.with_include_synonyms(true).with_include_documentation(version >= 3)]
    })
    .await;
    each::<GetTelemetrySubscriptionsRequest>(client, asked, |_| vec![GetTelemetrySubscriptionsRequest::default()])
        .await;
    each::<PushTelemetryRequest>(client, asked, |_| {
        let of = |id| PushTelemetryRequest::default().with_client_instance_id(Uuid::from_u128(id));
        vec![of(0), of(7)]
    })
    .await;
    each::<ListConfigResourcesRequest>(client, asked, |version| {
        let all = ListConfigResourcesRequest::default();
        if version >= 1 { vec![all.clone(), all.with_resource_types(vec![2, 3])] } else { vec![all] }
    })
    .await;
    each::<AlterConfigsRequest>(client, asked, |_| {
        let config = AlterableConfig::default().with_name("retention.ms".into()).with_value(Some("1000".into()));
        let resource = |(kind, name): (i8, &'static str)| {
            AlterConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(name.into())
                .with_configs(vec![config.clone()])
        };
        vec![AlterConfigsRequest::default().with_resources(resources.map(resource).into())]
    })
    .await;
    each::<incremental::IncrementalAlterConfigsRequest>(client, asked, |_| {
        let config =
            incremental::AlterableConfig::default().with_name("retention.ms".into()).with_value(Some("1000".into()));
        let resource = |(kind, name): (i8, &'static str)| {
            let resource = incremental::AlterConfigsResource::default().with_resource_type(kind);
            resource.with_resource_name(name.into()).with_configs(vec![config.clone()])
        };
        vec![incremental::IncrementalAlterConfigsRequest::default().with_resources(resources.map(resource).into())]
    })
    .await;
}

async fn quotas(client: &mut Client, asked: &mut Vec<i16>) {
    each::<DescribeClientQuotasRequest>(client, asked, |_| {
        let component = |kind: &'static str| {
            describe_quotas::ComponentData::default().with_entity_type(kind.into()).with_match_type(2).with_match(None)
        };
        [vec![], vec![component("user")], vec![component("group")]]
            .map(|components| DescribeClientQuotasRequest::default().with_components(components))
            .into()
    })
    .await;
    each::<AlterClientQuotasRequest>(client, asked, |_| {
        let entry = |kind: &'static str| {
            let part = alter_quotas::EntityData::default().with_entity_type(kind.into()).with_entity_name(None);
            let op = alter_quotas::OpData::default().with_key("producer_byte_rate".into()).with_value(1e12);
            alter_quotas::EntryData::default().with_entity(vec![part]).with_ops(vec![op])
        };
        vec![AlterClientQuotasRequest::default().with_entries(vec![entry("user"), entry("group")])]
    })
    .await;
    each::<DescribeUserScramCredentialsRequest>(client, asked, |_| {
        let user = UserName::default().with_name("u".into());
        [None, Some(vec![user])].map(|users| DescribeUserScramCredentialsRequest::default().with_users(users)).into()
    })
    .await;
}

async fn cluster(client: &mut Client, asked: &mut Vec<i16>, ids: &[(&str, Uuid)]) {
    each::<ApiVersionsRequest>(client, asked, |version| {
        let name = |text: &'static str| if version >= 3 { text.into() } else { "".into() };
        let named = ApiVersionsRequest::default()
            .with_client_software_name(name("test"))
            .with_client_software_version(name("1"));
        vec![named, ApiVersionsRequest::default()]
    })
    .await;
    quotas(client, asked).await;
    each::<DescribeClusterRequest>(client, asked, |version| {
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let other = if version >= 1 { 2 } else { 1 };
        [1, other].map(|kind| request.clone().with_endpoint_type(kind)).into()
    })
    .await;
    each::<MetadataRequest>(client, asked, |version| {
        let by_name = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic(name)));
        let by_id = |(_, id): &(&str, Uuid)| MetadataRequestTopic::default().with_name(None).with_topic_id(*id);
        let request = MetadataRequest::default()
            .with_allow_auto_topic_creation(version < 4)
            .with_include_cluster_authorized_operations((8..=10).contains(&version))
            .with_include_topic_authorized_operations(version >= 8);
        let mut requests = vec![request.clone().with_topics(Some(["t", "bad name"].iter().map(by_name).collect()))];
        if version >= 1 {
            requests.push(request.clone().with_topics(None));
        }
        if version >= 4 {
            requests.push(request.clone().with_topics(Some(NAMES.iter().map(by_name).collect())));
        }
        if version >= 12 {
            requests.push(request.with_topics(Some(ids.iter().map(by_id).collect())));
        }
        requests
    })
    .await;
}
