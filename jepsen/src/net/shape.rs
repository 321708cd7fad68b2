//! Who hears whom under a partition.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::seq::SliceRandom;

/// For each node the nodes that it does not hear.
pub type Deaf = BTreeMap<u32, BTreeSet<u32>>;

/// A kind of partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One node from the others.
    One,
    /// A minority from a majority.
    Halves,
    /// Two parts that only one node hears both of.
    Bridge,
    /// Each node hears its neighbours on a ring, so that all see another majority.
    Ring,
    /// One node is heard by nobody, but hears all; or the other way round.
    OneWay,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::One, Self::Halves, Self::Bridge, Self::Ring, Self::OneWay];

    /// A partition of this kind among `nodes` nodes, and the nodes that it keeps from being part of a majority.
    pub fn draw(self, nodes: u32, random: &mut impl Rng) -> (Deaf, Vec<u32>) {
        let mut order: Vec<_> = (1..=nodes).collect();
        order.shuffle(random);
        let half = (order.len() / 2 + 1).min(order.len());
        let (deaf, hindered) = match self {
            Self::One => (cut(&order[..1], &order[1..]), &order[..1]),
            Self::Halves => (cut(&order[half..], &order[..half]), &order[half..]),
            Self::Bridge => (cut(&order[1..half], &order[half..]), &order[..]),
            Self::Ring => (ring(&order), &order[..]),
            Self::OneWay => {
                let (one, others) = (order[0], order[1..].iter().copied());
                let deaf = if random.random() {
                    others.map(|other| (other, BTreeSet::from([one]))).collect()
                } else {
                    Deaf::from([(one, others.collect())])
                };
                (deaf, &order[..1])
            }
        };
        let mut hindered = hindered.to_vec();
        hindered.sort_unstable();
        (deaf, hindered)
    }
}

fn cut(left: &[u32], right: &[u32]) -> Deaf {
    let deaf = |nodes: &[u32], to: &[u32]| -> Deaf {
        nodes.iter().map(|node| (*node, to.iter().copied().collect())).collect()
    };
    deaf(left, right).into_iter().chain(deaf(right, left)).collect()
}

/// The neighbours that a node hears are as many as make a majority with itself, as far as both sides can have the same number.
fn ring(order: &[u32]) -> Deaf {
    let count = order.len();
    if count <= 3 {
        return cut(&order[..1], &order[2..]);
    }
    let reach = (count / 2).div_ceil(2);
    let hears = |from: usize, to: usize| {
        let apart = from.abs_diff(to);
        apart.min(count - apart) <= reach
    };
    let deaf = |from: usize| (0..count).filter(|to| !hears(from, *to)).map(|to| order[to]).collect();
    (0..count).map(|from| (order[from], deaf(from))).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// How many other nodes each node hears and is heard by.
    fn degrees(deaf: &Deaf, nodes: u32) -> Vec<usize> {
        let hears = |from: u32, to: u32| deaf.get(&from).is_none_or(|deaf| !deaf.contains(&to));
        let both = |from: u32| (1..=nodes).filter(|to| *to != from && hears(from, *to) && hears(*to, from)).count();
        let mut degrees: Vec<_> = (1..=nodes).map(both).collect();
        degrees.sort_unstable();
        degrees
    }

    #[test]
    fn shapes_are_what_they_are_called() {
        let mut random = StdRng::seed_from_u64(1);
        let mut draw = |shape: Shape, nodes| degrees(&shape.draw(nodes, &mut random).0, nodes);
        assert_eq!(draw(Shape::One, 3), [0, 1, 1]);
        assert_eq!(draw(Shape::One, 5), [0, 3, 3, 3, 3]);
        assert_eq!(draw(Shape::Halves, 5), [1, 1, 2, 2, 2]);
        assert_eq!(draw(Shape::Bridge, 3), [1, 1, 2]);
        assert_eq!(draw(Shape::Bridge, 5), [2, 2, 2, 2, 4]);
        assert_eq!(draw(Shape::Ring, 5), [2; 5]);
        assert_eq!(draw(Shape::OneWay, 3), [0, 1, 1]);
    }

    #[test]
    fn a_minority_is_hindered_where_a_majority_is_whole() {
        let mut random = StdRng::seed_from_u64(1);
        let mut hindered = |shape: Shape, nodes| shape.draw(nodes, &mut random).1.len();
        assert_eq!(Shape::ALL.map(|shape| hindered(shape, 3)), [1, 1, 3, 3, 1]);
        assert_eq!(Shape::ALL.map(|shape| hindered(shape, 5)), [1, 2, 5, 5, 1]);
        assert_eq!(Shape::ALL.map(|shape| hindered(shape, 4)), [1, 1, 4, 4, 1]);
    }
}
