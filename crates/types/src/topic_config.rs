//! The topic configuration keys.

use std::collections::BTreeMap;

/// Whose clock stamps records (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The leader's, when it takes the batch.
    LogAppendTime,
}

/// A topic's settings as the partitions use them: the topic's own values over the cluster's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `max.message.bytes`: the largest record batch.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` holds `compact`: records must have keys.
    pub compact: bool,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
}

impl TopicConfig {
    /// The settings of a topic that has `overrides`, in a cluster whose node-level settings are `defaults` (by Kafka's broker names,
    /// such as `log.segment.bytes`). Values that do not parse are taken as absent: they were validated when they were set.
    pub fn resolve(_overrides: &BTreeMap<String, String>, _defaults: &BTreeMap<String, String>) -> Self {
        todo!()
    }
}
