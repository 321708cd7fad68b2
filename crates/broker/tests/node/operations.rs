//! What operators' tools ask for: log directories, elections, the quorum, features, access control lists.

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use caudal_protocol::messages::create_acls_request::{AclCreation, CreateAclsRequest};
use caudal_protocol::messages::delete_acls_request::{DeleteAclsFilter, DeleteAclsRequest};
use caudal_protocol::messages::describe_acls_request::DescribeAclsRequest;
use caudal_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use caudal_protocol::messages::describe_quorum_request::{DescribeQuorumRequest, PartitionData, TopicData};
use caudal_protocol::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use caudal_protocol::messages::elect_leaders_response::ElectLeadersResponse;
use caudal_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use caudal_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use caudal_protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use caudal_protocol::messages::{BrokerId, DescribeLogDirsRequest};

use crate::harness::{Client, TestNode, batch, code, topic};
use crate::versions::{NAMES, each};

fn folder() -> String {
    std::env::temp_dir().to_string_lossy().into_owned()
}

fn log_dirs_of(name: &str, partitions: &[i32]) -> DescribeLogDirsRequest {
    let topic = DescribableLogDirTopic::default().with_topic(topic(name)).with_partitions(partitions.to_vec());
    let mut request = DescribeLogDirsRequest::default();
    request.topics = Some(vec![topic]);
    request
}

fn all_log_dirs() -> DescribeLogDirsRequest {
    let mut request = DescribeLogDirsRequest::default();
    request.topics = None;
    request
}

fn moved(folder: &str, name: &str, partitions: &[i32]) -> AlterReplicaLogDirsRequest {
    let topic = AlterReplicaLogDirTopic::default().with_name(topic(name)).with_partitions(partitions.to_vec());
    let dir = AlterReplicaLogDir::default().with_path(folder.to_owned().into()).with_topics(vec![topic]);
    AlterReplicaLogDirsRequest::default().with_dirs(vec![dir])
}

fn election(kind: i8, topics: Option<&[(&str, i32)]>) -> ElectLeadersRequest {
    let named =
        |(name, index): &(&str, i32)| TopicPartitions::default().with_topic(topic(name)).with_partitions(vec![*index]);
    let topics = topics.map(|topics| topics.iter().map(named).collect());
    ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(topics).with_timeout_ms(5000)
}

fn quorum_of(name: &str, index: i32) -> DescribeQuorumRequest {
    let partition = PartitionData::default().with_partition_index(index);
    let topic = TopicData::default().with_topic_name(topic(name)).with_partitions(vec![partition]);
    DescribeQuorumRequest::default().with_topics(vec![topic])
}

fn feature(name: &'static str, level: i16) -> UpdateFeaturesRequest {
    let update = FeatureUpdateKey::default().with_feature(name.into()).with_max_version_level(level);
    UpdateFeaturesRequest::default().with_feature_updates(vec![update])
}

/// Asks each of these APIs in every version.
pub(crate) async fn in_every_version(client: &mut Client, asked: &mut Vec<i16>) {
    each::<DescribeLogDirsRequest>(client, asked, |_| vec![all_log_dirs(), log_dirs_of("t", &[0, 99])]).await;
    each::<AlterReplicaLogDirsRequest>(client, asked, |_| {
        vec![moved(&folder(), "t", &[0, 99]), moved("/nowhere", "t", &[0])]
    })
    .await;
    each::<ListPartitionReassignmentsRequest>(client, asked, |_| {
        vec![ListPartitionReassignmentsRequest::default().with_topics(None)]
    })
    .await;
    each::<ElectLeadersRequest>(client, asked, |version| {
        let kinds = if version >= 1 { vec![0, 1, 9] } else { vec![0] };
        let named = [(NAMES[0], 0), (NAMES[1], 0)];
        kinds.into_iter().flat_map(|kind| [election(kind, None), election(kind, Some(&named))]).collect()
    })
    .await;
    each::<DescribeQuorumRequest>(client, asked, |_| vec![quorum_of("__cluster_metadata", 0), quorum_of("t", 0)]).await;
    each::<UpdateFeaturesRequest>(client, asked, |_| {
        vec![feature("transaction.version", 2), feature("transaction.version", 1)]
    })
    .await;
    each::<UnregisterBrokerRequest>(client, asked, |_| {
        [1, 9].map(|node| UnregisterBrokerRequest::default().with_broker_id(BrokerId(node))).into()
    })
    .await;
    each::<DescribeAclsRequest>(client, asked, |_| vec![DescribeAclsRequest::default()]).await;
    each::<CreateAclsRequest>(client, asked, |_| {
        vec![CreateAclsRequest::default().with_creations(vec![AclCreation::default(); 2])]
    })
    .await;
    each::<DeleteAclsRequest>(client, asked, |_| {
        vec![DeleteAclsRequest::default().with_filters(vec![DeleteAclsFilter::default(); 2])]
    })
    .await;
}

#[tokio::test]
async fn log_directories_tell_what_lies_in_them() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    client.produce("t", 1, batch(&["a", "b"])).await;
    let all = client.call(4, &all_log_dirs()).await;
    let [dir] = &all.results[..] else { panic!("one directory: {all:?}") };
    assert_eq!((dir.log_dir.to_string(), code(dir.error_code)), (folder(), ErrorCode::NONE));
    assert!(0 < dir.usable_bytes && dir.usable_bytes <= dir.total_bytes);
    let sizes: Vec<_> = dir.topics[0].partitions.iter().map(|p| (p.partition_index, p.partition_size)).collect();
    let [(0, 0), (1, size)] = sizes[..] else { panic!("{sizes:?}") };
    assert!(size > i64::try_from(batch(&["a", "b"]).len()).unwrap());
    let some = client.call(5, &log_dirs_of("t", &[1, 9])).await;
    let found: Vec<_> = some.results[0].topics[0].partitions.iter().map(|p| p.partition_index).collect();
    assert_eq!(found, [1]);
    assert!(client.call(1, &log_dirs_of("missing", &[0])).await.results[0].topics.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn replicas_stay_in_the_one_directory() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let here = client.call(2, &moved(&folder(), "t", &[0, 9])).await;
    let codes: Vec<_> = here.results[0].partitions.iter().map(|p| code(p.error_code)).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::REPLICA_NOT_AVAILABLE]);
    let away = client.call(1, &moved("/nowhere", "t", &[0])).await;
    assert_eq!(code(away.results[0].partitions[0].error_code), ErrorCode::LOG_DIR_NOT_FOUND);
    node.stop().await;
}

#[tokio::test]
async fn what_is_led_as_preferred_needs_no_election() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    assert!(client.call(2, &election(0, None)).await.replica_election_results.is_empty());
    let codes = |answer: &ElectLeadersResponse| -> Vec<ErrorCode> {
        answer.replica_election_results.iter().map(|topic| code(topic.partition_result[0].error_code)).collect()
    };
    let asked = [("t", 1), ("u", 0)];
    let expected = [ErrorCode::ELECTION_NOT_NEEDED, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
    assert_eq!(codes(&client.call(0, &election(0, Some(&asked))).await), expected);
    assert_eq!(codes(&client.call(2, &election(1, Some(&asked))).await), expected);
    assert_eq!(code(client.call(2, &election(2, None)).await.error_code), ErrorCode::INVALID_REQUEST);
    node.stop().await;
}

#[tokio::test]
async fn the_quorum_of_the_metadata_is_described() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let described = client.call(2, &quorum_of("__cluster_metadata", 0)).await;
    let partition = &described.topics[0].partitions[0];
    assert_eq!((code(partition.error_code), partition.leader_id.0), (ErrorCode::NONE, 1));
    let [voter] = &partition.current_voters[..] else { panic!("one voter: {partition:?}") };
    assert_eq!(voter.log_end_offset, partition.high_watermark);
    assert!(voter.log_end_offset > 1 && voter.last_caught_up_timestamp > 0);
    let listener = &described.nodes[0].listeners[0];
    assert_eq!((&*listener.host, listener.port), ("localhost", 9092));
    let other = client.call(2, &quorum_of("t", 0)).await;
    assert_eq!(code(other.topics[0].partitions[0].error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    node.stop().await;
}

#[tokio::test]
async fn what_there_is_not_is_refused_with_a_reason() {
    let node = TestNode::start().await;
    let mut client = node.connect().await;
    let kept = client.call(1, &feature("metadata.version", 30)).await;
    assert_eq!((kept.error_code, kept.results[0].error_code), (0, 0));
    let refused = client.call(2, &feature("metadata.version", 29)).await;
    assert_eq!(code(refused.error_code), ErrorCode::INVALID_UPDATE_VERSION);
    assert!(refused.error_message.unwrap().contains("30 is in force"));
    let unregistered = async |node, client: &mut Client| {
        client.call(0, &UnregisterBrokerRequest::default().with_broker_id(BrokerId(node))).await
    };
    assert_eq!(code(unregistered(9, &mut client).await.error_code), ErrorCode::BROKER_ID_NOT_REGISTERED);
    assert_eq!(code(unregistered(1, &mut client).await.error_code), ErrorCode::INVALID_REQUEST);
    let acls = client.call(3, &DescribeAclsRequest::default()).await;
    assert_eq!(code(acls.error_code), ErrorCode::SECURITY_DISABLED);
    let created = CreateAclsRequest::default().with_creations(vec![AclCreation::default(); 2]);
    let created = client.call(3, &created).await.results;
    assert!(created.len() == 2 && created.iter().all(|result| code(result.error_code) == ErrorCode::SECURITY_DISABLED));
    let deleted = DeleteAclsRequest::default().with_filters(vec![DeleteAclsFilter::default()]);
    let deleted = client.call(3, &deleted).await.filter_results;
    assert_eq!(code(deleted[0].error_code), ErrorCode::SECURITY_DISABLED);
    let reassigned = client.call(0, &ListPartitionReassignmentsRequest::default().with_topics(None)).await;
    assert!(reassigned.topics.is_empty() && reassigned.error_code == 0);
    node.stop().await;
}
