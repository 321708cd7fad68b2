//! Identifiers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A record's position in its partition, counted from 0. Negative values are Kafka's sentinels.
pub type Offset = i64;

/// The leader epoch of a partition: the term of its Raft group.
pub type LeaderEpoch = i32;

/// The epoch of an idempotent producer (KIP-98).
pub type ProducerEpoch = i16;

/// The id of an idempotent producer (KIP-98); -1 means none.
pub type ProducerId = i64;

/// A node of the cluster: Kafka's broker id, `node.id` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The id as Kafka's protocol writes it.
    pub fn as_kafka(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Raft group. Allotted by the metadata group and never reused, so that a topic deleted and made again cannot see
/// old data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RaftGroupId(pub u64);

impl RaftGroupId {
    /// The Raft group of the cluster's metadata; the first that a cluster has.
    pub const METADATA: Self = Self(0);
}

impl fmt::Display for RaftGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a topic (KIP-516).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// The id that stands for "no topic" on the wire.
    pub const NIL: Self = Self(Uuid::nil());
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of a topic, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
