//! Sets of partitions, by topic.

use std::collections::BTreeMap;

use caudal_types::TopicId;

pub(crate) use crate::model::consumer::Partitions;

/// Partitions that a member has, each with the group's epoch in which it was given.
pub(crate) type Held = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// One partition after the other.
pub(crate) fn each(held: &Held) -> impl Iterator<Item = (TopicId, i32)> {
    held.iter().flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
}

/// Whether `held` has the partition.
pub(crate) fn holds(held: &Held, topic: TopicId, partition: i32) -> bool {
    held.get(&topic).is_some_and(|partitions| partitions.contains_key(&partition))
}

/// The partitions without their epochs.
pub(crate) fn without_epochs(held: &Held) -> Partitions {
    held.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}

/// Puts a partition in.
pub(crate) fn put(held: &mut Held, topic: TopicId, partition: i32, epoch: i32) {
    held.entry(topic).or_default().insert(partition, epoch);
}
