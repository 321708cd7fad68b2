//! Evenly over members that subscribe to different topics: each new partition goes to its subscriber with the fewest, and then partitions move
//! as long as one move makes two members more equal. What need not move stays.

use super::dense::Dense;
use super::{Spec, near};
use crate::consumer::Partitions;

pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let dense = Dense::new(&spec.topics);
    let (shares, _) = dense.kept(spec);
    let mut plan = Plan { owners: vec![None; dense.len()], loads: vec![0; shares.len()], topics: Vec::new() };
    for (member, share) in shares.iter().enumerate() {
        plan.loads[member] = share.len();
        for number in share {
            plan.owners[*number] = Some(member);
        }
    }
    let topics = dense.topics().map(|(topic, numbers)| {
        let subscribes = |member: &usize| spec.members[*member].topics.contains(&topic);
        Topic { numbers, subscribers: (0..spec.members.len()).filter(subscribes).collect() }
    });
    plan.topics = topics.filter(|topic| !topic.subscribers.is_empty()).collect();
    // Those with the least choice first.
    plan.topics.sort_by_key(|topic| topic.subscribers.len());
    plan.give_out();
    while plan.balance() {}
    let mut shares = vec![Vec::new(); spec.members.len()];
    for (number, owner) in plan.owners.iter().enumerate() {
        if let Some(owner) = owner {
            shares[*owner].push(number);
        }
    }
    near::exchange(spec, &dense, &mut shares);
    shares.into_iter().map(|share| dense.partitions(share)).collect()
}

/// A topic's partitions by number, and who may have them.
struct Topic {
    numbers: std::ops::Range<usize>,
    subscribers: Vec<usize>,
}

struct Plan {
    /// Who has each partition.
    owners: Vec<Option<usize>>,
    /// How many partitions each member has.
    loads: Vec<usize>,
    topics: Vec<Topic>,
}

impl Plan {
    fn give_out(&mut self) {
        for topic in &self.topics {
            for number in topic.numbers.clone() {
                if self.owners[number].is_none()
                    && let Some(member) = idlest(&self.loads, topic)
                {
                    self.owners[number] = Some(member);
                    self.loads[member] += 1;
                }
            }
        }
    }

    /// Evens out each topic's owners; whether anything moved. Every move makes the sum of the squares of the loads smaller, so it ends.
    fn balance(&mut self) -> bool {
        let mut moved = false;
        for topic in &self.topics {
            while let Some((number, to)) = self.better(topic) {
                if let Some(from) = self.owners[number].replace(to) {
                    self.loads[from] -= 1;
                }
                self.loads[to] += 1;
                moved = true;
            }
        }
        moved
    }

    /// A partition of the topic whose owner has two more than someone else who could have it, and who that is.
    fn better(&self, topic: &Topic) -> Option<(usize, usize)> {
        let to = idlest(&self.loads, topic)?;
        let load = |number: &usize| self.owners[*number].map_or(0, |owner| self.loads[owner]);
        // Of equals the last, so that the first partitions stay where they are.
        let number = topic.numbers.clone().max_by_key(load)?;
        (load(&number) > self.loads[to] + 1).then_some((number, to))
    }
}

fn idlest(loads: &[usize], topic: &Topic) -> Option<usize> {
    topic.subscribers.iter().copied().min_by_key(|member| loads[*member])
}
