//! Which member shall have which partitions: pure functions of the members, their subscriptions and what they are to have now.
//!
//! Every partition of a topic that someone subscribes to is given to exactly one subscriber. The same input gives the same output on every node.
//!
//! - `uniform`: evenly over the members whatever the topic, moving as little as possible
//! - `range`: of each topic a run of partitions, the same run for topics of the same size
//! - `dense`: partitions numbered through, so that they fit into vectors

mod dense;
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
}

/// A member.
#[derive(Debug)]
pub(crate) struct Subscriber<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// The topics that it subscribes to; those that do not exist are left out. Members that subscribe alike share the set.
    pub(crate) topics: Arc<BTreeSet<TopicId>>,
    /// What it shall have until now.
    pub(crate) current: &'a Partitions,
}

impl Spec<'_> {
    /// Whether all members subscribe to the same topics.
    fn is_even(&self) -> bool {
        let Some(first) = self.members.first() else { return true };
        self.members.iter().all(|member| Arc::ptr_eq(&member.topics, &first.topics) || member.topics == first.topics)
    }
}
