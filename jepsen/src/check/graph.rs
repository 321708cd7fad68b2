//! Graphs of millions of nodes, and the circles in them.

use std::collections::{HashMap, VecDeque};

/// An edge with what it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<L> {
    /// Where it begins.
    pub(super) from: u32,
    /// Where it ends.
    pub(super) to: u32,
    /// What it stands for.
    pub(super) label: L,
}

/// A directed graph, its edges sorted by where they begin.
#[derive(Debug)]
pub(super) struct Graph<L> {
    starts: Vec<u32>,
    edges: Vec<Edge<L>>,
}

impl<L: Copy> Graph<L> {
    /// A graph of so many nodes.
    ///
    /// # Panics
    /// When there are more edges than short numbers.
    #[must_use]
    pub(super) fn new(nodes: usize, mut edges: Vec<Edge<L>>) -> Self {
        assert!(u32::try_from(edges.len()).is_ok(), "edges have short numbers");
        edges.sort_unstable_by_key(|edge| (edge.from, edge.to));
        let mut starts = vec![0; nodes + 1];
        for edge in &edges {
            starts[edge.from as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        Self { starts, edges }
    }

    /// The edges that begin at a node.
    #[must_use]
    pub(super) fn from(&self, node: u32) -> &[Edge<L>] {
        let node = node as usize;
        &self.edges[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// The sets of nodes that can all reach each other, where there is more than one; after Tarjan, with a stack of our own.
    #[must_use]
    pub(super) fn knots(&self) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        let nodes = self.starts.len() - 1;
        let mut low = vec![NEW; nodes];
        let mut next_edge = self.starts.clone();
        let mut order = vec![NEW; nodes];
        let mut on_path = vec![false; nodes];
        let (mut path, mut calls, mut knots) = (Vec::new(), Vec::new(), Vec::new());
        let mut count = 0;
        for root in 0..u32::try_from(nodes).expect("nodes have short numbers") {
            if order[root as usize] == NEW {
                calls.push(root);
            }
            while let Some(node) = calls.last().copied() {
                let at = node as usize;
                if order[at] == NEW {
                    (order[at], low[at], on_path[at]) = (count, count, true);
                    count += 1;
                    path.push(node);
                }
                if next_edge[at] < self.starts[at + 1] {
                    let to = self.edges[next_edge[at] as usize].to as usize;
                    if order[to] == NEW {
                        calls.push(self.edges[next_edge[at] as usize].to);
                        continue;
                    }
                    next_edge[at] += 1;
                    if on_path[to] {
                        low[at] = low[at].min(low[to]);
                    }
                    continue;
                }
                calls.pop();
                if low[at] == order[at] {
                    let start =
                        path.iter().rposition(|on| *on == node).expect("a node is on the path while it is open");
                    let knot = path.split_off(start);
                    knot.iter().for_each(|node| on_path[*node as usize] = false);
                    if knot.len() > 1 {
                        knots.push(knot);
                    }
                }
            }
        }
        knots
    }

    /// A shortest circle through the first node of a knot.
    #[must_use]
    pub(super) fn circle(&self, knot: &[u32]) -> Vec<Edge<L>> {
        let start = knot[0];
        let inside: std::collections::HashSet<u32> = knot.iter().copied().collect();
        let mut came: HashMap<u32, Edge<L>> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for edge in self.from(node).iter().filter(|edge| inside.contains(&edge.to)) {
                if edge.to == start {
                    let mut circle = vec![*edge];
                    while let Some(edge) = came.get(&circle[circle.len() - 1].from) {
                        circle.push(*edge);
                    }
                    circle.reverse();
                    return circle;
                }
                came.entry(edge.to).or_insert_with(|| {
                    queue.push_back(edge.to);
                    *edge
                });
            }
        }
        Vec::new()
    }

    /// The edges between the nodes of a knot.
    pub(super) fn within<'a>(&'a self, knot: &'a [u32]) -> impl Iterator<Item = &'a Edge<L>> {
        let inside: std::collections::HashSet<u32> = knot.iter().copied().collect();
        knot.iter().flat_map(|node| self.from(*node)).filter(move |edge| inside.contains(&edge.to))
    }
}
