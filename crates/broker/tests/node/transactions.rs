//! Transactions: what clients of either version may do, and the codes they are refused with.

use caudal_protocol::ErrorCode;
use caudal_protocol::batch::BatchBuilder;
use caudal_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use caudal_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use caudal_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use caudal_protocol::messages::write_txn_markers::Marker;
use caudal_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use caudal_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, GroupId, ProducerId,
    TransactionalId, TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};

use crate::harness::{Client, PATIENCE, TestNode, code, produce_request, record, topic};

/// A transactional producer.
#[derive(Clone, Copy)]
struct Producer {
    id: &'static str,
    producer_id: ProducerId,
    epoch: i16,
}

impl Producer {
    fn id(self) -> TransactionalId {
        TransactionalId(self.id.into())
    }

    /// One that was taken over by another one: it is an epoch behind.
    async fn fenced(client: &mut Client, id: &'static str) -> Self {
        let old = init(client, id).await;
        let new = init(client, id).await;
        assert_eq!((new.producer_id, new.epoch), (old.producer_id, old.epoch + 1));
        old
    }

    /// One that nobody knows.
    fn unknown() -> Self {
        Self { id: "unknown", producer_id: ProducerId(7), epoch: 0 }
    }

    fn init_again(self) -> InitProducerIdRequest {
        init_request(self.id, 60_000).with_producer_id(self.producer_id).with_producer_epoch(self.epoch)
    }
}

fn init_request(id: &'static str, timeout_ms: i32) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(id.into())))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

async fn init(client: &mut Client, id: &'static str) -> Producer {
    init_for(client, id, 60_000).await
}

async fn init_for(client: &mut Client, id: &'static str, timeout_ms: i32) -> Producer {
    let response = client.call(4, &init_request(id, timeout_ms)).await;
    assert_eq!(code(response.error_code), ErrorCode::NONE);
    Producer { id, producer_id: response.producer_id, epoch: response.producer_epoch }
}

/// As clients add partitions (versions up to 3).
async fn add_partition(client: &mut Client, version: i16, producer: Producer, partition: i32) -> ErrorCode {
    let added = AddPartitionsToTxnTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(producer.id())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(vec![added]);
    let response = client.call(version, &request).await;
    code(response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
}

/// As brokers look for partitions (from version 4 on).
async fn verify(
    client: &mut Client,
    version: i16,
    producer: Producer,
    name: &str,
    partitions: &[i32],
) -> Vec<ErrorCode> {
    let asked = |name: &str, partitions: &[i32]| {
        AddPartitionsToTxnTopic::default().with_name(topic(name)).with_partitions(partitions.to_vec())
    };
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(producer.id())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.epoch)
        .with_verify_only(true)
        .with_topics(vec![asked("t", &[0]), asked(name, partitions)]);
    let request = AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]);
    let response = client.call(version, &request).await;
    let topics = &response.results_by_transaction[0].topic_results;
    topics.iter().flat_map(|topic| &topic.results_by_partition).map(|part| code(part.partition_error_code)).collect()
}

async fn produce(client: &mut Client, version: i16, producer: Producer, partition: i32, sequence: i32) -> ErrorCode {
    let batch = BatchBuilder::new().producer(producer.producer_id.0, producer.epoch, sequence).transactional();
    let batch = batch.build(&[record("a")]).unwrap().bytes().clone();
    let request = produce_request("t", partition, -1, batch).with_transactional_id(Some(producer.id()));
    let response = client.call(version, &request).await;
    code(response.responses[0].partition_responses[0].error_code)
}

async fn add_offsets(client: &mut Client, version: i16, producer: Producer) -> ErrorCode {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(producer.id())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.epoch)
        .with_group_id(GroupId("g".into()));
    code(client.call(version, &request).await.error_code)
}

async fn commit_offset(client: &mut Client, version: i16, producer: Producer) -> ErrorCode {
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(5);
    let offsets = TxnOffsetCommitRequestTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(producer.id())
        .with_group_id(GroupId("g".into()))
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.epoch)
        .with_generation_id(-1)
        .with_group_instance_id(None)
        .with_topics(vec![offsets]);
    let response = client.call(version, &request).await;
    code(response.topics[0].partitions[0].error_code)
}

async fn end(client: &mut Client, version: i16, producer: Producer, commit: bool) -> ErrorCode {
    let request = EndTxnRequest::default()
        .with_transactional_id(producer.id())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.epoch)
        .with_committed(commit);
    code(client.call(version, &request).await.error_code)
}

async fn describe(client: &mut Client, id: &'static str) -> (ErrorCode, String) {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(id.into())]);
    let described = client.call(0, &request).await.transaction_states[0].clone();
    (code(described.error_code), described.transaction_state.to_string())
}

async fn until_state_is(client: &mut Client, id: &'static str, expected: &str) {
    let polled = async {
        while describe(client, id).await.1 != expected {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.expect("the transaction gets there in time");
}

#[tokio::test]
async fn a_producer_of_version_1_writes_only_where_it_has_added_partitions() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    let me = init(&mut client, "v1").await;
    assert_eq!(produce(&mut client, 11, me, 0, 0).await, ErrorCode::TRANSACTION_ABORTABLE, "there is none");
    assert_eq!(produce(&mut client, 10, me, 0, 0).await, ErrorCode::INVALID_TXN_STATE, "older clients know this one");
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::NONE);
    assert_eq!(produce(&mut client, 11, me, 0, 0).await, ErrorCode::NONE);
    for (version, expected) in
        [(11, ErrorCode::TRANSACTION_ABORTABLE), (10, ErrorCode::INVALID_TXN_STATE), (3, ErrorCode::INVALID_TXN_STATE)]
    {
        assert_eq!(produce(&mut client, version, me, 1, 0).await, expected, "Produce version {version}");
    }
    assert_eq!(end(&mut client, 4, me, true).await, ErrorCode::NONE);
    until_state_is(&mut client, "v1", "CompleteCommit").await;
    assert_eq!(produce(&mut client, 11, me, 0, 1).await, ErrorCode::TRANSACTION_ABORTABLE, "what comes late");

    // With version 2 writing is joining.
    let me = init(&mut client, "v2").await;
    assert_eq!(produce(&mut client, 12, me, 1, 0).await, ErrorCode::NONE);
    assert_eq!(end(&mut client, 5, me, true).await, ErrorCode::NONE);
    assert_eq!(produce(&mut client, 12, Producer::unknown(), 1, 0).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    node.stop().await;
}

#[tokio::test]
async fn a_producer_of_version_1_commits_offsets_only_where_it_has_added_the_group() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let me = init(&mut client, "v1").await;
    for (version, expected) in [(3, ErrorCode::INVALID_TXN_STATE), (4, ErrorCode::TRANSACTION_ABORTABLE)] {
        assert_eq!(commit_offset(&mut client, version, me).await, expected, "TxnOffsetCommit version {version}");
    }
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::NONE);
    assert_eq!(commit_offset(&mut client, 4, me).await, ErrorCode::TRANSACTION_ABORTABLE, "a partition is no group");
    assert_eq!(add_offsets(&mut client, 4, me).await, ErrorCode::NONE);
    for version in [3, 4] {
        assert_eq!(commit_offset(&mut client, version, me).await, ErrorCode::NONE);
    }
    let me = init(&mut client, "v2").await;
    assert_eq!(commit_offset(&mut client, 5, me).await, ErrorCode::NONE, "with version 2 committing is joining");
    node.stop().await;
}

#[tokio::test]
async fn partitions_are_looked_for_each_for_itself() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 2).await;
    let me = init(&mut client, "v1").await;
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::NONE);
    for version in [4, 5] {
        let found = verify(&mut client, version, me, "t", &[1]).await;
        assert_eq!(found, [ErrorCode::NONE, ErrorCode::TRANSACTION_ABORTABLE]);
        let found = verify(&mut client, version, me, "missing", &[0]).await;
        assert_eq!(found, [ErrorCode::OPERATION_NOT_ATTEMPTED, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
        let stranger = Producer { producer_id: ProducerId(me.producer_id.0 + 1), ..me };
        let found = verify(&mut client, version, stranger, "t", &[1]).await;
        assert_eq!(found, [ErrorCode::INVALID_PRODUCER_ID_MAPPING; 2]);
        let later = Producer { epoch: me.epoch + 1, ..me };
        assert_eq!(verify(&mut client, version, later, "t", &[1]).await, [ErrorCode::PRODUCER_FENCED; 2]);
    }
    assert_eq!(produce(&mut client, 11, me, 1, 0).await, ErrorCode::TRANSACTION_ABORTABLE, "looking adds none");
    node.stop().await;
}

#[tokio::test]
async fn a_transaction_ends_once_and_only_where_there_is_one() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    assert_eq!(describe(&mut client, "nobody").await.0, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
    for version in [0, 4, 5] {
        let unknown = Producer::unknown();
        assert_eq!(end(&mut client, version, unknown, true).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        let nameless = Producer { id: "", ..unknown };
        assert_eq!(end(&mut client, version, nameless, true).await, ErrorCode::INVALID_REQUEST);
    }
    let unknown = Producer::unknown();
    assert_eq!(add_partition(&mut client, 3, unknown, 0).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(add_offsets(&mut client, 4, unknown).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);

    let me = init(&mut client, "v1").await;
    for (version, commit) in [(0, true), (4, true), (4, false), (5, true)] {
        assert_eq!(end(&mut client, version, me, commit).await, ErrorCode::INVALID_TXN_STATE, "there is none");
    }
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::NONE);
    assert_eq!(describe(&mut client, "v1").await, (ErrorCode::NONE, "Ongoing".to_owned()));
    assert_eq!(end(&mut client, 4, me, false).await, ErrorCode::NONE);
    until_state_is(&mut client, "v1", "CompleteAbort").await;
    assert_eq!(end(&mut client, 4, me, false).await, ErrorCode::NONE, "asked again");
    assert_eq!(end(&mut client, 4, me, true).await, ErrorCode::INVALID_TXN_STATE, "it was aborted");
    node.stop().await;
}

#[tokio::test]
async fn who_is_fenced_is_told_in_words_that_the_version_knows() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let old = Producer::fenced(&mut client, "taken-over").await;
    let (before, now) = (ErrorCode::INVALID_PRODUCER_EPOCH, ErrorCode::PRODUCER_FENCED);
    for (version, expected) in [(1, before), (2, now), (4, now), (5, now)] {
        assert_eq!(end(&mut client, version, old, true).await, expected, "EndTxn version {version}");
    }
    for (version, expected) in [(1, before), (2, now), (3, now)] {
        assert_eq!(add_partition(&mut client, version, old, 0).await, expected, "AddPartitionsToTxn version {version}");
    }
    for (version, expected) in [(1, before), (2, now), (4, now)] {
        assert_eq!(add_offsets(&mut client, version, old).await, expected, "AddOffsetsToTxn version {version}");
    }
    for (version, expected) in [(3, before), (4, now)] {
        let response = client.call(version, &old.init_again()).await;
        assert_eq!(code(response.error_code), expected, "InitProducerId version {version}");
    }
    // These never say PRODUCER_FENCED.
    for version in [10, 11, 12] {
        assert_eq!(produce(&mut client, version, old, 0, 0).await, before, "Produce version {version}");
    }
    for version in [3, 4, 5] {
        assert_eq!(commit_offset(&mut client, version, old).await, before, "TxnOffsetCommit version {version}");
    }
    node.stop().await;
}

#[tokio::test]
async fn who_takes_over_waits_for_what_goes_on_to_be_aborted() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let old = init(&mut client, "taken-over").await;
    assert_eq!(add_partition(&mut client, 3, old, 0).await, ErrorCode::NONE);
    let taking_over = client.call(4, &init_request("taken-over", 60_000)).await;
    assert_eq!(code(taking_over.error_code), ErrorCode::CONCURRENT_TRANSACTIONS);
    assert_eq!(end(&mut client, 4, old, true).await, ErrorCode::PRODUCER_FENCED);
    until_state_is(&mut client, "taken-over", "CompleteAbort").await;
    let new = init(&mut client, "taken-over").await;
    assert_eq!((new.producer_id, new.epoch), (old.producer_id, 2));
    node.stop().await;
}

/// There is no newer producer, and Kafka 4.3 answers all of this the same.
#[tokio::test]
async fn behind_its_time_out_a_producer_of_version_1_goes_on_by_init_alone() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let me = init_for(&mut client, "slow", 1000).await;
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::NONE);
    until_state_is(&mut client, "slow", "CompleteAbort").await;
    assert_eq!(end(&mut client, 4, me, true).await, ErrorCode::PRODUCER_FENCED);
    assert_eq!(end(&mut client, 1, me, true).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::PRODUCER_FENCED);
    assert_eq!(add_offsets(&mut client, 4, me).await, ErrorCode::PRODUCER_FENCED);
    assert_eq!(produce(&mut client, 11, me, 0, 0).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(commit_offset(&mut client, 4, me).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    for asked in ["once", "again"] {
        let response = client.call(4, &me.init_again()).await;
        let got = (code(response.error_code), response.producer_id, response.producer_epoch);
        assert_eq!(got, (ErrorCode::NONE, me.producer_id, 1), "{asked}");
    }
    let me = Producer { epoch: 1, ..me };
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::NONE);
    assert_eq!(produce(&mut client, 11, me, 0, 0).await, ErrorCode::NONE);
    node.stop().await;
}

async fn mark(client: &mut Client, producer: Producer, transaction_version: i8, name: &str) -> ErrorCode {
    let ended = WritableTxnMarkerTopic::default().with_name(topic(name)).with_partition_indexes(vec![0]);
    let body = WritableTxnMarker::default()
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.epoch)
        .with_transaction_result(false)
        .with_topics(vec![ended]);
    let request = WriteTxnMarkersRequest {
        markers: vec![Marker { body, transaction_version }],
        ..WriteTxnMarkersRequest::default()
    };
    let response = client.call(2, &request).await;
    code(response.markers[0].topics[0].partitions[0].error_code)
}

#[tokio::test]
async fn a_marker_ends_a_transaction_by_force_unless_its_epoch_is_old() {
    let node = TestNode::start().await;
    let mut client = node.with_topic("t", 1).await;
    let old = Producer::fenced(&mut client, "hangs").await;
    let me = Producer { epoch: old.epoch + 1, ..old };
    assert_eq!(add_partition(&mut client, 3, me, 0).await, ErrorCode::NONE);
    assert_eq!(produce(&mut client, 11, me, 0, 0).await, ErrorCode::NONE);
    assert_eq!(client.fetch("t", 0, 0).await.last_stable_offset, 0);

    assert_eq!(mark(&mut client, old, 1, "t").await, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(mark(&mut client, me, 2, "t").await, ErrorCode::INVALID_PRODUCER_EPOCH, "the transaction's own epoch");
    assert_eq!(mark(&mut client, me, 1, "missing").await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(client.fetch("t", 0, 0).await.last_stable_offset, 0, "nothing has ended it");

    assert_eq!(mark(&mut client, me, 1, "t").await, ErrorCode::NONE);
    let data = client.fetch("t", 0, 0).await;
    assert_eq!((data.last_stable_offset, data.high_watermark), (2, 2));
    assert_eq!(mark(&mut client, me, 1, "t").await, ErrorCode::NONE, "there is nothing to end any more");
    assert_eq!(mark(&mut client, old, 1, "t").await, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(mark(&mut client, Producer::unknown(), 1, "t").await, ErrorCode::NONE);
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 2);
    node.stop().await;
}
