//! Records in and out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::{BatchBuilder, Codec, Record};
use caudal_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use caudal_protocol::messages::fetch_request::{FetchRequest, ForgottenTopic};
use caudal_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use caudal_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use caudal_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use caudal_protocol::messages::{BrokerId, DeleteRecordsRequest, ListOffsetsRequest, ProducerId};

use crate::harness::{Client, TestNode, batch, code, fetch_request, produce_request, record, topic, values};

#[tokio::test]
async fn records_come_back_as_they_were_sent() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = BatchBuilder::new().codec(codec).build(&[record("a"), record("b")]).unwrap();
        let part = client.produce("t", 1, batch.bytes().clone()).await;
        assert_eq!((code(part.error_code), part.base_offset), (ErrorCode::NONE, 2 * codec as i64), "{codec:?}");
    }
    let data = client.fetch("t", 1, 0).await;
    assert_eq!((data.high_watermark, data.last_stable_offset, data.log_start_offset), (10, 10, 0));
    let expected: Vec<_> = (0..10).map(|i| (i, if i % 2 == 0 { "a" } else { "b" }.to_owned())).collect();
    assert_eq!(values(&data), expected);

    // An offset within a batch gives the whole batch: the client skips what it has.
    assert_eq!(values(&client.fetch("t", 1, 3).await)[0].0, 2);
    assert_eq!(values(&client.fetch("t", 1, 10).await), []);
    assert_eq!(code(client.fetch("t", 1, 11).await.error_code), ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(code(client.fetch("t", 0, 0).await.error_code), ErrorCode::NONE);

    let stats = node.broker.stats();
    let (_, produced, fetched) = stats.topics.iter().find(|(name, ..)| name == "t").unwrap();
    assert!(*produced > 0 && fetched > produced, "{stats:?}");
    assert_eq!(stats.apis.iter().find(|api| api.name == "Produce").unwrap().requests, 5);
    assert_eq!(stats.apis.iter().find(|api| api.name == "Fetch").unwrap().errors, 1);
    node.stop().await;
}

#[tokio::test]
async fn bad_batches_are_refused_with_kafkas_codes() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let good = batch(&["a"]);
    let flipped = |at: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = value;
        Bytes::from(bytes)
    };
    let last = good.len() - 1;
    let large = batch(&[&"x".repeat(1_100_000)]);
    let two = Bytes::from([&good[..], &good[..]].concat());
    let refused = [
        (flipped(last, good[last] ^ 1), ErrorCode::CORRUPT_MESSAGE),
        (good.slice(..last), ErrorCode::CORRUPT_MESSAGE),
        (good.slice(..20), ErrorCode::CORRUPT_MESSAGE),
        (flipped(16, 1), ErrorCode::INVALID_RECORD),
        (flipped(16, 0), ErrorCode::INVALID_RECORD),
        (two, ErrorCode::INVALID_RECORD),
        (Bytes::new(), ErrorCode::INVALID_RECORD),
        (large, ErrorCode::MESSAGE_TOO_LARGE),
    ];
    for (bytes, expected) in refused {
        let part = client.produce("t", 0, bytes).await;
        assert_eq!((code(part.error_code), part.base_offset), (expected, -1));
        assert!(part.error_message.is_some_and(|text| !text.is_empty()));
    }
    for (name, partition) in [("t", 1), ("t", -1), ("missing", 0)] {
        let part = client.produce(name, partition, good.clone()).await;
        assert_eq!(code(part.error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let response = client.call(11, &produce_request("t", 0, 2, good.clone())).await;
    assert_eq!(code(response.responses[0].partition_responses[0].error_code), ErrorCode::INVALID_REQUIRED_ACKS);
    assert_eq!(client.produce("t", 0, good).await.base_offset, 0, "nothing of all that was appended");
    node.stop().await;
}

#[tokio::test]
async fn the_records_at_fault_are_named() {
    let node = TestNode::start().await;
    let mut client = node.with_topic_as("t", 1, &[("cleanup.policy", "compact")]).await;
    let keyed = Record { key: Some(Bytes::from_static(b"k")), ..record("a") };
    let mixed = BatchBuilder::new().build(&[keyed.clone(), record("b"), keyed.clone(), record("c")]).unwrap();
    let part = client.produce("t", 0, mixed.bytes().clone()).await;
    assert_eq!((code(part.error_code), part.base_offset), (ErrorCode::INVALID_RECORD, -1));
    assert_eq!(part.record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1, 3]);
    let text = part.record_errors[0].batch_index_error_message.as_deref();
    assert!(text.is_some_and(|text| text.contains("key")), "{text:?}");

    let early = Record { timestamp: i64::MAX, ..keyed.clone() };
    let batch = BatchBuilder::new().build(&[keyed.clone(), early]).unwrap();
    let part = client.produce("t", 0, batch.bytes().clone()).await;
    assert_eq!(code(part.error_code), ErrorCode::INVALID_TIMESTAMP);
    assert_eq!(part.record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1]);

    let good = BatchBuilder::new().build(&[keyed]).unwrap();
    assert_eq!(client.produce("t", 0, good.bytes().clone()).await.base_offset, 0, "nothing of the others was appended");
    node.stop().await;
}

#[tokio::test]
async fn an_idempotent_producer_is_appended_once_and_in_order() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let fresh = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let first = client.call(4, &fresh).await;
    let again = client.call(4, &fresh.clone().with_producer_id(first.producer_id).with_producer_epoch(0)).await;
    assert_eq!((first.error_code, first.producer_epoch), (0, 0));
    assert_ne!(first.producer_id, again.producer_id);

    let id = first.producer_id.0;
    let sent = |epoch, sequence| BatchBuilder::new().producer(id, epoch, sequence).build(&[record("a")]).unwrap();
    let mut offsets = Vec::new();
    for sequence in [0, 1, 1, 0, 2] {
        let part = client.produce("t", 0, sent(0, sequence).bytes().clone()).await;
        assert_eq!(code(part.error_code), ErrorCode::NONE);
        offsets.push(part.base_offset);
    }
    assert_eq!(offsets, [0, 1, 1, 0, 2]);
    let gap = client.produce("t", 0, sent(0, 9).bytes().clone()).await;
    assert_eq!(code(gap.error_code), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(client.produce("t", 0, sent(1, 0).bytes().clone()).await.base_offset, 3);
    let fenced = client.produce("t", 0, sent(0, 3).bytes().clone()).await;
    assert_eq!(code(fenced.error_code), ErrorCode::INVALID_PRODUCER_EPOCH);
    node.stop().await;
}

#[tokio::test]
async fn pipelined_batches_are_appended_and_answered_in_order() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let mut ids = Vec::new();
    for i in 0..50 {
        ids.push(client.send(11, &produce_request("t", 0, -1, batch(&[&i.to_string()]))).await);
    }
    for (offset, id) in (0_i64..).zip(ids) {
        let response = client.receive::<caudal_protocol::messages::ProduceRequest>(11, id).await;
        assert_eq!(response.responses[0].partition_responses[0].base_offset, offset);
    }
    let got: Vec<String> = values(&client.fetch("t", 0, 0).await).into_iter().map(|(_, value)| value).collect();
    assert_eq!(got, (0..50).map(|i| i.to_string()).collect::<Vec<_>>());
    node.stop().await;
}

#[tokio::test]
async fn acks_0_gets_no_answer_and_an_error_closes_the_connection() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    client.send(11, &produce_request("t", 0, 0, batch(&["a"]))).await;
    client.send(11, &produce_request("t", 0, 0, batch(&["b"]))).await;
    // The answer that comes is the one to the next request.
    assert_eq!(client.produce("t", 0, batch(&["c"])).await.base_offset, 2);
    client.send(11, &produce_request("missing", 0, 0, batch(&["d"]))).await;
    assert!(client.frame().await.is_none());
    node.stop().await;
}

#[tokio::test]
async fn topics_are_named_by_id_in_the_newest_versions() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let id = client.topic_id("t").await;
    let mut request = produce_request("", 0, -1, batch(&["a"]));
    request.topic_data[0].topic_id = id;
    let response = client.call(13, &request).await;
    assert_eq!((response.responses[0].topic_id, response.responses[0].partition_responses[0].error_code), (id, 0));
    request.topic_data[0].topic_id = uuid::Uuid::from_u128(1);
    let response = client.call(13, &request).await;
    assert_eq!(code(response.responses[0].partition_responses[0].error_code), ErrorCode::UNKNOWN_TOPIC_ID);

    let mut request = fetch_request("", 0, 0);
    request.topics[0].topic_id = id;
    let response = client.call(18, &request).await;
    assert_eq!(response.responses[0].topic_id, id);
    assert_eq!(values(&response.responses[0].partitions[0]), [(0, "a".to_owned())]);
    request.topics[0].topic_id = uuid::Uuid::from_u128(1);
    let response = client.call(18, &request).await;
    assert_eq!(code(response.responses[0].partitions[0].error_code), ErrorCode::UNKNOWN_TOPIC_ID);
    node.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_record() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 3).await;
    let mut producer = node.connect().await;
    let mut request = fetch_request("t", 0, 0).with_max_wait_ms(30_000);
    let template = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..3).map(|i| template.clone().with_partition(i)).collect();
    let started = Instant::now();
    let id = client.send(12, &request).await;
    assert_eq!(producer.produce("t", 2, batch(&["late"])).await.error_code, 0);
    let response = client.receive::<FetchRequest>(12, id).await;
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(values(&response.responses[0].partitions[2]), [(0, "late".to_owned())]);

    // Nothing new: the client's time passes.
    let quiet = fetch_request("t", 2, 1).with_max_wait_ms(50);
    let started = Instant::now();
    let response = client.call(12, &quiet).await;
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert_eq!(values(&response.responses[0].partitions[0]), []);
    node.stop().await;
}

#[tokio::test]
async fn a_session_answers_only_what_changed() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    let mut open = fetch_request("t", 0, 0).with_session_epoch(0);
    let template = open.topics[0].partitions[0].clone();
    open.topics[0].partitions.push(template.with_partition(1));
    let opened = client.call(12, &open).await;
    assert_ne!(opened.session_id, 0);
    assert_eq!(opened.responses[0].partitions.len(), 2);

    client.produce("t", 1, batch(&["a"])).await;
    let next = |epoch| {
        let request = fetch_request("t", 0, 0).with_session_id(opened.session_id).with_session_epoch(epoch);
        request.with_topics(vec![])
    };
    let changed = client.call(12, &next(1)).await;
    assert_eq!(changed.session_id, opened.session_id);
    assert_eq!(changed.responses[0].partitions.len(), 1);
    assert_eq!(values(&changed.responses[0].partitions[0]), [(0, "a".to_owned())]);

    let forgotten = ForgottenTopic::default().with_topic(topic("t")).with_partitions(vec![1]);
    let quiet = client.call(12, &next(2).with_forgotten_topics_data(vec![forgotten])).await;
    assert!(quiet.responses.is_empty());
    assert_eq!(code(client.call(12, &next(2)).await.error_code), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let lost = next(3).with_session_id(opened.session_id + 1);
    assert_eq!(code(client.call(12, &lost).await.error_code), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    node.stop().await;
}

#[tokio::test]
async fn leader_epochs_are_checked_and_told() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    let epoch = list_offsets(&mut client, 10, -1).await.2;
    assert!(epoch >= 0);
    let id = client.topic_id("t").await;
    let fetched_in = |client_epoch: i32| {
        let mut request = fetch_request("", 0, 0);
        request.topics[0].topic_id = id;
        request.topics[0].partitions[0].current_leader_epoch = client_epoch;
        request
    };
    for (client_epoch, expected) in [
        (epoch, ErrorCode::NONE),
        (epoch - 1, ErrorCode::FENCED_LEADER_EPOCH),
        (epoch + 1, ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        let response = client.call(16, &fetched_in(client_epoch)).await;
        let part = &response.responses[0].partitions[0];
        assert_eq!(code(part.error_code), expected);
        let hinted = expected == ErrorCode::FENCED_LEADER_EPOCH;
        assert_eq!(part.current_leader.leader_epoch == epoch, hinted);
        assert_eq!(response.node_endpoints.len(), usize::from(hinted));
    }

    let asked = OffsetForLeaderPartition::default().with_current_leader_epoch(epoch).with_leader_epoch(epoch);
    let asked = OffsetForLeaderTopic::default().with_topic(topic("t")).with_partitions(vec![asked]);
    let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
    let response = client.call(4, &request).await;
    let part = &response.topics[0].partitions[0];
    assert_eq!((part.error_code, part.leader_epoch, part.end_offset), (0, epoch, 2));
    node.stop().await;
}

/// The code, offset and epoch that a timestamp finds in partition 0 of `t`.
async fn list_offsets(client: &mut Client, version: i16, timestamp: i64) -> (ErrorCode, i64, i32) {
    let asked = ListOffsetsPartition::default().with_timestamp(timestamp);
    let asked = ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![asked]);
    let mut request = ListOffsetsRequest::default();
    request.replica_id = BrokerId(-1);
    request.topics = vec![asked];
    let response = client.call(version, &request).await;
    let part = &response.topics[0].partitions[0];
    (code(part.error_code), part.offset, part.leader_epoch)
}

#[tokio::test]
async fn offsets_are_found_by_time_and_by_special_times() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    for (timestamp, value) in [(1000, "a"), (3000, "b"), (2000, "c")] {
        let record = Record { timestamp, ..record(value) };
        client.produce("t", 0, BatchBuilder::new().build(&[record]).unwrap().bytes().clone()).await;
    }
    let none = ErrorCode::NONE;
    for (version, timestamp, expected) in [
        (1, -1, (none, 3)),
        (1, -2, (none, 0)),
        (7, -3, (none, 1)),
        (6, -3, (ErrorCode::UNSUPPORTED_VERSION, -1)),
        (8, -4, (none, 0)),
        (9, -5, (none, -1)),
        (11, -6, (none, -1)),
        (10, -6, (ErrorCode::UNSUPPORTED_VERSION, -1)),
        (1, 0, (none, 0)),
        (1, 1001, (none, 1)),
        (1, 3001, (none, -1)),
    ] {
        let (code, offset, _) = list_offsets(&mut client, version, timestamp).await;
        assert_eq!((code, offset), expected, "timestamp {timestamp} in version {version}");
    }
    node.stop().await;
}

/// In Kafka the time-out bounds the wait for other replicas only: one of zero deletes what the leader has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_deleted_whatever_the_time_out() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    client.produce("t", 0, batch(&["a", "b", "c"])).await;
    for (offset, expected) in [(2, 2), (-1, 3)] {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let named = DeleteRecordsTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![named]).with_timeout_ms(0);
        let deleted = client.call(2, &request).await;
        let result = &deleted.topics[0].partitions[0];
        assert_eq!((code(result.error_code), result.low_watermark), (ErrorCode::NONE, expected));
    }
    node.stop().await;
}
