//! Which member shall have which partitions: pure functions of the members, their subscriptions and what they are to have now.
//!
//! Every partition of a topic that someone subscribes to is given to exactly one subscriber. The same input gives the same output on every node.
//!
//! - `uniform`: evenly over the members whatever the topic, moving as little as possible
//! - `range`: of each topic a run of partitions, the same run for topics of the same size
//! - `near`: where members and nodes say in which racks they are, partitions are exchanged so that members have what has a replica beside them
//! - `dense`: partitions numbered through, so that they fit into vectors

mod dense;
mod near;
mod range;
#[cfg(test)]
mod tests;
mod uneven;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use caudal_types::TopicId;

use super::Partitions;

/// An assignor of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Evenly over the members, moving as little as possible.
    Uniform,
    /// Of each topic a run of partitions.
    Range,
}

impl Assignor {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// What each member shall have, in the order of the members.
    pub(crate) fn assign(self, spec: &Spec<'_>) -> Vec<Partitions> {
        match self {
            _ if spec.members.is_empty() => Vec::new(),
            Self::Uniform if spec.is_even() => uniform::assign(spec),
            Self::Uniform => uneven::assign(spec),
            Self::Range => range::assign(spec),
        }
    }
}

/// What an assignor needs to know.
#[derive(Debug)]
pub(crate) struct Spec<'a> {
    /// The members, by their ids.
    pub(crate) members: Vec<Subscriber<'a>>,
    /// How many partitions each topic has that someone subscribes to.
    pub(crate) topics: BTreeMap<TopicId, i32>,
    /// The racks in which each partition of these topics has replicas. Empty if no member says where it is.
    pub(crate) racks: Racks<'a>,
}

/// The racks of the replicas of partitions, by topic and number.
pub(crate) type Racks<'a> = BTreeMap<TopicId, Vec<BTreeSet<&'a str>>>;

/// A member.
#[derive(Debug)]
pub(crate) struct Subscriber<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// Where it is, if it says so.
    pub(crate) rack: Option<&'a str>,
    /// The topics that it subscribes to; those that do not exist are left out. Members that subscribe alike share the set.
    pub(crate) topics: Arc<BTreeSet<TopicId>>,
    /// What it shall have until now.
    pub(crate) current: &'a Partitions,
}

impl Spec<'_> {
    /// Whether a partition has a replica in a member's rack.
    fn is_near(&self, member: usize, (topic, partition): (TopicId, i32)) -> bool {
        let Some(rack) = self.members[member].rack else { return false };
        let partition = usize::try_from(partition).ok();
        let racks = self.racks.get(&topic).zip(partition).and_then(|(racks, partition)| racks.get(partition));
        racks.is_some_and(|racks| racks.contains(rack))
    }

    /// Whether all members subscribe to the same topics.
    fn is_even(&self) -> bool {
        let Some(first) = self.members.first() else { return true };
        self.members.iter().all(|member| Arc::ptr_eq(&member.topics, &first.topics) || member.topics == first.topics)
    }
}
