//! The requests and responses: those of `kafka-protocol`, which knows the versions of Kafka 4.1, and own codecs for what 4.3 has beyond them.
//!
//! The names here are the ones to use: where a message has an own codec, its name stands for that one ([`OffsetCommitRequest`] is [`offset_commit::Request`]), which
//! dereferences to the generated struct.
//!
//! - [`list_offsets`]: version 11
//! - [`offset_commit`]: version 10, with topic ids (KIP-848)
//! - [`offset_fetch`]: version 10, with topic ids (KIP-848)

pub mod list_offsets;
pub mod offset_commit;
pub mod offset_fetch;

mod compact;

pub use kafka_protocol::messages::*;
pub use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange};
pub use list_offsets::{Request as ListOffsetsRequest, Response as ListOffsetsResponse};
pub use offset_commit::Request as OffsetCommitRequest;
pub use offset_fetch::Request as OffsetFetchRequest;

/// Declares a message that wraps a generated one, for the sake of more versions.
macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident($body:ty), versions $min:literal..=$max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name(pub $body);

        impl std::ops::Deref for $name {
            type Target = $body;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl std::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }

        impl From<$body> for $name {
            fn from(body: $body) -> Self {
                Self(body)
            }
        }

        impl kafka_protocol::protocol::Message for $name {
            const VERSIONS: kafka_protocol::protocol::VersionRange =
                kafka_protocol::protocol::VersionRange { min: $min, max: $max };
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $name {
            fn header_version(version: i16) -> i16 {
                <$body as kafka_protocol::protocol::HeaderVersion>::header_version(version)
            }
        }
    };
}
use wrapper;

/// Codes a wrapped request whose version 10 the generated code does not know, in terms of `decode_v10` and `encode_v10`.
macro_rules! with_version_10 {
    ($name:ident, $key:expr) => {
        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
                if version == 10 { decode_v10(buf).map(Self) } else { Decodable::decode(buf, version).map(Self) }
            }
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> Result<()> {
                if version == 10 { encode_v10(&self.0, buf) } else { self.0.encode(buf, version) }
            }

            fn compute_size(&self, version: i16) -> Result<usize> {
                if version == 10 {
                    compact::measure(|buf| encode_v10(&self.0, buf))
                } else {
                    self.0.compute_size(version)
                }
            }
        }

        impl kafka_protocol::protocol::Request for $name {
            const KEY: i16 = $key;
            type Response = Response;
        }
    };
}
use with_version_10;
