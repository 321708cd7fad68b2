//! ListOffsets up to version 11, which differs from 10 only in the timestamps that may be asked for (-6: earliest offset pending upload, KIP-1023).

use anyhow::Result;
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, Request as KafkaRequest};

use super::wrapper;

/// The greatest version that the generated messages know.
const GENERATED_MAX: i16 = 10;

wrapper! {
    /// Asks for offsets by timestamp.
    Request(ListOffsetsRequest), versions 1..=11
}

wrapper! {
    /// The offsets found.
    Response(ListOffsetsResponse), versions 1..=11
}

fn generated(version: i16) -> i16 {
    if version == 11 { GENERATED_MAX } else { version }
}

macro_rules! delegate {
    ($name:ident) => {
        impl Decodable for $name {
            fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
                Decodable::decode(buf, generated(version)).map(Self)
            }
        }

        impl Encodable for $name {
            fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> Result<()> {
                self.0.encode(buf, generated(version))
            }

            fn compute_size(&self, version: i16) -> Result<usize> {
                self.0.compute_size(generated(version))
            }
        }
    };
}

delegate!(Request);
delegate!(Response);

impl KafkaRequest for Request {
    const KEY: i16 = crate::api::key::LIST_OFFSETS;
    type Response = Response;
}
