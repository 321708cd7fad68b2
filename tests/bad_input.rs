//! What no good client sends: each gets Kafka's own answer, and nothing else is harmed.

use std::process::Command;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use caudal_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use caudal_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, FetchRequest, FetchResponse,
    GroupId, HeartbeatRequest, HeartbeatResponse, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest,
    MetadataResponse,
};
use caudal_tests::cluster::binary;
use caudal_tests::raw::{Raw, batch, name, sequenced};
use caudal_tests::{Cluster, until};
use kafka_protocol::protocol::StrBytes;

const TOPIC: &str = "bad-input";

fn node(set: &[&str]) -> Cluster {
    let cluster = Cluster::start(1, set);
    cluster.must(&["topic", "create", TOPIC, "--partitions", "1"]);
    cluster
}

fn still_serves(cluster: &Cluster) {
    let (code, _) = Raw::connect(cluster.bootstrap()).produce(TOPIC, batch(b"after"));
    assert_eq!(code, 0, "the node serves others as before");
}

/// A batch with one byte changed.
fn damaged(batch: &Bytes, at: usize) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    bytes[at] ^= 0x55;
    bytes.freeze()
}

#[test]
fn frames_that_are_none_close_their_connection_only() {
    let cluster = node(&["socket.request.max.bytes=100000"]);
    let mut too_long = Raw::connect(cluster.bootstrap());
    too_long.send_bytes(&100_001_u32.to_be_bytes());
    assert!(too_long.is_closed(), "a frame longer than socket.request.max.bytes");

    let mut negative = Raw::connect(cluster.bootstrap());
    negative.send_bytes(&(-5_i32).to_be_bytes());
    assert!(negative.is_closed(), "a negative length");

    let mut garbage = Raw::connect(cluster.bootstrap());
    garbage.send_bytes(b"GET / HTTP/1.1\r\nHost: caudal\r\n\r\n");
    assert!(garbage.is_closed(), "another protocol");

    let mut truncated = Raw::connect(cluster.bootstrap());
    truncated.send_bytes(&[0, 0, 0, 10, 0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff]);
    assert!(truncated.is_closed(), "a request that ends too soon");

    until(Duration::from_secs(5), "the log lines", || cluster.log(1).matches("closing the connection").count() >= 4);
    still_serves(&cluster);
}

#[test]
fn unknown_apis_and_versions() {
    let cluster = node(&[]);
    let mut unknown = Raw::connect(cluster.bootstrap());
    unknown.send_bytes(&[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    assert!(unknown.is_closed(), "an unknown API");

    let mut old = Raw::connect(cluster.bootstrap());
    old.send_bytes(&[0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff]);
    assert!(old.is_closed(), "Produce version 2 is advertised for old clients' sake, and refused");

    // KIP-511: a client of the future learns what is served from a version 0 answer.
    let mut future = Raw::connect(cluster.bootstrap());
    let mut frame = BytesMut::new();
    frame.put_slice(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0]);
    future.send_bytes(&frame);
    let mut answer = future.receive().expect("an answer");
    assert_eq!(&answer.split_to(4)[..], [0, 0, 0, 7]);
    let answer: ApiVersionsResponse = kafka_protocol::protocol::Decodable::decode(&mut answer, 0).expect("version 0");
    assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION.code());
    let versions = answer.api_keys.iter().find(|api| api.api_key == 18).expect("ApiVersions itself is listed");
    assert_eq!((versions.min_version, versions.max_version), (0, 4));

    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("what a name!"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let answer: ApiVersionsResponse = Raw::connect(cluster.bootstrap()).call(18, 3, false, &request);
    assert_eq!(answer.error_code, ErrorCode::INVALID_REQUEST.code(), "a software name of other characters");
    still_serves(&cluster);
}

#[test]
fn batches_that_are_damaged_old_or_too_large() {
    let cluster = node(&[]);
    let set = ["topic", "create", "small", "--partitions", "1", "--config", "max.message.bytes=200"];
    cluster.must(&set);
    let mut raw = Raw::connect(cluster.bootstrap());
    let good = batch(b"a value of some length");

    let corrupt = ErrorCode::CORRUPT_MESSAGE.code();
    assert_eq!(raw.produce(TOPIC, damaged(&good, good.len() - 3)).0, corrupt, "a byte of a record");
    assert_eq!(raw.produce(TOPIC, damaged(&good, 18)).0, corrupt, "the checksum");
    assert_eq!(raw.produce(TOPIC, good.slice(..good.len() - 4)).0, corrupt, "the end is missing");
    assert_eq!(raw.produce(TOPIC, good.slice(..20)).0, corrupt, "most is missing");

    let invalid = ErrorCode::INVALID_RECORD.code();
    for magic in [0, 1] {
        let mut old = BytesMut::from(&good[..]);
        old[16] = magic;
        assert_eq!(raw.produce(TOPIC, old.freeze()).0, invalid, "magic {magic}");
    }
    let two: Bytes = [&good[..], &good[..]].concat().into();
    assert_eq!(raw.produce(TOPIC, two).0, invalid, "two batches for one partition");

    let large = batch(Box::leak(vec![7; 300].into_boxed_slice()));
    assert_eq!(raw.produce("small", large).0, ErrorCode::MESSAGE_TOO_LARGE.code());
    assert_eq!(raw.produce("nowhere-to-be-found", good.clone()).0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.code());
    assert_eq!(raw.produce(TOPIC, good), (0, 0), "nothing of all this took an offset");
}

#[test]
fn records_of_compacted_topics_need_keys() {
    let cluster = node(&[]);
    let set = ["topic", "create", "compacted", "--partitions", "1", "--config", "cleanup.policy=compact"];
    cluster.must(&set);
    let (code, _) = Raw::connect(cluster.bootstrap()).produce("compacted", batch(b"no key"));
    assert_eq!(code, ErrorCode::INVALID_RECORD.code());
}

#[test]
fn sequences_of_idempotent_producers() {
    let cluster = node(&[]);
    let mut raw = Raw::connect(cluster.bootstrap());
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let answer: InitProducerIdResponse = raw.call(22, 4, true, &request);
    assert_eq!(answer.error_code, 0);
    let producer = answer.producer_id.0;

    for sequence in 0..6 {
        assert_eq!(raw.produce(TOPIC, sequenced(producer, 0, sequence)), (0, i64::from(sequence)));
    }
    for sequence in 1..6 {
        let again = raw.produce(TOPIC, sequenced(producer, 0, sequence));
        assert_eq!(again, (0, i64::from(sequence)), "the last five batches are known by their offsets");
    }
    let forgotten = raw.produce(TOPIC, sequenced(producer, 0, 0)).0;
    assert_eq!(forgotten, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER.code(), "older than the last five");
    let gap = raw.produce(TOPIC, sequenced(producer, 0, 9)).0;
    assert_eq!(gap, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER.code());

    assert_eq!(raw.produce(TOPIC, sequenced(producer, 1, 0)), (0, 6), "a new epoch begins at 0");
    let fenced = raw.produce(TOPIC, sequenced(producer, 0, 6)).0;
    assert_eq!(fenced, ErrorCode::INVALID_PRODUCER_EPOCH.code());
    let skipped = raw.produce(TOPIC, sequenced(producer, 2, 5)).0;
    assert_eq!(skipped, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER.code(), "a new epoch of a known producer begins at 0");
    assert_eq!(raw.produce(TOPIC, sequenced(987_654, 3, 42)), (0, 7), "an unknown producer may begin anywhere");
}

#[test]
fn fetches_of_what_is_not_there() {
    let cluster = node(&[]);
    let mut raw = Raw::connect(cluster.bootstrap());
    assert_eq!(raw.produce(TOPIC, batch(b"one")), (0, 0));
    let fetch = |topic: &str, partition: i32, offset: i64| {
        let part = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1000);
        let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![part]);
        FetchRequest::default().with_max_wait_ms(0).with_max_bytes(1000).with_session_epoch(-1).with_topics(vec![topic])
    };
    let code = |answer: FetchResponse| answer.responses[0].partitions[0].error_code;
    assert_eq!(code(raw.call(1, 11, false, &fetch(TOPIC, 0, 99))), ErrorCode::OFFSET_OUT_OF_RANGE.code());
    assert_eq!(code(raw.call(1, 11, false, &fetch(TOPIC, 0, -7))), ErrorCode::OFFSET_OUT_OF_RANGE.code());
    assert_eq!(code(raw.call(1, 11, false, &fetch(TOPIC, 5, 0))), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.code());
    assert_eq!(code(raw.call(1, 11, false, &fetch("nowhere", 0, 0))), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.code());

    let mut by_id = fetch(TOPIC, 0, 0);
    by_id.topics[0].topic_id = "7c4c4e36-1a6b-4b8e-9a55-0d3a7f6a1111".parse().expect("a UUID");
    by_id.topics[0].topic = name("");
    let answer: FetchResponse = raw.call(1, 13, true, &by_id);
    let id_code = answer.responses.first().map_or(answer.error_code, |topic| topic.partitions[0].error_code);
    assert_eq!(id_code, ErrorCode::UNKNOWN_TOPIC_ID.code());

    let request = MetadataRequest::default().with_topics(Some(vec![])).with_allow_auto_topic_creation(false);
    let answer: MetadataResponse = raw.call(3, 12, true, &request);
    assert!(answer.topics.is_empty() && answer.brokers.len() == 1);
}

#[test]
fn topics_that_cannot_be() {
    let cluster = Cluster::start(3, &[]);
    let mut raw = Raw::connect(cluster.bootstrap());
    let topic = |topic: &str, partitions: i32, replicas: i16| {
        CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
    };
    let with = |key: &'static str, value: &'static str| {
        let config = CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(key))
            .with_value(Some(StrBytes::from_static_str(value)));
        topic("configured", 1, 1).with_configs(vec![config])
    };
    let long = "x".repeat(250);
    let cases = [
        (topic("no spaces", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, "no spaces"),
        (topic("", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, "empty"),
        (topic("..", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, ".."),
        (topic(&long, 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, "249"),
        (topic("none", 0, 1), ErrorCode::INVALID_PARTITIONS, "0"),
        (topic("negative", -3, 1), ErrorCode::INVALID_PARTITIONS, "-3"),
        (topic("many", 2_000_000, 1), ErrorCode::INVALID_PARTITIONS, "2000000"),
        (topic("copies", 1, 4), ErrorCode::INVALID_REPLICATION_FACTOR, "3"),
        (topic("zero", 1, 0), ErrorCode::INVALID_REPLICATION_FACTOR, "0"),
        (with("no.such.key", "1"), ErrorCode::INVALID_CONFIG, "no.such.key"),
        (with("segment.bytes", "many"), ErrorCode::INVALID_CONFIG, "many"),
        (with("cleanup.policy", "burn"), ErrorCode::INVALID_CONFIG, "burn"),
    ];
    for (wish, code, text) in cases {
        let request = CreateTopicsRequest::default().with_topics(vec![wish]).with_timeout_ms(10_000);
        let answer: CreateTopicsResponse = raw.call(19, 7, true, &request);
        let result = &answer.topics[0];
        let message = result.error_message.as_ref().map(StrBytes::as_str).unwrap_or_default();
        assert_eq!(result.error_code, code.code(), "{}: {message}", result.name.0);
        assert!(message.contains(text), "'{message}' names '{text}'");
    }
    let twice = vec![topic("twice", 1, 1), topic("twice", 2, 1)];
    let request = CreateTopicsRequest::default().with_topics(twice).with_timeout_ms(10_000);
    let answer: CreateTopicsResponse = raw.call(19, 7, true, &request);
    assert!(answer.topics.iter().all(|topic| topic.error_code == ErrorCode::INVALID_REQUEST.code()));
}

#[test]
fn members_that_are_unknown() {
    let cluster = node(&[]);
    let mut raw = Raw::connect(cluster.bootstrap());
    let request = HeartbeatRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("nobody")))
        .with_generation_id(1)
        .with_member_id(StrBytes::from_static_str("none"));
    let answer: HeartbeatResponse = raw.call(12, 3, false, &request);
    assert_eq!(answer.error_code, ErrorCode::UNKNOWN_MEMBER_ID.code());
}

#[test]
fn more_connections_than_allowed() {
    let cluster = node(&["max.connections=5"]);
    let held: Vec<_> = (0..5).map(|_| Raw::connect(cluster.bootstrap())).collect();
    until(Duration::from_secs(10), "a connection too many to be closed", || {
        Raw::connect(cluster.bootstrap()).is_closed()
    });
    drop(held);
    until(Duration::from_secs(10), "room for connections", || {
        let output = cluster.caudal(&["topic", "list"]);
        output.status.success()
    });
}

#[test]
fn directories_and_files_of_others() {
    let cluster = node(&[]);
    cluster.signal(1, "TERM");
    let folder = cluster.node_dir(1);
    let file = folder.join("caudal.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    until(Duration::from_secs(20), "the node to end", || {
        !std::path::Path::new(&format!("/proc/{}", pid(&cluster))).is_dir()
    });

    let start = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let output = Command::new(binary()).args(["start", "--config"]).arg(&file).output().expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ok, said) = start(&format!("no.such.key = 1\n{config}"));
    assert!(!ok && said.contains("no.such.key"), "an unknown key: {said}");

    let other = config.replace("node.id = 1", "node.id = 2").replace("\"1@", "\"2@").replace(",1@", ",2@");
    assert_ne!(other, config);
    let (ok, said) = start(&other);
    assert!(!ok && said.contains("node"), "another node's data: {said}");
}

fn pid(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.node_dir(1).join("pid")).unwrap_or_default().trim().to_owned()
}
