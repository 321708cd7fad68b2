//! WriteTxnMarkers up to version 2, in which each marker says of which version its transaction is (KIP-1228).

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request as KafkaRequest, VersionRange};

use super::{compact, with_equal_version, wrapper};

/// A marker that ends a transaction of a producer in some partitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marker {
    /// What there is in every version.
    pub body: WritableTxnMarker,
    /// The version of the transaction: 2 if each has a producer epoch of its own (KIP-890). 0 before version 2 of the request.
    pub transaction_version: i8,
}

impl From<WritableTxnMarker> for Marker {
    fn from(body: WritableTxnMarker) -> Self {
        Self { body, transaction_version: 0 }
    }
}

/// Ends transactions in partitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The markers to write.
    pub markers: Vec<Marker>,
    /// Fields that this version of Caudal does not know.
    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,
}

wrapper! {
    /// What became of the markers.
    Response(WriteTxnMarkersResponse), versions 1..=2
}

/// The version whose topics those of version 2 equal.
const TOPIC_VERSION: i16 = 1;

with_equal_version!(Response, 2 => 1);

impl Message for Request {
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 2 };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for Request {
    fn header_version(version: i16) -> i16 {
        WriteTxnMarkersRequest::header_version(version)
    }
}

impl KafkaRequest for Request {
    const KEY: i16 = crate::api::key::WRITE_TXN_MARKERS;
    type Response = Response;
}

impl Decodable for Request {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version == 2 {
            let markers = compact::get_array(buf, decode_marker)?;
            return Ok(Self { markers, unknown_tagged_fields: compact::get_tags(buf)? });
        }
        let WriteTxnMarkersRequest { markers, unknown_tagged_fields, .. } = Decodable::decode(buf, version)?;
        Ok(Self { markers: markers.into_iter().map(Marker::from).collect(), unknown_tagged_fields })
    }
}

impl Encodable for Request {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> Result<()> {
        if version != 2 {
            return self.before_version_2().encode(buf, version);
        }
        compact::put_array(buf, Some(&self.markers), encode_marker)?;
        compact::put_tags(buf, &self.unknown_tagged_fields)
    }

    fn compute_size(&self, version: i16) -> Result<usize> {
        if version == 2 {
            compact::measure(|buf| self.encode(buf, version))
        } else {
            self.before_version_2().compute_size(version)
        }
    }
}

impl Request {
    fn before_version_2(&self) -> WriteTxnMarkersRequest {
        WriteTxnMarkersRequest::default()
            .with_markers(self.markers.iter().map(|marker| marker.body.clone()).collect())
            .with_unknown_tagged_fields(self.unknown_tagged_fields.clone())
    }
}

fn decode_marker<B: ByteBuf>(buf: &mut B) -> Result<Marker> {
    let body = WritableTxnMarker::default()
        .with_producer_id(ProducerId(buf.try_get_i64()?))
        .with_producer_epoch(buf.try_get_i16()?)
        .with_transaction_result(buf.try_get_u8()? != 0)
        .with_topics(compact::get_array(buf, |buf| WritableTxnMarkerTopic::decode(buf, TOPIC_VERSION))?)
        .with_coordinator_epoch(buf.try_get_i32()?);
    let transaction_version = buf.try_get_i8()?;
    Ok(Marker { body: body.with_unknown_tagged_fields(compact::get_tags(buf)?), transaction_version })
}

fn encode_marker<B: ByteBufMut>(buf: &mut B, marker: &Marker) -> Result<()> {
    let body = &marker.body;
    buf.put_i64(body.producer_id.0);
    buf.put_i16(body.producer_epoch);
    buf.put_u8(u8::from(body.transaction_result));
    compact::put_array(buf, Some(&body.topics), |buf, topic| topic.encode(buf, TOPIC_VERSION))?;
    buf.put_i32(body.coordinator_epoch);
    buf.put_i8(marker.transaction_version);
    compact::put_tags(buf, &body.unknown_tagged_fields)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::TopicName;

    use super::*;
    use crate::messages::StrBytes;

    fn request(transaction_version: i8) -> Request {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partition_indexes(vec![3]);
        let body = WritableTxnMarker::default()
            .with_producer_id(ProducerId(7))
            .with_producer_epoch(5)
            .with_transaction_result(true)
            .with_topics(vec![topic])
            .with_coordinator_epoch(9);
        Request { markers: vec![Marker { body, transaction_version }], ..Request::default() }
    }

    #[test]
    fn version_2_has_the_bytes_of_kafkas_definition() {
        let mut buf = BytesMut::new();
        request(2).encode(&mut buf, 2).expect("encodes");
        let mut expected = vec![2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 5, 1, 2, 2, b't', 2, 0, 0, 0, 3, 0];
        expected.extend([0, 0, 0, 9, 2, 0, 0]);
        assert_eq!(&buf[..], expected);
        assert_eq!(request(2).compute_size(2).expect("has a size"), expected.len());
        assert_eq!(Request::decode(&mut Bytes::from(expected), 2).expect("decodes"), request(2));
    }

    #[test]
    fn version_1_does_not_say_the_transactions_version() {
        let mut buf = BytesMut::new();
        request(2).encode(&mut buf, 1).expect("encodes");
        assert_eq!(request(2).compute_size(1).expect("has a size"), buf.len());
        assert_eq!(Request::decode(&mut buf.freeze(), 1).expect("decodes"), request(0));
    }
}
