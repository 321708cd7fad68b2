//! Why a wish was refused. Each variant has one Kafka error code (mapped in `caudal-broker`), and its text says what is wrong and what to do.

use std::fmt::Debug;

/// Why the controller refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// INVALID_TOPIC_EXCEPTION.
    #[error("{0}")]
    InvalidTopic(String),
    /// TOPIC_ALREADY_EXISTS.
    #[error("{0}")]
    TopicExists(String),
    /// UNKNOWN_TOPIC_OR_PARTITION.
    #[error("{0}")]
    UnknownTopic(String),
    /// UNKNOWN_TOPIC_ID.
    #[error("{0}")]
    UnknownTopicId(String),
    /// INVALID_PARTITIONS.
    #[error("{0}")]
    InvalidPartitions(String),
    /// INVALID_REPLICATION_FACTOR.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// INVALID_REPLICA_ASSIGNMENT.
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// INVALID_CONFIG.
    #[error("{0}")]
    InvalidConfig(String),
    /// INVALID_REQUEST.
    #[error("{0}")]
    InvalidRequest(String),
    /// THROTTLING_QUOTA_EXCEEDED: the client has used up what it may (KIP-599).
    #[error("{0}")]
    Throttled(String),
    /// REQUEST_TIMED_OUT: the wish may yet come true.
    #[error("{0}")]
    TimedOut(String),
    /// NOT_CONTROLLER: no controller could be reached; nothing was done.
    #[error("{0}")]
    NoController(String),
}
