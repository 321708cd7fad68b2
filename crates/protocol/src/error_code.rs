//! Kafka's error codes.

/// An error code of Kafka's protocol. Names and numbers are Kafka's (`org.apache.kafka.common.protocol.Errors`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i16);
