//! Of each topic a run of partitions for each subscriber. Topics with as many partitions and the same subscribers are divided alike, so that a
//! member has the same partitions of all of them, as joins need it. Racks decide who has which run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use caudal_types::TopicId;

use super::{Spec, Subscriber};
use crate::consumer::Partitions;

pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..spec.members.len()).collect();
    order.sort_by_key(|member| rank(&spec.members[*member]));
    let mut runs: BTreeMap<TopicId, Runs> = BTreeMap::new();
    for topic in spec.members.iter().flat_map(|member| member.topics.iter()) {
        let count = spec.topics.get(topic).copied().unwrap_or(0);
        runs.entry(*topic).or_insert(Runs { count, subscribers: 0, start: 0, turn: 0 }).subscribers += 1;
    }
    let mut shares = vec![Partitions::new(); spec.members.len()];
    while !order.is_empty() {
        let member = order.remove(if spec.racks.is_empty() { 0 } else { nearest(spec, &order, &runs) });
        for topic in spec.members[member].topics.iter() {
            let Some(run) = runs.get_mut(topic).map(Runs::take).filter(|run| !run.is_empty()) else { continue };
            shares[member].insert(*topic, run.collect());
        }
    }
    shares
}

/// The place of the member that is near the most of what it would get next; of equals the first. Members alike in rack and subscription are counted once.
fn nearest(spec: &Spec<'_>, order: &[usize], runs: &BTreeMap<TopicId, Runs>) -> usize {
    let mut counts = HashMap::new();
    let near = |member: usize| -> usize {
        let of = |topic: TopicId| runs.get(&topic).map_or(0..0, Runs::next).map(move |partition| (topic, partition));
        let next = spec.members[member].topics.iter().copied().flat_map(of);
        next.filter(|partition| spec.is_near(member, *partition)).count()
    };
    let mut count = |member: usize| {
        let Subscriber { rack, topics, .. } = &spec.members[member];
        *counts.entry((*rack, Arc::as_ptr(topics))).or_insert_with(|| near(member))
    };
    (0..order.len()).min_by_key(|place| Reverse(count(order[*place]))).unwrap_or(0)
}

/// Static members first, by their instance ids, so that they have the same partitions after a restart.
fn rank<'a>(member: &'a Subscriber<'_>) -> (bool, &'a str) {
    (member.instance_id.is_none(), member.instance_id.unwrap_or(member.id))
}

/// How a topic is divided.
struct Runs {
    count: i32,
    subscribers: i32,
    /// The first partition that is not given out.
    start: i32,
    /// How many subscribers have had their turn.
    turn: i32,
}

impl Runs {
    /// What the next subscriber gets. The first ones get one more if the count does not divide.
    fn next(&self) -> std::ops::Range<i32> {
        let more = i32::from(self.turn < self.count % self.subscribers);
        self.start..self.start + self.count / self.subscribers + more
    }

    fn take(&mut self) -> std::ops::Range<i32> {
        let run = self.next();
        self.start = run.end;
        self.turn += 1;
        run
    }
}
