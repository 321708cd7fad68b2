//! G0, G1c: transactions that come before each other in a circle.
//!
//! Nodes are transactions that may have happened. An edge is `ww`, from the sender of a record to the sender of the next in the same
//! partition; `wr`, from the sender of a record to who read it; or `rt`, from a transaction that completed to one that began later.
//! Kafka does not keep writers apart, so circles with `ww` edges are allowed; others are not.

use crate::history::Kind;

use super::anomaly::Anomaly;
use super::findings::{Context, Example, Findings};
use super::graph::{Edge, Graph};
use super::index::RecordId;

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It sent this record to this partition, and the other the next.
    Ww(u32, RecordId),
    /// The other read this record of this partition.
    Wr(u32, RecordId),
    /// It completed before the other began.
    Rt,
}

struct Transactions {
    /// The operation of each node.
    operations: Vec<usize>,
    /// The node of each operation.
    nodes: Vec<u32>,
}

const NO_NODE: u32 = u32::MAX;

/// Looks for all of them.
pub(super) fn check(context: &Context<'_>, findings: &mut Findings) {
    if !context.table.has_transactions() {
        return;
    }
    let transactions = Transactions::new(context);
    let (ww, wr) = (transactions.overwritten(context), transactions.read(context));
    let nodes = transactions.operations.len();
    let both = || ww.iter().chain(&wr).copied().collect();
    let is_ww = |why: Why| matches!(why, Why::Ww(..));
    let is_wr = |why: Why| matches!(why, Why::Wr(..));
    transactions.knots(context, &Graph::new(nodes, ww.clone()), Anomaly::G0, &[&is_ww], findings);
    transactions.knots(context, &Graph::new(nodes, both()), Anomaly::G1cWw, &[&is_ww, &is_wr], findings);
    drop(ww);
    transactions.knots(context, &Graph::new(nodes, wr.clone()), Anomaly::G1c, &[&is_wr], findings);
    let (nodes, mut edges) = transactions.in_time(context);
    edges.extend(wr);
    transactions.knots(
        context,
        &Graph::new(nodes, edges),
        Anomaly::G1cRealtime,
        &[&is_wr, &|why| why == Why::Rt],
        findings,
    );
}

impl Transactions {
    fn new(context: &Context<'_>) -> Self {
        let mut nodes = vec![NO_NODE; context.table.operations.len()];
        let mut operations = Vec::new();
        for (at, operation) in context.table.operations.iter().enumerate() {
            if operation.is_transaction() && operation.kind != Kind::Fail {
                nodes[at] = u32::try_from(operations.len()).expect("operations have short numbers");
                operations.push(at);
            }
        }
        Self { operations, nodes }
    }

    fn writer(&self, context: &Context<'_>, id: RecordId) -> Option<u32> {
        let node = self.nodes[context.index.writer(context.table, id)?];
        (node != NO_NODE).then_some(node)
    }

    fn overwritten(&self, context: &Context<'_>) -> Vec<Edge<Why>> {
        let mut edges = Vec::new();
        for (key, log) in (0..).zip(&context.index.logs) {
            let mut before: Option<(u32, RecordId)> = None;
            for id in &log.ids {
                let Some(to) = self.writer(context, *id) else { continue };
                if let Some((from, id)) = before.replace((to, *id))
                    && from != to
                {
                    edges.push(Edge { from, to, label: Why::Ww(key, id) });
                }
            }
        }
        edges
    }

    fn read(&self, context: &Context<'_>) -> Vec<Edge<Why>> {
        let Context { table, index, .. } = context;
        let mut edges = Vec::new();
        for (to, at) in (0..).zip(&self.operations) {
            let mut last = NO_NODE;
            for run in table.runs_of(*at) {
                for record in table.records_of(run) {
                    let id = index.ids[record];
                    let Some(from) = self.writer(context, id).filter(|from| *from != to && *from != last) else {
                        continue;
                    };
                    edges.push(Edge { from, to, label: Why::Wr(table.runs[run].key, id) });
                    last = from;
                }
            }
        }
        edges
    }

    /// The order of time, with a node for each completion: all that completed lead to it, and from it to all that begin later.
    fn in_time(&self, context: &Context<'_>) -> (usize, Vec<Edge<Why>>) {
        let mut moments = Vec::with_capacity(self.operations.len() * 2);
        for (node, at) in (0_u32..).zip(&self.operations) {
            let operation = &context.table.operations[*at];
            moments.push((operation.invoked_line, true, node));
            if operation.kind == Kind::Ok {
                moments.push((operation.line, false, node));
            }
        }
        moments.sort_unstable();
        let mut next = u32::try_from(self.operations.len()).expect("operations have short numbers");
        let mut completed = None;
        let mut edges = Vec::new();
        for (_, begins, node) in moments {
            if begins {
                edges.extend(completed.map(|from| Edge { from, to: node, label: Why::Rt }));
            } else {
                edges.push(Edge { from: node, to: next, label: Why::Rt });
                edges.extend(completed.map(|from| Edge { from, to: next, label: Why::Rt }));
                completed = Some(next);
                next += 1;
            }
        }
        (next as usize, edges)
    }

    /// Reports each knot that has an edge of each wanted kind.
    fn knots(
        &self,
        context: &Context<'_>,
        graph: &Graph<Why>,
        anomaly: Anomaly,
        wanted: &[&dyn Fn(Why) -> bool],
        findings: &mut Findings,
    ) {
        let allowed = matches!(anomaly, Anomaly::G0 | Anomaly::G1cWw);
        for knot in graph.knots() {
            if wanted.iter().all(|wanted| graph.within(&knot).any(|edge| wanted(edge.label))) {
                findings.put(anomaly, allowed, || self.describe(context, &graph.circle(&knot)));
            }
        }
    }

    fn describe(&self, context: &Context<'_>, circle: &[Edge<Why>]) -> Example {
        let Context { table, index, .. } = context;
        let operation = |node: u32| self.operations.get(node as usize).copied();
        let mut parts = Vec::new();
        for edge in circle {
            let told = |key: u32, id| (index.value(table, id), table.keys.name(key));
            let process = |node| operation(node).map(|at| table.operations[at].process);
            parts.extend(match (edge.label, process(edge.from), process(edge.to)) {
                (Why::Ww(key, id), Some(from), Some(to)) => {
                    let (value, key) = told(key, id);
                    Some(format!("process {to} wrote behind {value} of process {from} in {key}"))
                }
                (Why::Wr(key, id), Some(from), Some(to)) => {
                    let (value, key) = told(key, id);
                    Some(format!("process {to} read {value} of process {from} from {key}"))
                }
                (Why::Rt, Some(from), None) => Some(format!("process {from} had completed before the next began")),
                _ => None,
            });
        }
        let nodes = circle.iter().filter_map(|edge| operation(edge.from));
        nodes.fold(Example::new(parts.join("; ")), |example, at| example.with(table, "in the circle", at))
    }
}
