//! OffsetCommit up to version 10, which names topics by id instead of by name (KIP-848).

use anyhow::Result;
pub use kafka_protocol::messages::OffsetCommitResponse as Response;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::{compact, with_version_10, wrapper};

wrapper! {
    /// Commits offsets of a consumer group. Topics have a name up to version 9 and an id from version 10 on; the other one is empty.
    Request(OffsetCommitRequest), versions 2..=10
}

/// The version whose partitions those of version 10 equal.
const PARTITION_VERSION: i16 = 9;

with_version_10!(Request, crate::api::key::OFFSET_COMMIT);

fn decode_v10<B: ByteBuf>(buf: &mut B) -> Result<OffsetCommitRequest> {
    Ok(OffsetCommitRequest::default()
        .with_group_id(GroupId(compact::get_string(buf)?))
        .with_generation_id_or_member_epoch(buf.try_get_i32()?)
        .with_member_id(compact::get_string(buf)?)
        .with_group_instance_id(compact::get_nullable_string(buf)?)
        .with_topics(compact::get_array(buf, decode_topic)?)
        .with_unknown_tagged_fields(compact::get_tags(buf)?))
}

fn decode_topic<B: ByteBuf>(buf: &mut B) -> Result<OffsetCommitRequestTopic> {
    Ok(OffsetCommitRequestTopic::default()
        .with_topic_id(compact::get_uuid(buf)?)
        .with_partitions(compact::get_array(buf, |buf| OffsetCommitRequestPartition::decode(buf, PARTITION_VERSION))?)
        .with_unknown_tagged_fields(compact::get_tags(buf)?))
}

fn encode_v10<B: ByteBufMut>(request: &OffsetCommitRequest, buf: &mut B) -> Result<()> {
    compact::put_string(buf, Some(&request.group_id))?;
    buf.put_i32(request.generation_id_or_member_epoch);
    compact::put_string(buf, Some(&request.member_id))?;
    compact::put_string(buf, request.group_instance_id.as_deref())?;
    compact::put_array(buf, Some(&request.topics), encode_topic)?;
    compact::put_tags(buf, &request.unknown_tagged_fields)
}

fn encode_topic<B: ByteBufMut>(buf: &mut B, topic: &OffsetCommitRequestTopic) -> Result<()> {
    buf.put_slice(topic.topic_id.as_bytes());
    compact::put_array(buf, Some(&topic.partitions), |buf, partition| partition.encode(buf, PARTITION_VERSION))?;
    compact::put_tags(buf, &topic.unknown_tagged_fields)
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use uuid::Uuid;

    use super::*;
    use crate::messages::StrBytes;

    fn request() -> Request {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(2)
            .with_committed_offset(5)
            .with_committed_leader_epoch(3)
            .with_committed_metadata(Some(StrBytes::from_static_str("m")));
        let topic =
            OffsetCommitRequestTopic::default().with_topic_id(Uuid::from_u128(0x0102)).with_partitions(vec![partition]);
        Request(
            OffsetCommitRequest::default()
                .with_group_id(GroupId(StrBytes::from_static_str("g")))
                .with_generation_id_or_member_epoch(7)
                .with_member_id(StrBytes::from_static_str("id"))
                .with_topics(vec![topic]),
        )
    }

    #[test]
    fn version_10_has_the_bytes_of_kafkas_definition() {
        let mut buf = BytesMut::new();
        request().encode(&mut buf, 10).expect("encodes");
        let mut expected = vec![2, b'g', 0, 0, 0, 7, 3, b'i', b'd', 0, 2];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend([2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 2, b'm', 0, 0, 0]);
        assert_eq!(&buf[..], expected);
        assert_eq!(request().compute_size(10).expect("has a size"), expected.len());
        assert_eq!(Request::decode(&mut Bytes::from(expected), 10).expect("decodes"), request());
    }

    #[test]
    fn older_versions_are_the_generated_ones() {
        let mut old = request();
        old.topics[0].topic_id = Uuid::nil();
        old.topics[0].name = StrBytes::from_static_str("t").into();
        let (mut ours, mut generated) = (BytesMut::new(), BytesMut::new());
        old.encode(&mut ours, 9).expect("encodes");
        old.0.encode(&mut generated, 9).expect("encodes");
        assert_eq!(ours, generated);
        assert_eq!(Request::decode(&mut ours.freeze(), 9).expect("decodes"), old);
    }
}
