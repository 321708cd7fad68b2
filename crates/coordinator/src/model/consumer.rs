//! Requests and answers of the consumer protocol (KIP-848).

use std::collections::{BTreeMap, BTreeSet};

use caudal_types::TopicId;

/// Partitions by topic.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// ConsumerGroupHeartbeat. What is `None` has not changed since the last one.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    /// The group.
    pub group_id: String,
    /// The member's id; it makes one up itself. Empty at the first heartbeat of version 0.
    pub member_id: String,
    /// The member's epoch: 0 to join, -1 to leave, -2 when a static member goes for a while.
    pub member_epoch: i32,
    /// The static member's id.
    pub instance_id: Option<String>,
    /// Where the member is.
    pub rack_id: Option<String>,
    /// How long the member may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: Option<i32>,
    /// The topics that it subscribes to by name.
    pub topic_names: Option<Vec<String>>,
    /// The topics that it subscribes to by a regular expression; empty for none.
    pub topic_regex: Option<String>,
    /// The assignor that it wishes for.
    pub assignor: Option<String>,
    /// The partitions that it has.
    pub owned: Option<Partitions>,
    /// The client's id, from the request header.
    pub client_id: String,
    /// The client's address, such as `/127.0.0.1`.
    pub client_host: String,
}

impl Heartbeat {
    /// Whether it says all that can be said: such a member may have missed answers.
    pub(crate) fn is_full(&self) -> bool {
        self.rebalance_timeout_ms.is_some()
            && (self.topic_names.is_some() || self.topic_regex.is_some())
            && self.owned.is_some()
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// The member's id.
    pub member_id: String,
    /// The member's epoch from now on.
    pub member_epoch: i32,
    /// When the member shall show itself again, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// All that the member shall have now, if that is news.
    pub assignment: Option<Partitions>,
}

/// A consumer group, described.
#[derive(Clone, Debug)]
pub struct DescribedConsumerGroup {
    /// The group.
    pub group_id: String,
    /// The state, in Kafka's words: `Empty`, `Assigning`, `Reconciling`, `Stable`.
    pub state: &'static str,
    /// The group's epoch.
    pub epoch: i32,
    /// The epoch that the targets are of.
    pub assignment_epoch: i32,
    /// The assignor.
    pub assignor: &'static str,
    /// The members.
    pub members: Vec<DescribedConsumer>,
}

/// A member of a consumer group, described.
#[derive(Clone, Debug)]
pub struct DescribedConsumer {
    /// Its id.
    pub member_id: String,
    /// Its static id.
    pub instance_id: Option<String>,
    /// Where it is.
    pub rack_id: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// Its client's id.
    pub client_id: String,
    /// Its client's address.
    pub client_host: String,
    /// The topics that it subscribes to by name.
    pub topic_names: Vec<String>,
    /// The regular expression that it subscribes to.
    pub topic_regex: Option<String>,
    /// What it has, with what it has not given up yet.
    pub assignment: Partitions,
    /// What it shall have.
    pub target: Partitions,
    /// It speaks the classic protocol.
    pub is_classic: bool,
}
