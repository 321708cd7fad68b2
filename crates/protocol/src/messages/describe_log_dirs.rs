//! DescribeLogDirs up to version 5, whose answer says of each directory whether it is cordoned: takes no more replicas (KIP-1066). Caudal cordons none, so
//! that this is not kept: it is written as false, and skipped when it is read.

use anyhow::Result;
use kafka_protocol::messages::describe_log_dirs_response::{DescribeLogDirsResult, DescribeLogDirsTopic};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, Request as KafkaRequest};

use super::{compact, with_equal_version, wrapper};

wrapper! {
    /// Asks what lies in a node's data directories.
    Request(DescribeLogDirsRequest), versions 1..=5
}

wrapper! {
    /// What lies there.
    Response(DescribeLogDirsResponse), versions 1..=5
}

/// The version whose topics those of version 5 equal.
const TOPIC_VERSION: i16 = 4;

with_equal_version!(Request, 5 => 4);

impl KafkaRequest for Request {
    const KEY: i16 = crate::api::key::DESCRIBE_LOG_DIRS;
    type Response = Response;
}

impl Decodable for Response {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version == 5 { decode_v5(buf).map(Self) } else { Decodable::decode(buf, version).map(Self) }
    }
}

impl Encodable for Response {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> Result<()> {
        if version == 5 { encode_v5(&self.0, buf) } else { self.0.encode(buf, version) }
    }

    fn compute_size(&self, version: i16) -> Result<usize> {
        if version == 5 { compact::measure(|buf| encode_v5(&self.0, buf)) } else { self.0.compute_size(version) }
    }
}

fn decode_v5<B: ByteBuf>(buf: &mut B) -> Result<DescribeLogDirsResponse> {
    Ok(DescribeLogDirsResponse::default()
        .with_throttle_time_ms(buf.try_get_i32()?)
        .with_error_code(buf.try_get_i16()?)
        .with_results(compact::get_array(buf, decode_result)?)
        .with_unknown_tagged_fields(compact::get_tags(buf)?))
}

fn decode_result<B: ByteBuf>(buf: &mut B) -> Result<DescribeLogDirsResult> {
    let result = DescribeLogDirsResult::default()
        .with_error_code(buf.try_get_i16()?)
        .with_log_dir(compact::get_string(buf)?)
        .with_topics(compact::get_array(buf, |buf| DescribeLogDirsTopic::decode(buf, TOPIC_VERSION))?)
        .with_total_bytes(buf.try_get_i64()?)
        .with_usable_bytes(buf.try_get_i64()?);
    let _is_cordoned = buf.try_get_u8()?;
    Ok(result.with_unknown_tagged_fields(compact::get_tags(buf)?))
}

fn encode_v5<B: ByteBufMut>(response: &DescribeLogDirsResponse, buf: &mut B) -> Result<()> {
    buf.put_i32(response.throttle_time_ms);
    buf.put_i16(response.error_code);
    compact::put_array(buf, Some(&response.results), encode_result)?;
    compact::put_tags(buf, &response.unknown_tagged_fields)
}

fn encode_result<B: ByteBufMut>(buf: &mut B, result: &DescribeLogDirsResult) -> Result<()> {
    buf.put_i16(result.error_code);
    compact::put_string(buf, Some(&result.log_dir))?;
    compact::put_array(buf, Some(&result.topics), |buf, topic| topic.encode(buf, TOPIC_VERSION))?;
    buf.put_i64(result.total_bytes);
    buf.put_i64(result.usable_bytes);
    buf.put_u8(0);
    compact::put_tags(buf, &result.unknown_tagged_fields)
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsPartition;

    use super::*;
    use crate::messages::StrBytes;

    #[test]
    fn version_5_has_the_bytes_of_kafkas_definition() {
        let partition = DescribeLogDirsPartition::default().with_partition_index(2).with_partition_size(7);
        let topic = DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![partition]);
        let result = DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_static_str("/d"))
            .with_topics(vec![topic])
            .with_total_bytes(9)
            .with_usable_bytes(8);
        let response = Response(DescribeLogDirsResponse::default().with_results(vec![result]));
        let mut buf = BytesMut::new();
        response.encode(&mut buf, 5).expect("encodes");
        let mut expected = vec![0, 0, 0, 0, 0, 0, 2, 0, 0, 3, b'/', b'd', 2, 2, b't', 2];
        expected.extend([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0]);
        assert_eq!(&buf[..], expected);
        assert_eq!(response.compute_size(5).expect("has a size"), expected.len());
        assert_eq!(Response::decode(&mut Bytes::from(expected), 5).expect("decodes"), response);
    }
}
