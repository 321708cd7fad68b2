//! Topics, settings, the cluster.

use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::api_versions_request::ApiVersionsRequest;
use caudal_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use caudal_protocol::messages::create_topics_request::CreateTopicsRequest;
use caudal_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use caudal_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use caudal_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use caudal_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use caudal_protocol::messages::describe_topic_partitions_request::{DescribeTopicPartitionsRequest, TopicRequest};
use caudal_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use caudal_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use caudal_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use caudal_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use caudal_protocol::messages::{ProducerId, TransactionalId};

use crate::harness::{Client, TestNode, batch, code, creatable, topic};

fn asked(names: &[&str]) -> MetadataRequest {
    let asked = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic(name)));
    MetadataRequest::default().with_topics(Some(names.iter().map(asked).collect()))
}

#[tokio::test]
async fn a_topic_is_made_on_demand_and_has_its_leaders_at_once() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    let forbidden = client.call(9, &asked(&["t"]).with_allow_auto_topic_creation(false)).await;
    assert_eq!(code(forbidden.topics[0].error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let made = client.call(9, &asked(&["t", "a/b"]).with_include_topic_authorized_operations(true)).await;
    assert_eq!(code(made.topics[0].error_code), ErrorCode::INVALID_TOPIC_EXCEPTION);
    let made = &made.topics[1];
    assert_eq!((code(made.error_code), made.partitions.len()), (ErrorCode::NONE, 2));
    assert_eq!(made.topic_authorized_operations, 3576);
    for partition in &made.partitions {
        assert_eq!((code(partition.error_code), partition.leader_id.0), (ErrorCode::NONE, 1));
        assert!(partition.leader_epoch >= 0);
        assert_eq!(
            (partition.replica_nodes.len(), partition.isr_nodes.len(), partition.offline_replicas.len()),
            (1, 1, 0)
        );
    }
    assert_eq!(code(client.produce("t", 1, batch(&["a"])).await.error_code), ErrorCode::NONE);
    node.stop().await;
}

#[tokio::test]
async fn the_cluster_is_shown() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let all = client.call(13, &MetadataRequest::default().with_topics(None)).await;
    assert_eq!(all.cluster_id.as_deref(), Some("test"));
    assert_eq!((all.controller_id.0, all.error_code), (1, 0));
    assert_eq!(all.topics.len(), 1);
    let broker = &all.brokers[0];
    assert_eq!((broker.node_id.0, &*broker.host, broker.port), (1, "localhost", 9092));
    assert_eq!(broker.rack.as_deref(), Some("r1"));
    assert!(client.call(1, &asked(&[])).await.topics.is_empty());
    assert_eq!(client.call(0, &asked(&[])).await.topics.len(), 1);

    let cluster = client.call(2, &DescribeClusterRequest::default().with_endpoint_type(1)).await;
    assert_eq!((cluster.error_code, &*cluster.cluster_id, cluster.brokers.len()), (0, "test", 1));
    let controllers = client.call(2, &DescribeClusterRequest::default().with_endpoint_type(2)).await;
    assert_eq!(code(controllers.error_code), ErrorCode::MISMATCHED_ENDPOINT_TYPE);

    let named =
        ApiVersionsRequest::default().with_client_software_name("test".into()).with_client_software_version("1".into());
    let versions = client.call(4, &named).await;
    assert_eq!((versions.error_code, versions.api_keys[0].min_version), (0, 0));
    let features: Vec<&str> = versions.finalized_features.iter().map(|feature| &*feature.name).collect();
    assert_eq!(features, ["group.version", "metadata.version", "transaction.version"]);
    let nameless = client.call(4, &ApiVersionsRequest::default()).await;
    assert_eq!(code(nameless.error_code), ErrorCode::INVALID_REQUEST);
    node.stop().await;
}

#[tokio::test]
async fn topics_are_made_grown_and_removed() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    let topics = vec![
        creatable("t", 3, &[("max.message.bytes", "2000")]),
        creatable("twice", 1, &[]),
        creatable("twice", 1, &[]),
        creatable("none", 0, &[]),
        creatable("bad config", 1, &[]),
        creatable("odd", 1, &[("max.message.bytes", "many")]),
    ];
    let request = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000);
    let checked = client.call(7, &request.clone().with_validate_only(true)).await;
    let made = client.call(7, &request).await;
    for response in [&checked, &made] {
        let result = |name: &str| response.topics.iter().find(|t| t.name == topic(name)).unwrap();
        assert_eq!(response.topics.len(), 5);
        assert_eq!(code(result("t").error_code), ErrorCode::NONE);
        assert_eq!((result("t").num_partitions, result("t").replication_factor), (3, 1));
        let configs = result("t").configs.as_ref().unwrap();
        let own = configs.iter().find(|config| &*config.name == "max.message.bytes").unwrap();
        assert_eq!((own.value.as_deref(), own.config_source), (Some("2000"), 1));
        for (name, expected) in [
            ("twice", ErrorCode::INVALID_REQUEST),
            ("none", ErrorCode::INVALID_PARTITIONS),
            ("bad config", ErrorCode::INVALID_TOPIC_EXCEPTION),
            ("odd", ErrorCode::INVALID_CONFIG),
        ] {
            assert_eq!(code(result(name).error_code), expected, "{name}");
            assert!(result(name).error_message.as_ref().is_some_and(|text| !text.is_empty()), "{name}");
        }
    }
    assert!(checked.topics.iter().all(|t| t.topic_id.is_nil()));
    let id = made.topics.iter().find(|t| t.name == topic("t")).unwrap().topic_id;
    assert!(!id.is_nil());
    let again = client.call(7, &request).await;
    assert!(again.topics.iter().any(|t| code(t.error_code) == ErrorCode::TOPIC_ALREADY_EXISTS));

    grow(&mut client, 5, ErrorCode::NONE).await;
    grow(&mut client, 4, ErrorCode::INVALID_PARTITIONS).await;
    assert_eq!(client.call(9, &asked(&["t"])).await.topics[0].partitions.len(), 5);
    page(&mut client).await;

    let by_id = DeleteTopicState::default().with_name(None).with_topic_id(id);
    let request = DeleteTopicsRequest::default().with_topics(vec![by_id]).with_timeout_ms(30_000);
    let deleted = client.call(6, &request).await;
    assert_eq!((deleted.responses[0].error_code, deleted.responses[0].name.clone()), (0, Some(topic("t"))));
    assert_eq!(code(client.call(6, &request).await.responses[0].error_code), ErrorCode::UNKNOWN_TOPIC_ID);
    let by_name = DeleteTopicsRequest::default().with_topic_names(vec![topic("t")]).with_timeout_ms(30_000);
    let gone = client.call(5, &by_name).await;
    assert_eq!(code(gone.responses[0].error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    node.stop().await;
}

async fn grow(client: &mut Client, count: i32, expected: ErrorCode) {
    let wish = CreatePartitionsTopic::default().with_name(topic("t")).with_count(count).with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![wish]).with_timeout_ms(30_000);
    assert_eq!(code(client.call(3, &request).await.results[0].error_code), expected);
}

/// Reads the five partitions of `t` in pages of two.
async fn page(client: &mut Client) {
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(vec![TopicRequest::default().with_name(topic("t"))])
            .with_response_partition_limit(2)
            .with_cursor(cursor);
        let page = client.call(0, &request).await;
        seen.extend(page.topics[0].partitions.iter().map(|partition| partition.partition_index));
        let Some(next) = page.next_cursor else { break };
        cursor = Some(
            caudal_protocol::messages::describe_topic_partitions_request::Cursor::default()
                .with_topic_name(next.topic_name)
                .with_partition_index(next.partition_index),
        );
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

async fn described(client: &mut Client, kind: i8, name: &'static str) -> Vec<DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(name.into())
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    let result = client.call(4, &request).await.results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result.configs
}

fn of<'a>(configs: &'a [DescribeConfigsResourceResult], name: &str) -> &'a DescribeConfigsResourceResult {
    configs.iter().find(|config| &*config.name == name).unwrap()
}

#[tokio::test]
async fn settings_are_described_with_their_sources_and_changed() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let before = described(&mut client, 2, "t").await;
    assert!(before.len() > 20);
    assert!(before.iter().all(|config| config.documentation.is_some() && config.config_type > 0 && !config.read_only));
    assert_eq!(of(&before, "max.message.bytes").config_source, 5);
    let segment = of(&before, "segment.bytes");
    assert_eq!((segment.value.as_deref(), segment.config_source), (Some("1048576"), 4));
    assert_eq!(
        segment.synonyms.iter().map(|s| (&*s.name, s.source)).collect::<Vec<_>>(),
        [("log.segment.bytes", 4), ("log.segment.bytes", 5)]
    );

    for (resource_type, name, key, value, expected) in [
        (2, "t", "max.message.bytes", "3000", ErrorCode::NONE),
        (2, "t", "max.message.bytes", "many", ErrorCode::INVALID_CONFIG),
        (2, "t", "no.such.key", "1", ErrorCode::INVALID_CONFIG),
        (2, "missing", "max.message.bytes", "1", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (4, "1", "max.message.bytes", "1", ErrorCode::INVALID_REQUEST),
        (32, "g", "x", "1", ErrorCode::INVALID_CONFIG),
    ] {
        let config = AlterableConfig::default().with_name(key.into()).with_value(Some(value.into()));
        let resource = AlterConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(name.into())
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let response = client.call(1, &request).await.responses.remove(0);
        assert_eq!(code(response.error_code), expected, "{name} {key} {value}: {:?}", response.error_message);
    }
    let after = described(&mut client, 2, "t").await;
    let own = of(&after, "max.message.bytes");
    assert_eq!((own.value.as_deref(), own.config_source), (Some("3000"), 1));
    let large = client.produce("t", 0, batch(&[&"x".repeat(4000)])).await;
    assert_eq!(code(large.error_code), ErrorCode::MESSAGE_TOO_LARGE);

    let of_node = described(&mut client, 4, "1").await;
    assert!(of(&of_node, "num.partitions").read_only && !of(&of_node, "log.segment.bytes").read_only);
    let partitions = of(&of_node, "num.partitions");
    assert_eq!((partitions.value.as_deref(), partitions.config_source), (Some("2"), 4));
    assert_eq!(of(&of_node, "log.segment.bytes").config_source, 4);
    assert_eq!(of(&of_node, "log.segment.bytes").value.as_deref(), Some("1048576"));
    node.stop().await;
}

/// Waits until a batch is answered with this code: partitions follow the settings a moment later.
async fn produces(client: &mut Client, records: Bytes, expected: ErrorCode) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let got = code(client.produce("t", 0, records.clone()).await.error_code);
        if got == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{got:?} instead of {expected:?}");
    }
}

/// Sets a key, or takes it away.
async fn alter(
    client: &mut Client,
    kind: i8,
    name: &'static str,
    key: &'static str,
    value: Option<&'static str>,
) -> ErrorCode {
    let config = AlterableConfig::default()
        .with_name(key.into())
        .with_config_operation(i8::from(value.is_none()))
        .with_value(value.map(Into::into));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(name.into())
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    code(client.call(1, &request).await.responses.remove(0).error_code)
}

#[tokio::test]
async fn defaults_of_topics_change_while_the_node_runs() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    assert_eq!(alter(&mut client, 4, "", "message.max.bytes", Some("2000")).await, ErrorCode::NONE);
    assert_eq!(alter(&mut client, 4, "1", "message.max.bytes", Some("3000")).await, ErrorCode::NONE);
    assert_eq!(alter(&mut client, 4, "7", "message.max.bytes", Some("3000")).await, ErrorCode::INVALID_REQUEST);
    assert_eq!(alter(&mut client, 4, "", "num.partitions", Some("3")).await, ErrorCode::INVALID_REQUEST);
    let sources = |config: &DescribeConfigsResourceResult| config.synonyms.iter().map(|s| s.source).collect::<Vec<_>>();
    let of_topic = described(&mut client, 2, "t").await;
    let own = of(&of_topic, "max.message.bytes");
    assert_eq!((own.value.as_deref(), sources(own)), (Some("3000"), vec![2, 3, 5]));
    let of_all = described(&mut client, 4, "").await;
    assert_eq!((of_all.len(), of(&of_all, "message.max.bytes").config_source), (1, 3));
    let large = || batch(&[&"x".repeat(2500)]);
    produces(&mut client, large(), ErrorCode::NONE).await;
    assert_eq!(alter(&mut client, 4, "1", "message.max.bytes", None).await, ErrorCode::NONE);
    produces(&mut client, large(), ErrorCode::MESSAGE_TOO_LARGE).await;
    assert_eq!(alter(&mut client, 4, "", "message.max.bytes", None).await, ErrorCode::NONE);
    produces(&mut client, large(), ErrorCode::NONE).await;
    assert!(described(&mut client, 4, "").await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn log_levels_are_each_nodes_own() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    let levels = described(&mut client, 8, "1").await;
    let root = of(&levels, "root");
    assert_eq!((root.value.as_deref(), root.config_source, root.read_only), (Some("INFO"), 6, false));
    assert_eq!(alter(&mut client, 8, "1", "caudal_raft", Some("TRACE")).await, ErrorCode::NONE);
    assert_eq!(of(&described(&mut client, 8, "1").await, "caudal_raft").value.as_deref(), Some("TRACE"));
    assert_eq!(alter(&mut client, 8, "1", "caudal_raft", None).await, ErrorCode::NONE);
    assert_eq!(of(&described(&mut client, 8, "1").await, "caudal_raft").value.as_deref(), Some("INFO"));
    for (name, key, value, expected) in [
        ("7", "root", Some("INFO"), ErrorCode::INVALID_REQUEST),
        ("", "root", Some("INFO"), ErrorCode::INVALID_REQUEST),
        ("1", "root", None, ErrorCode::INVALID_REQUEST),
        ("1", "root", Some("LOUD"), ErrorCode::INVALID_CONFIG),
        ("1", "nobody", Some("INFO"), ErrorCode::INVALID_CONFIG),
    ] {
        assert_eq!(alter(&mut client, 8, name, key, value).await, expected, "{name} {key} {value:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn settings_of_nodes_change_while_they_run() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    assert_eq!(alter(&mut client, 4, "1", "max.connections", Some("50")).await, ErrorCode::NONE);
    for (key, value) in [("max.connections", "0"), ("log.cleaner.threads", "many"), ("ssl.keystore.location", "/keys")]
    {
        assert_eq!(alter(&mut client, 4, "1", key, Some(value)).await, ErrorCode::INVALID_REQUEST, "{key}");
    }
    for (name, expected) in [("", ErrorCode::INVALID_REQUEST), ("1", ErrorCode::NONE)] {
        let map = ("listener.security.protocol.map", Some("PLAINTEXT:PLAINTEXT"));
        assert_eq!(alter(&mut client, 4, name, map.0, map.1).await, expected, "'{name}'");
    }
    let of_node = described(&mut client, 4, "1").await;
    assert!(of(&of_node, "num.partitions").read_only && !of(&of_node, "message.max.bytes").read_only);
    assert_eq!(alter(&mut client, 4, "1", "max.connections", None).await, ErrorCode::NONE);
    node.stop().await;
}

#[tokio::test]
async fn subscriptions_to_metrics_are_kept_and_listed() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    assert_eq!(alter(&mut client, 16, "m", "interval.ms", Some("5000")).await, ErrorCode::NONE);
    assert_eq!(alter(&mut client, 16, "m", "interval.ms", Some("5")).await, ErrorCode::INVALID_CONFIG);
    assert_eq!(alter(&mut client, 16, "", "interval.ms", Some("5000")).await, ErrorCode::INVALID_REQUEST);
    let own = described(&mut client, 16, "m").await;
    assert_eq!((own.len(), of(&own, "interval.ms").config_source, of(&own, "metrics").config_source), (3, 7, 5));
    let listed = client.call(0, &ListConfigResourcesRequest::default()).await.config_resources;
    assert_eq!(listed.iter().map(|resource| &*resource.resource_name).collect::<Vec<_>>(), ["m"]);
    let asked = ListConfigResourcesRequest::default().with_resource_types(vec![4, 16]);
    let listed = client.call(1, &asked).await.config_resources;
    let kinds: Vec<_> = listed.iter().map(|resource| (resource.resource_type, &*resource.resource_name)).collect();
    assert_eq!(kinds, [(16, "m"), (4, "1")]);
    assert_eq!(alter(&mut client, 16, "m", "interval.ms", None).await, ErrorCode::NONE);
    assert!(client.call(0, &ListConfigResourcesRequest::default()).await.config_resources.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_transactional_id_is_taken_over_within_bounds() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId("billing".into())))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let first = client.call(5, &request).await;
    assert_eq!((code(first.error_code), first.producer_epoch), (ErrorCode::NONE, 0));
    let second = client.call(5, &request).await;
    assert_eq!((second.producer_id, second.producer_epoch), (first.producer_id, 1), "whoever takes over fences");
    for too in [0, 900_001] {
        let refused = client.call(5, &request.clone().with_transaction_timeout_ms(too)).await;
        assert_eq!(code(refused.error_code), ErrorCode::INVALID_TRANSACTION_TIMEOUT, "{too}");
    }
    node.stop().await;
}
