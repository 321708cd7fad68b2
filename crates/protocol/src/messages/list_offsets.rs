//! ListOffsets up to version 11, which differs from 10 only in the timestamps that may be asked for (-6: earliest offset pending upload, KIP-1023).

use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::Request as KafkaRequest;

use super::{with_equal_version, wrapper};

wrapper! {
    /// Asks for offsets by timestamp.
    Request(ListOffsetsRequest), versions 1..=11
}

wrapper! {
    /// The offsets found.
    Response(ListOffsetsResponse), versions 1..=11
}

with_equal_version!(Request, 11 => 10);
with_equal_version!(Response, 11 => 10);

impl KafkaRequest for Request {
    const KEY: i16 = crate::api::key::LIST_OFFSETS;
    type Response = Response;
}
