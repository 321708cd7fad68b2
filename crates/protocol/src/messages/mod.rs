//! The requests and responses: those of `kafka-protocol`, which knows the versions of Kafka 4.1, and own codecs for what 4.3 has beyond them.
//!
//! The names here are the ones to use: where a message has an own codec, its name stands for that one ([`OffsetCommitRequest`] is [`offset_commit::Request`]), which
//! dereferences to the generated struct.
//!
//! - [`describe_log_dirs`]: version 5, with cordoned directories (KIP-1066)
//! - [`list_offsets`]: version 11
//! - [`offset_commit`]: version 10, with topic ids (KIP-848)
//! - [`offset_fetch`]: version 10, with topic ids (KIP-848)
//! - [`write_txn_markers`]: version 2, with the transactions' version (KIP-1228)

pub mod describe_log_dirs;
pub mod list_offsets;
pub mod offset_commit;
pub mod offset_fetch;
pub mod write_txn_markers;

mod compact;

pub use describe_log_dirs::{Request as DescribeLogDirsRequest, Response as DescribeLogDirsResponse};
pub use kafka_protocol::messages::*;
pub use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange};
pub use list_offsets::{Request as ListOffsetsRequest, Response as ListOffsetsResponse};
pub use offset_commit::Request as OffsetCommitRequest;
pub use offset_fetch::Request as OffsetFetchRequest;
pub use write_txn_markers::{Request as WriteTxnMarkersRequest, Response as WriteTxnMarkersResponse};

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

/// Codes a wrapped message that has the same bytes in a version beyond the generated code's as in the greatest that this knows.
macro_rules! with_equal_version {
    ($name:ident, $version:literal => $generated:literal) => {
        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
                kafka_protocol::protocol::Decodable::decode(buf, if version == $version { $generated } else { version })
                    .map(Self)
            }
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(
                &self,
                buf: &mut B,
                version: i16,
            ) -> anyhow::Result<()> {
                self.0.encode(buf, if version == $version { $generated } else { version })
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                self.0.compute_size(if version == $version { $generated } else { version })
            }
        }
    };
}
use with_equal_version;

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
