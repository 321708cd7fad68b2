//! Partitions numbered through.

use std::collections::BTreeMap;

use caudal_types::TopicId;

use super::Spec;
use crate::consumer::Partitions;

/// The partitions of all topics, one topic after the other, numbered from 0.
#[derive(Debug)]
pub(super) struct Dense {
    /// Each topic's first number and how many it has.
    topics: BTreeMap<TopicId, (usize, usize)>,
    /// All of them by number.
    all: Vec<(TopicId, i32)>,
}

impl Dense {
    pub(super) fn new(topics: &BTreeMap<TopicId, i32>) -> Self {
        let mut all = Vec::new();
        let mut number = |(topic, count): (&TopicId, &i32)| {
            let first = all.len();
            all.extend((0..*count).map(|partition| (*topic, partition)));
            (*topic, (first, all.len() - first))
        };
        let topics = topics.iter().map(&mut number).collect();
        Self { topics, all }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The partition of a number.
    pub(super) fn partition(&self, number: usize) -> (TopicId, i32) {
        self.all[number]
    }

    /// Each topic with its numbers.
    pub(super) fn topics(&self) -> impl Iterator<Item = (TopicId, std::ops::Range<usize>)> {
        self.topics.iter().map(|(topic, (first, count))| (*topic, *first..first + count))
    }

    /// What each member keeps of what it was to have, before anything is balanced: what exists, what it still subscribes to, and what no member
    /// before it keeps.
    pub(super) fn kept(&self, spec: &Spec<'_>) -> (Vec<Vec<usize>>, Vec<bool>) {
        let mut taken = vec![false; self.len()];
        let mut keep = |member: &super::Subscriber<'_>| {
            let mut kept = Vec::new();
            for (topic, partitions) in member.current.iter().filter(|(topic, _)| member.topics.contains(topic)) {
                let Some((first, count)) = self.topics.get(topic) else { continue };
                let exists = partitions.iter().filter_map(|partition| usize::try_from(*partition).ok());
                for number in exists.filter(|partition| partition < count).map(|partition| first + partition) {
                    if !std::mem::replace(&mut taken[number], true) {
                        kept.push(number);
                    }
                }
            }
            kept
        };
        let kept = spec.members.iter().map(&mut keep).collect();
        (kept, taken)
    }

    /// Numbers as partitions.
    pub(super) fn partitions(&self, numbers: impl IntoIterator<Item = usize>) -> Partitions {
        let mut partitions = Partitions::new();
        for number in numbers {
            let (topic, partition) = self.all[number];
            partitions.entry(topic).or_default().insert(partition);
        }
        partitions
    }
}
