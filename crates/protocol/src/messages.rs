//! The requests and responses: those of `kafka-protocol`.

pub use kafka_protocol::messages::*;
