//! What the fuzz targets and the property tests run: any bytes must come through without a panic, and what is accepted must be coherent.

use std::fmt::Debug;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use crate::api::key;
use crate::batch::{RecordBatch, split, whole_batches};
use crate::frame::{FrameError, RequestFrame};
use crate::messages::*;

/// Reads a frame and its body.
///
/// # Errors
/// What was refused.
///
/// # Panics
/// When a request that was accepted cannot be encoded and read again: a fault of the decoder.
pub fn request(frame: &[u8]) -> Result<(), FrameError> {
    let frame = RequestFrame::parse(Bytes::copy_from_slice(frame))?;
    match frame.api_key {
        key::PRODUCE => round_trip::<ProduceRequest>(&frame),
        key::FETCH => round_trip::<FetchRequest>(&frame),
        key::LIST_OFFSETS => round_trip::<ListOffsetsRequest>(&frame),
        key::METADATA => round_trip::<MetadataRequest>(&frame),
        key::OFFSET_COMMIT => round_trip::<OffsetCommitRequest>(&frame),
        key::OFFSET_FETCH => round_trip::<OffsetFetchRequest>(&frame),
        key::FIND_COORDINATOR => round_trip::<FindCoordinatorRequest>(&frame),
        key::JOIN_GROUP => round_trip::<JoinGroupRequest>(&frame),
        key::HEARTBEAT => round_trip::<HeartbeatRequest>(&frame),
        key::LEAVE_GROUP => round_trip::<LeaveGroupRequest>(&frame),
        key::SYNC_GROUP => round_trip::<SyncGroupRequest>(&frame),
        key::DESCRIBE_GROUPS => round_trip::<DescribeGroupsRequest>(&frame),
        key::LIST_GROUPS => round_trip::<ListGroupsRequest>(&frame),
        key::API_VERSIONS => round_trip::<ApiVersionsRequest>(&frame),
        key::CREATE_TOPICS => round_trip::<CreateTopicsRequest>(&frame),
        key::DELETE_TOPICS => round_trip::<DeleteTopicsRequest>(&frame),
        key::DELETE_RECORDS => round_trip::<DeleteRecordsRequest>(&frame),
        key::INIT_PRODUCER_ID => round_trip::<InitProducerIdRequest>(&frame),
        key::OFFSET_FOR_LEADER_EPOCH => round_trip::<OffsetForLeaderEpochRequest>(&frame),
        key::ADD_PARTITIONS_TO_TXN => round_trip::<AddPartitionsToTxnRequest>(&frame),
        key::ADD_OFFSETS_TO_TXN => round_trip::<AddOffsetsToTxnRequest>(&frame),
        key::END_TXN => round_trip::<EndTxnRequest>(&frame),
        key::WRITE_TXN_MARKERS => round_trip::<WriteTxnMarkersRequest>(&frame),
        key::TXN_OFFSET_COMMIT => round_trip::<TxnOffsetCommitRequest>(&frame),
        key::DESCRIBE_ACLS => round_trip::<DescribeAclsRequest>(&frame),
        key::CREATE_ACLS => round_trip::<CreateAclsRequest>(&frame),
        key::DELETE_ACLS => round_trip::<DeleteAclsRequest>(&frame),
        key::DESCRIBE_CONFIGS => round_trip::<DescribeConfigsRequest>(&frame),
        key::ALTER_CONFIGS => round_trip::<AlterConfigsRequest>(&frame),
        key::ALTER_REPLICA_LOG_DIRS => round_trip::<AlterReplicaLogDirsRequest>(&frame),
        key::DESCRIBE_LOG_DIRS => round_trip::<DescribeLogDirsRequest>(&frame),
        key::CREATE_PARTITIONS => round_trip::<CreatePartitionsRequest>(&frame),
        key::DELETE_GROUPS => round_trip::<DeleteGroupsRequest>(&frame),
        key::ELECT_LEADERS => round_trip::<ElectLeadersRequest>(&frame),
        key::INCREMENTAL_ALTER_CONFIGS => round_trip::<IncrementalAlterConfigsRequest>(&frame),
        key::LIST_PARTITION_REASSIGNMENTS => round_trip::<ListPartitionReassignmentsRequest>(&frame),
        key::OFFSET_DELETE => round_trip::<OffsetDeleteRequest>(&frame),
        key::DESCRIBE_CLIENT_QUOTAS => round_trip::<DescribeClientQuotasRequest>(&frame),
        key::ALTER_CLIENT_QUOTAS => round_trip::<AlterClientQuotasRequest>(&frame),
        key::DESCRIBE_USER_SCRAM_CREDENTIALS => round_trip::<DescribeUserScramCredentialsRequest>(&frame),
        key::DESCRIBE_QUORUM => round_trip::<DescribeQuorumRequest>(&frame),
        key::UPDATE_FEATURES => round_trip::<UpdateFeaturesRequest>(&frame),
        key::DESCRIBE_CLUSTER => round_trip::<DescribeClusterRequest>(&frame),
        key::DESCRIBE_PRODUCERS => round_trip::<DescribeProducersRequest>(&frame),
        key::UNREGISTER_BROKER => round_trip::<UnregisterBrokerRequest>(&frame),
        key::DESCRIBE_TRANSACTIONS => round_trip::<DescribeTransactionsRequest>(&frame),
        key::LIST_TRANSACTIONS => round_trip::<ListTransactionsRequest>(&frame),
        key::CONSUMER_GROUP_HEARTBEAT => round_trip::<ConsumerGroupHeartbeatRequest>(&frame),
        key::CONSUMER_GROUP_DESCRIBE => round_trip::<ConsumerGroupDescribeRequest>(&frame),
        key::GET_TELEMETRY_SUBSCRIPTIONS => round_trip::<GetTelemetrySubscriptionsRequest>(&frame),
        key::PUSH_TELEMETRY => round_trip::<PushTelemetryRequest>(&frame),
        key::LIST_CONFIG_RESOURCES => round_trip::<ListConfigResourcesRequest>(&frame),
        key::DESCRIBE_TOPIC_PARTITIONS => round_trip::<DescribeTopicPartitionsRequest>(&frame),
        other => panic!("API {other} is served, but not fuzzed"),
    }
}

fn round_trip<R: Decodable + Encodable + PartialEq + Debug>(frame: &RequestFrame) -> Result<(), FrameError> {
    let request: R = frame.decode()?;
    let mut body = BytesMut::new();
    request.encode(&mut body, frame.api_version).expect("what was decoded can be encoded");
    assert_eq!(request.compute_size(frame.api_version).expect("it has a size"), body.len());
    let again = RequestFrame { body: body.freeze(), ..frame.clone() };
    assert_eq!(again.decode::<R>().as_ref(), Ok(&request));
    Ok(())
}

/// The bytes with the length and the checksum that a batch of them would have.
pub fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    crate::batch::sealed(bytes)
}

/// Reads a record batch and its records.
///
/// # Panics
/// When the views of accepted bytes contradict each other.
pub fn batch(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let whole: usize = whole_batches(&bytes).iter().map(Bytes::len).sum();
    assert!(whole <= bytes.len());
    assert_eq!(split(&bytes).is_ok(), whole == bytes.len());
    let unchecked = RecordBatch::from_trusted(bytes.clone());
    let _ = (unchecked.last_sequence(), unchecked.patched(1, 1), unchecked.with_log_append_time(1));
    let _ = unchecked.for_each_record(&mut |_| ControlFlow::Continue(()));

    let Ok(batch) = RecordBatch::parse(bytes.clone()) else { return };
    assert_eq!(split(&bytes).expect("one batch").len(), 1);
    assert_eq!(batch.record_count(), batch.last_offset_delta() + 1);
    let mut records = 0;
    let read = batch.for_each_record(&mut |record| {
        assert_eq!(record.offset_delta, records);
        records += 1;
        ControlFlow::Continue(())
    });
    assert!(read.is_err() || records == batch.record_count());
    let stamped = batch.with_log_append_time(77);
    assert_eq!(RecordBatch::parse(stamped.bytes().clone()), Ok(stamped));
}
