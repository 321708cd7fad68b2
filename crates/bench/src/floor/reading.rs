//! What a consumer asks for. Every partition has no end: it is the first batch that it was sent, again and again, from memory.
//!
//! So no file is read and nothing is looked up: what a client reads so in a second, no broker can exceed on this machine.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, FindCoordinatorResponse, JoinGroupRequest, JoinGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::answer::UNKNOWN_TOPIC_OR_PARTITION;
use super::topics::{self, Partition, Topics};

const MEMBER: StrBytes = StrBytes::from_static_str("the-only-member");
const NOT_COMMITTED: i64 = -1;

pub(super) fn fetch(topics: &Topics, request: &FetchRequest) -> FetchResponse {
    let mut left = at_most(request.max_bytes);
    let responses = request.topics.iter().map(|topic| {
        let known = topics.partitions(&topic.topic);
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = PartitionData::default().with_partition_index(asked.partition);
            match topics::partition(known.as_ref(), asked.partition) {
                Some(partition) => {
                    let records = read(partition, asked.fetch_offset, left.min(at_most(asked.partition_max_bytes)));
                    left = left.saturating_sub(records.len());
                    let end = i64::MAX;
                    answer.with_high_watermark(end).with_last_stable_offset(end).with_records(Some(records))
                }
                None => answer.with_error_code(UNKNOWN_TOPIC_OR_PARTITION),
            }
        });
        FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
    });
    let responses = responses.collect();
    if left == at_most(request.max_bytes) {
        // Nothing was ever written: who asked would only ask again.
        std::thread::sleep(Duration::from_millis(request.max_wait_ms.max(0).unsigned_abs().into()));
    }
    FetchResponse::default().with_responses(responses)
}

fn at_most(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

/// The partition's batch, as often as there is room for, and once at least unless there is no room at all.
fn read(partition: &Partition, mut offset: i64, room: usize) -> Bytes {
    let Some(sample) = partition.sample.get().filter(|_| room > 0) else { return Bytes::new() };
    let mut records = BytesMut::with_capacity(room.max(sample.len()));
    loop {
        // The checksum does not cover the offset.
        records.put_i64(offset);
        records.put_slice(&sample[8..]);
        offset += topics::records(sample);
        if records.len() + sample.len() > room {
            return records.freeze();
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_its_first_batch_again_and_again() {
        let mut batch = vec![7; 61];
        batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
        batch[57..61].copy_from_slice(&3_i32.to_be_bytes());
        let partition = Partition::default();
        assert!(read(&partition, 5, 1000).is_empty());
        partition.append(&[batch.clone(), vec![1; 500]].concat());
        let read = |room| read(&partition, 5, room);
        assert_eq!(read(150).len(), 2 * 61);
        assert_eq!(read(150)[61..69], 8_i64.to_be_bytes());
        assert_eq!((read(1).len(), read(0).len()), (61, 0));
        assert_eq!(read(61)[8..], batch[8..]);
    }
}
