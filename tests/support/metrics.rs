//! The counters of a node, as its `/metrics` tells them.

use std::collections::BTreeMap;

use crate::{Cluster, http};

/// How much further from the clients' port `scripts/cluster` puts the one for HTTP.
const HTTP_OFFSET: u16 = 2000;

/// Values by name with labels, as in the text: `caudal_requests_total{api="Produce"}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks a node.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn of(cluster: &Cluster, node: u32) -> Self {
        let address = cluster.address(node);
        let (host, port) = address.rsplit_once(':').expect("host and port");
        let port: u16 = port.parse().expect("a port");
        let answer = http::text(&format!("{host}:{}", port + HTTP_OFFSET), "/metrics");
        let (status, text) = answer.expect("the admin listener answers");
        assert_eq!(status, 200, "{text}");
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let value = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(value).collect())
    }

    /// A value; 0 when the node does not tell it.
    pub fn get(&self, name: &str) -> f64 {
        self.find(name).unwrap_or_default()
    }

    /// A value; `None` when the node does not tell it.
    pub fn find(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// An index of the Raft log of the node's replica of a topic's partition 0 (`last_log_index`, `applied_index`, `purged_index`); 0 when it has none.
    pub fn raft_index(&self, which: &str, topic: &str) -> f64 {
        self.get(&format!("caudal_raft_{which}{{kind=\"partition\",topic=\"{topic}\",partition=\"0\"}}"))
    }

    /// The values of which `wanted` approves the name, less those of `before`.
    pub fn since(&self, before: &Self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, f64> {
        let wanted = self.0.iter().filter(|(name, _)| wanted(name));
        wanted.map(|(name, value)| (name.clone(), value - before.get(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_text_is_read() {
        let metrics = Metrics::parse("# TYPE a counter\na{b=\"c d\"} 3\ne 0.5\n");
        assert_eq!((metrics.get("a{b=\"c d\"}"), metrics.get("e"), metrics.get("f")), (3.0, 0.5, 0.0));
    }
}
