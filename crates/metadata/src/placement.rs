//! Which nodes hold the replicas of new partitions, and which of them shall lead. Decided by the leader before the proposal, with randomness to
//! break ties, so that it need not be deterministic.
//!
//! For each partition first the nodes are chosen: by rack (as many different ones as there are), then by how many replicas they hold already, of
//! this topic and in all. Then the leaders: by how many partitions of this topic and in all a node leads; what the greedy choice leaves uneven is
//! evened out by moving leaderships along chains of partitions, which always succeeds, since every node then holds nearly the same number of
//! replicas to choose from.

use std::cmp::Reverse;
use std::collections::VecDeque;

use caudal_types::NodeId;
use rand::Rng;
use rand::seq::SliceRandom;

/// How many replicas a node holds, and of how many it is the preferred leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) replicas: usize,
    pub(crate) leaders: usize,
}

/// A node that may hold replicas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidate {
    pub(crate) id: NodeId,
    pub(crate) rack: Option<String>,
    pub(crate) alive: bool,
    /// All that it holds, that of this topic included.
    pub(crate) total: Load,
    /// What it holds of this topic.
    pub(crate) here: Load,
}

/// Places `partitions` new partitions of one topic, each on `replication_factor` of the `candidates`, and adds them to the candidates' loads. Each
/// partition's first node is its preferred leader. Asked for more replicas than there are candidates, it gives as many as there are.
pub(crate) fn place(
    candidates: &mut [Candidate],
    partitions: usize,
    replication_factor: usize,
    rng: &mut impl Rng,
) -> Vec<Vec<NodeId>> {
    let mut racks = group_by_rack(candidates);
    let mut placed = Vec::with_capacity(partitions);
    for _ in 0..partitions {
        racks.shuffle(rng);
        for rack in &mut racks {
            rack.shuffle(rng);
        }
        let mut nodes = choose_nodes(candidates, &racks, replication_factor);
        let leader = (0..nodes.len()).min_by_key(|at| {
            let node = &candidates[nodes[*at]];
            (!node.alive, node.here.leaders, node.total.leaders)
        });
        if let Some(leader) = leader {
            nodes.swap(0, leader);
            lead(&mut candidates[nodes[0]], 1);
        }
        placed.push(nodes);
    }
    even_out_leaders(candidates, &mut placed);
    placed.into_iter().map(|nodes| nodes.into_iter().map(|node| candidates[node].id).collect()).collect()
}

/// The candidates' positions by rack. Nodes without a rack are together in one, as in Kafka.
fn group_by_rack(candidates: &[Candidate]) -> Vec<Vec<usize>> {
    let mut by_rack = std::collections::BTreeMap::<Option<&str>, Vec<usize>>::new();
    for (position, candidate) in candidates.iter().enumerate() {
        by_rack.entry(candidate.rack.as_deref()).or_default().push(position);
    }
    by_rack.into_values().collect()
}

/// The nodes of one partition: each time from the rack that has the fewest of its replicas, then the least loaded for its size; in it
/// the least loaded node. The racks and the nodes in them come in random order, which breaks ties.
fn choose_nodes(candidates: &mut [Candidate], racks: &[Vec<usize>], replication_factor: usize) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(replication_factor);
    let mut taken = vec![0_usize; racks.len()];
    for _ in 0..replication_factor.min(candidates.len()) {
        let rack = (0..racks.len()).filter(|rack| taken[*rack] < racks[*rack].len()).min_by_key(|rack| {
            let nodes = &racks[*rack];
            let load = |of: fn(&Candidate) -> usize| nodes.iter().map(|node| of(&candidates[*node])).sum::<usize>();
            let per_node = |load: usize| load.saturating_mul(1 << 20) / nodes.len();
            (taken[*rack], per_node(load(|node| node.here.replicas)), per_node(load(|node| node.total.replicas)))
        });
        let Some(rack) = rack else { break };
        taken[rack] += 1;
        let free = racks[rack].iter().copied().filter(|node| !chosen.contains(node));
        let node = free.min_by_key(|node| (candidates[*node].here.replicas, candidates[*node].total.replicas));
        let Some(node) = node else { break };
        candidates[node].here.replicas += 1;
        candidates[node].total.replicas += 1;
        chosen.push(node);
    }
    chosen
}

fn lead(node: &mut Candidate, by: isize) {
    node.here.leaders = node.here.leaders.saturating_add_signed(by);
    node.total.leaders = node.total.leaders.saturating_add_signed(by);
}

/// Moves leaderships until no chain of moves leads from a node to one that leads two partitions fewer. Each chain makes the sum of squares
/// smaller, so that it ends.
fn even_out_leaders(candidates: &mut [Candidate], placed: &mut [Vec<usize>]) {
    while let Some(chain) = find_chain(candidates, placed) {
        for (partition, new_leader) in chain {
            let nodes = &mut placed[partition];
            let Some(position) = nodes.iter().position(|node| *node == new_leader) else { continue };
            lead(&mut candidates[nodes[0]], -1);
            lead(&mut candidates[new_leader], 1);
            nodes.swap(0, position);
        }
    }
}

/// Moves of leadership (partition, new leader) that take one from a busy node and give it to one with at least two fewer.
fn find_chain(candidates: &[Candidate], placed: &[Vec<usize>]) -> Option<Vec<(usize, usize)>> {
    let leaders = |node: usize| candidates[node].here.leaders;
    let least = (0..candidates.len()).map(leaders).min()?;
    let mut led = vec![Vec::new(); candidates.len()];
    for (partition, nodes) in placed.iter().enumerate() {
        if let Some(leader) = nodes.first() {
            led[*leader].push(partition);
        }
    }
    let mut busy: Vec<usize> = (0..candidates.len()).filter(|node| leaders(*node) >= least + 2).collect();
    busy.sort_unstable_by_key(|node| Reverse(leaders(*node)));
    busy.into_iter().find_map(|from| chain_from(from, candidates, placed, &led))
}

fn chain_from(
    from: usize,
    candidates: &[Candidate],
    placed: &[Vec<usize>],
    led: &[Vec<usize>],
) -> Option<Vec<(usize, usize)>> {
    let mut came_by: Vec<Option<(usize, usize)>> = vec![None; candidates.len()];
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for &partition in &led[node] {
            for &next in &placed[partition][1..] {
                if next == from || came_by[next].is_some() || !candidates[next].alive {
                    continue;
                }
                came_by[next] = Some((node, partition));
                if candidates[next].here.leaders + 2 <= candidates[from].here.leaders {
                    return Some(walk_back(next, &came_by));
                }
                queue.push_back(next);
            }
        }
    }
    None
}

fn walk_back(to: usize, came_by: &[Option<(usize, usize)>]) -> Vec<(usize, usize)> {
    let mut chain = Vec::new();
    let mut at = to;
    while let Some((previous, partition)) = came_by[at] {
        chain.push((partition, at));
        at = previous;
    }
    chain
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn candidates(racks: usize, per_rack: usize) -> Vec<Candidate> {
        let candidate = |at: usize| Candidate {
            id: NodeId(at as u32),
            rack: (racks > 0).then(|| format!("rack-{}", at % racks)),
            alive: true,
            ..Candidate::default()
        };
        (0..racks.max(1) * per_rack).map(candidate).collect()
    }

    fn spread(counts: impl Iterator<Item = usize> + Clone) -> usize {
        counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn a_fresh_topic_is_balanced_within_one(
            racks in 0..5_usize, per_rack in 1..5_usize, partitions in 1..80_usize, factor in 1..6_usize,
            loads in proptest::collection::vec(0..50_usize, 20), seed: u64,
        ) {
            let mut candidates = candidates(racks, per_rack);
            for (candidate, load) in candidates.iter_mut().zip(loads) {
                candidate.total = Load { replicas: load, leaders: load / 2 };
            }
            let factor = factor.min(candidates.len());
            let before: Vec<Load> = candidates.iter().map(|node| node.total).collect();
            let placed = place(&mut candidates, partitions, factor, &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(placed.len(), partitions);
            for nodes in &placed {
                prop_assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), factor);
            }
            prop_assert!(spread(candidates.iter().map(|node| node.here.replicas)) <= 1);
            prop_assert!(spread(candidates.iter().map(|node| node.here.leaders)) <= 1);
            for (node, before) in candidates.iter().zip(before) {
                let led = placed.iter().filter(|nodes| nodes[0] == node.id).count();
                let held = placed.iter().filter(|nodes| nodes.contains(&node.id)).count();
                prop_assert_eq!(node.here, Load { replicas: held, leaders: led });
                prop_assert_eq!(node.total, Load { replicas: before.replicas + held, leaders: before.leaders + led });
            }
        }

        #[test]
        fn replicas_spread_over_racks_of_any_size(
            sizes in proptest::collection::vec(1..5_usize, 1..5), partitions in 1..30_usize, factor in 1..8_usize,
            seed: u64,
        ) {
            let racks = sizes.iter().enumerate().flat_map(|(rack, size)| vec![rack; *size]);
            let mut candidates: Vec<Candidate> = (0..)
                .zip(racks)
                .map(|(id, rack)| Candidate { id: NodeId(id), rack: Some(rack.to_string()), alive: true, ..Default::default() })
                .collect();
            let factor = factor.min(candidates.len());
            let rack_of: BTreeMap<NodeId, usize> =
                candidates.iter().map(|node| (node.id, node.rack.as_ref().unwrap().parse().unwrap())).collect();
            for nodes in place(&mut candidates, partitions, factor, &mut StdRng::seed_from_u64(seed)) {
                let mut used = vec![0; sizes.len()];
                for node in &nodes {
                    used[rack_of[node]] += 1;
                }
                let most = used.iter().max().unwrap();
                for (used, size) in used.iter().zip(&sizes) {
                    prop_assert!(used == size || used + 1 >= *most, "{:?} of {:?}", nodes, sizes);
                }
            }
        }

        #[test]
        fn more_partitions_continue_the_balance(first in 1..40_usize, more in 1..40_usize, seed: u64) {
            let mut candidates = candidates(0, 5);
            let rng = &mut StdRng::seed_from_u64(seed);
            place(&mut candidates, first, 3, rng);
            place(&mut candidates, more, 3, rng);
            prop_assert!(spread(candidates.iter().map(|node| node.here.replicas)) <= 1);
            // The old partitions stay as they are, which may leave the new ones without the choice that would be needed.
            prop_assert!(spread(candidates.iter().map(|node| node.here.leaders)) <= 2);
        }
    }

    #[test]
    fn a_dead_node_is_not_the_preferred_leader() {
        let mut candidates = candidates(0, 3);
        candidates[1].alive = false;
        let placed = place(&mut candidates, 30, 3, &mut StdRng::seed_from_u64(1));
        assert!(placed.iter().all(|nodes| nodes[0] != NodeId(1)));
        assert_eq!(candidates[0].here.leaders, 15);
    }

    #[test]
    fn small_topics_go_where_the_load_is_least() {
        let mut candidates = candidates(0, 3);
        candidates[0].total = Load { replicas: 10, leaders: 10 };
        candidates[2].total = Load { replicas: 5, leaders: 5 };
        let rng = &mut StdRng::seed_from_u64(7);
        assert_eq!(place(&mut candidates, 1, 1, rng), [[NodeId(1)]]);
        candidates[1].here = Load::default();
        assert_eq!(place(&mut candidates, 1, 2, rng)[0][0], NodeId(1));
    }

    #[test]
    fn replica_sets_vary() {
        let mut candidates = candidates(0, 6);
        let placed = place(&mut candidates, 60, 3, &mut StdRng::seed_from_u64(3));
        let sets: BTreeSet<BTreeSet<NodeId>> = placed.iter().map(|nodes| nodes.iter().copied().collect()).collect();
        assert!(sets.len() > 6, "only {} different sets", sets.len());
    }

    #[test]
    fn many_partitions_are_placed_quickly() {
        let mut candidates = candidates(5, 10);
        let placed = place(&mut candidates, 10_000, 3, &mut StdRng::seed_from_u64(5));
        assert_eq!(placed.len(), 10_000);
        assert_eq!(spread(candidates.iter().map(|node| node.here.leaders)), 0);
    }
}
