//! Members get what is near them: as long as two can give each other a partition so that more partitions are near their owners than before, they do. Nobody has more
//! or less than before, and nobody gets what would be taken away again for the sake of evenness: what was made stays.

use std::collections::{BTreeMap, HashMap};

use caudal_types::TopicId;

use super::Spec;
use super::dense::Dense;

/// One bit for each rack; racks beyond the bits are near nobody.
type RackBits = u64;

pub(super) fn exchange(spec: &Spec<'_>, dense: &Dense, shares: &mut [Vec<usize>]) {
    if spec.racks.is_empty() {
        return;
    }
    let near = Near::new(spec, dense, shares);
    while (0..shares.len()).filter(|member| near.improve(*member, shares)).count() > 0 {}
}

/// Who and what is where.
struct Near<'a> {
    spec: &'a Spec<'a>,
    dense: &'a Dense,
    members: Vec<RackBits>,
    partitions: Vec<RackBits>,
    /// How much the member has that has least of those who could have a partition of the topic. Exchanges do not change it.
    least: HashMap<TopicId, usize>,
}

impl<'a> Near<'a> {
    fn new(spec: &'a Spec<'a>, dense: &'a Dense, shares: &[Vec<usize>]) -> Self {
        let mut bits: BTreeMap<&str, RackBits> = BTreeMap::new();
        for rack in spec.members.iter().filter_map(|member| member.rack) {
            let next = u32::try_from(bits.len()).ok().and_then(|number| RackBits::checked_shl(1, number));
            bits.entry(rack).or_insert(next.unwrap_or(0));
        }
        let bit = |rack: &str| bits.get(rack).copied().unwrap_or(0);
        let racks = |number: usize| {
            let (topic, partition) = dense.partition(number);
            let racks = usize::try_from(partition).ok().and_then(|at| spec.racks.get(&topic)?.get(at));
            racks.into_iter().flatten().fold(0, |all, rack| all | bit(rack))
        };
        let members = spec.members.iter().map(|member| member.rack.map_or(0, bit)).collect();
        let mut least = HashMap::new();
        for (member, share) in spec.members.iter().zip(shares) {
            for topic in member.topics.iter() {
                let known = least.entry(*topic).or_insert(share.len());
                *known = share.len().min(*known);
            }
        }
        Self { spec, dense, members, partitions: (0..dense.len()).map(racks).collect(), least }
    }

    fn is_near(&self, member: usize, number: usize) -> bool {
        self.members[member] & self.partitions[number] != 0
    }

    /// Whether the member, who has `load` partitions, subscribes to this one, and nobody else who does has two less.
    fn may_have(&self, member: usize, load: usize, number: usize) -> bool {
        let (topic, _) = self.dense.partition(number);
        self.spec.members[member].topics.contains(&topic)
            && self.least.get(&topic).is_some_and(|least| load <= least + 1)
    }

    /// Exchanges what a member has and is not near to; whether there was anything.
    fn improve(&self, member: usize, shares: &mut [Vec<usize>]) -> bool {
        let mut any = false;
        for place in 0..shares[member].len() {
            let number = shares[member][place];
            if !self.is_near(member, number)
                && let Some((other, theirs)) = self.better(member, number, shares)
            {
                shares[member][place] = std::mem::replace(&mut shares[other][theirs], number);
                any = true;
            }
        }
        any
    }

    /// Someone who is near the partition, and the place of what that one can give for it at no loss.
    fn better(&self, member: usize, number: usize, shares: &[Vec<usize>]) -> Option<(usize, usize)> {
        let mut takers = (0..shares.len())
            .filter(|other| self.is_near(*other, number) && self.may_have(*other, shares[*other].len(), number));
        takers.find_map(|other| {
            let price = |theirs: &usize| {
                (!self.is_near(other, *theirs) || self.is_near(member, *theirs))
                    && self.may_have(member, shares[member].len(), *theirs)
            };
            Some((other, shares[other].iter().position(price)?))
        })
    }
}
