//! OffsetFetch up to version 10, which names topics by id instead of by name (KIP-848).

use anyhow::{Result, ensure};
pub use kafka_protocol::messages::OffsetFetchResponse as Response;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};

use super::{compact, with_version_10, wrapper};

wrapper! {
    /// Asks for committed offsets. One group (`group_id`, `topics`) up to version 7, several (`groups`) from version 8 on; these have topic names up
    /// to version 9 and topic ids from version 10 on.
    Request(OffsetFetchRequest), versions 1..=10
}

with_version_10!(Request, crate::api::key::OFFSET_FETCH);

fn decode_v10<B: ByteBuf>(buf: &mut B) -> Result<OffsetFetchRequest> {
    Ok(OffsetFetchRequest::default()
        .with_groups(compact::get_array(buf, decode_group)?)
        .with_require_stable(buf.try_get_u8()? != 0)
        .with_unknown_tagged_fields(compact::get_tags(buf)?))
}

fn decode_group<B: ByteBuf>(buf: &mut B) -> Result<OffsetFetchRequestGroup> {
    Ok(OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(compact::get_string(buf)?))
        .with_member_id(compact::get_nullable_string(buf)?)
        .with_member_epoch(buf.try_get_i32()?)
        .with_topics(compact::get_nullable_array(buf, decode_topic)?)
        .with_unknown_tagged_fields(compact::get_tags(buf)?))
}

fn decode_topic<B: ByteBuf>(buf: &mut B) -> Result<OffsetFetchRequestTopics> {
    Ok(OffsetFetchRequestTopics::default()
        .with_topic_id(compact::get_uuid(buf)?)
        .with_partition_indexes(compact::get_array(buf, |buf| Ok(buf.try_get_i32()?))?)
        .with_unknown_tagged_fields(compact::get_tags(buf)?))
}

fn encode_v10<B: ByteBufMut>(request: &OffsetFetchRequest, buf: &mut B) -> Result<()> {
    ensure!(request.group_id.is_empty(), "the single group does not exist in version 10; use the list of groups");
    compact::put_array(buf, Some(&request.groups), encode_group)?;
    buf.put_u8(u8::from(request.require_stable));
    compact::put_tags(buf, &request.unknown_tagged_fields)
}

fn encode_group<B: ByteBufMut>(buf: &mut B, group: &OffsetFetchRequestGroup) -> Result<()> {
    compact::put_string(buf, Some(&group.group_id))?;
    compact::put_string(buf, group.member_id.as_deref())?;
    buf.put_i32(group.member_epoch);
    compact::put_array(buf, group.topics.as_deref(), encode_topic)?;
    compact::put_tags(buf, &group.unknown_tagged_fields)
}

fn encode_topic<B: ByteBufMut>(buf: &mut B, topic: &OffsetFetchRequestTopics) -> Result<()> {
    buf.put_slice(topic.topic_id.as_bytes());
    compact::put_array(buf, Some(&topic.partition_indexes), |buf, index| {
        buf.put_i32(*index);
        Ok(())
    })?;
    compact::put_tags(buf, &topic.unknown_tagged_fields)
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::protocol::Encodable;
    use uuid::Uuid;

    use super::*;
    use crate::messages::StrBytes;

    fn request() -> Request {
        let topic =
            OffsetFetchRequestTopics::default().with_topic_id(Uuid::from_u128(0x0102)).with_partition_indexes(vec![4]);
        let named = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_member_id(Some(StrBytes::from_static_str("m")))
            .with_member_epoch(9)
            .with_topics(Some(vec![topic]));
        let all =
            OffsetFetchRequestGroup::default().with_group_id(GroupId(StrBytes::from_static_str("h"))).with_topics(None);
        Request(OffsetFetchRequest::default().with_groups(vec![named, all]).with_require_stable(true))
    }

    #[test]
    fn version_10_has_the_bytes_of_kafkas_definition() {
        let mut buf = BytesMut::new();
        request().encode(&mut buf, 10).expect("encodes");
        let mut expected = vec![3, 2, b'g', 2, b'm', 0, 0, 0, 9, 2];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend([2, 0, 0, 0, 4, 0, 0]);
        expected.extend([2, b'h', 0, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        expected.extend([1, 0]);
        assert_eq!(&buf[..], expected);
        assert_eq!(request().compute_size(10).expect("has a size"), expected.len());
        assert_eq!(Request::decode(&mut Bytes::from(expected), 10).expect("decodes"), request());
    }
}
