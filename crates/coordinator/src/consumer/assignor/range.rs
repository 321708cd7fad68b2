//! Of each topic a run of partitions for each subscriber. Topics with as many partitions and the same subscribers are divided alike, so that a
//! member has the same partitions of all of them, as joins need it.

use std::collections::BTreeMap;

use caudal_types::TopicId;

use super::{Spec, Subscriber};
use crate::consumer::Partitions;

pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..spec.members.len()).collect();
    order.sort_by_key(|member| rank(&spec.members[*member]));
    let mut runs: BTreeMap<TopicId, Runs> = BTreeMap::new();
    for topic in spec.members.iter().flat_map(|member| member.topics.iter()) {
        let count = spec.topics.get(topic).copied().unwrap_or(0);
        runs.entry(*topic).or_insert(Runs { count, subscribers: 0, next: 0, turn: 0 }).subscribers += 1;
    }
    let mut shares = vec![Partitions::new(); spec.members.len()];
    for member in order {
        for topic in spec.members[member].topics.iter() {
            let Some(run) = runs.get_mut(topic).map(Runs::take).filter(|run| !run.is_empty()) else { continue };
            shares[member].insert(*topic, run.collect());
        }
    }
    shares
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
    next: i32,
    /// How many subscribers have had their turn.
    turn: i32,
}

impl Runs {
    /// The next subscriber's run. The first ones get one more if the count does not divide.
    fn take(&mut self) -> std::ops::Range<i32> {
        let more = i32::from(self.turn < self.count % self.subscribers);
        let start = self.next;
        self.next = start + self.count / self.subscribers + more;
        self.turn += 1;
        start..self.next
    }
}
