//! What the tests of this crate share.

mod batches;
mod replica;

pub(crate) use batches::BatchSpec;
pub(crate) use replica::{Entry, Replica, dump};

use caudal_types::topic_config::{TimestampType, TopicConfig};

/// Kafka's defaults.
pub(crate) fn topic_config() -> TopicConfig {
    TopicConfig {
        max_message_bytes: 1_048_588,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compact: false,
        segment_bytes: 1 << 30,
        segment_ms: 604_800_000,
        min_insync_replicas: 1,
    }
}
