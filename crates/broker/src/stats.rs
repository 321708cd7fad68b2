//! What the broker counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use caudal_metadata::quotas::QuotaKey;
use caudal_protocol::api::SERVED;
use caudal_types::limits::TOPIC_STATS_MAX;
use parking_lot::RwLock;

/// Counters of one API.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiStats {
    /// Kafka's name of the API.
    pub name: &'static str,
    /// Requests answered.
    pub requests: u64,
    /// Requests answered with an error code at the top level or in any part.
    pub errors: u64,
    /// Time from a request's arrival to its answer, summed, in seconds.
    pub seconds: f64,
}

/// Counters of one kind of quota.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleStats {
    /// Kafka's name of the quota.
    pub quota: &'static str,
    /// Requests, or connections, that were more than it allows.
    pub times: u64,
    /// The waits that clients were told, summed, in seconds.
    pub seconds: f64,
}

/// Clients' metrics (KIP-714).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TelemetryStats {
    /// Clients that are known now.
    pub clients: usize,
    /// What they measured.
    pub values: Vec<ClientMetric>,
    /// Pushes since the start for a subscription that is not the client's.
    pub unknown_subscriptions: u64,
    /// Requests since the start that came before the client's interval was over.
    pub throttles: u64,
    /// Pushes taken since the start.
    pub pushes: u64,
    /// How long taking them took, summed, in seconds.
    pub push_seconds: f64,
    /// Pushes since the start that could not be read.
    pub push_errors: u64,
    /// Clients forgotten since the start because there were too many.
    pub clients_evicted: u64,
    /// Values dropped since the start because there were too many, or because they had no fit name.
    pub values_dropped: u64,
}

/// A value that a client measured.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientMetric {
    /// Its name in Prometheus' spelling.
    pub name: String,
    /// It only grows.
    pub counter: bool,
    /// Names and values, those of the client first.
    pub labels: Vec<(String, String)>,
    /// The newest value, or the sum of what came.
    pub value: f64,
}

/// Counters of the listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerStats {
    /// By API.
    pub apis: Vec<ApiStats>,
    /// Connections open now.
    pub connections: u64,
    /// Connections refused since the start: more than `max.connections`.
    pub connections_refused: u64,
    /// Connections refused since the start: more than `max.connections.per.ip`.
    pub connections_refused_per_ip: u64,
    /// Connections that had to wait since the start: more than `max.connection.creation.rate`.
    pub connections_delayed: u64,
    /// By quota.
    pub throttles: Vec<ThrottleStats>,
    /// Bytes received since the start.
    pub bytes_in: u64,
    /// Bytes sent since the start.
    pub bytes_out: u64,
    /// Bytes of records that consumers read here since the start from partitions that this node follows (KIP-392).
    pub follower_bytes: u64,
    /// By topic: (name, bytes produced, bytes fetched) since the start.
    pub topics: Vec<(String, u64, u64)>,
    /// What clients measured.
    pub telemetry: TelemetryStats,
}

/// The counters themselves, shared by everything that counts.
#[derive(Debug)]
pub(crate) struct Counters {
    /// By API, in the order of the list.
    apis: Vec<ApiCounter>,
    pub(crate) connections_refused: Counter,
    pub(crate) connections_refused_per_ip: Counter,
    pub(crate) connections_delayed: Counter,
    /// By quota, in the order of their list.
    throttles: [ThrottleCounter; QuotaKey::ALL.len()],
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) follower_bytes: Counter,
    pub(crate) topics: TopicCounters,
}

#[derive(Debug, Default)]
struct ApiCounter {
    requests: Counter,
    errors: Counter,
    nanos: Counter,
}

#[derive(Debug, Default)]
struct ThrottleCounter {
    times: Counter,
    millis: Counter,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            apis: SERVED.iter().map(|_| ApiCounter::default()).collect(),
            connections_refused: Counter::default(),
            connections_refused_per_ip: Counter::default(),
            connections_delayed: Counter::default(),
            throttles: Default::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            follower_bytes: Counter::default(),
            topics: TopicCounters::new(TOPIC_STATS_MAX),
        }
    }

    /// Counts an answered request of the API at `index` of the list.
    pub(crate) fn answered(&self, index: usize, failed: bool, took: Duration) {
        let Some(api) = self.apis.get(index) else { return };
        api.requests.add(1);
        api.errors.add(u64::from(failed));
        api.nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a wait that a client was told, for more than a quota allows.
    pub(crate) fn throttled(&self, quota: QuotaKey, throttle_ms: i64) {
        let counters = QuotaKey::ALL.iter().zip(&self.throttles);
        for (_, counter) in counters.filter(|(key, _)| **key == quota) {
            counter.times.add(1);
            counter.millis.add(u64::try_from(throttle_ms).unwrap_or(0));
        }
    }

    pub(crate) fn snapshot(&self, connections: u64) -> BrokerStats {
        let apis = SERVED.iter().zip(&self.apis).map(|(api, counter)| ApiStats {
            name: api.name,
            requests: counter.requests.get(),
            errors: counter.errors.get(),
            seconds: Duration::from_nanos(counter.nanos.get()).as_secs_f64(),
        });
        let throttles = QuotaKey::ALL.iter().zip(&self.throttles).map(|(quota, counter)| ThrottleStats {
            quota: quota.name(),
            times: counter.times.get(),
            seconds: Duration::from_millis(counter.millis.get()).as_secs_f64(),
        });
        BrokerStats {
            apis: apis.collect(),
            connections,
            connections_refused: self.connections_refused.get(),
            connections_refused_per_ip: self.connections_refused_per_ip.get(),
            connections_delayed: self.connections_delayed.get(),
            throttles: throttles.collect(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            follower_bytes: self.follower_bytes.get(),
            topics: self.topics.snapshot(),
            telemetry: TelemetryStats::default(),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn add_len(&self, more: usize) {
        self.add(u64::try_from(more).unwrap_or(u64::MAX));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One topic's counters.
#[derive(Debug, Default)]
pub(crate) struct TopicCounter {
    pub(crate) produced: Counter,
    pub(crate) fetched: Counter,
}

/// The topics' counters, at most a fixed number of them: topics beyond it are counted together, under no name.
#[derive(Debug)]
pub(crate) struct TopicCounters {
    max: usize,
    by_name: RwLock<HashMap<Arc<str>, Arc<TopicCounter>>>,
    others: Arc<TopicCounter>,
}

impl TopicCounters {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, by_name: RwLock::default(), others: Arc::default() }
    }

    /// The counters of a topic.
    pub(crate) fn of(&self, topic: &Arc<str>) -> Arc<TopicCounter> {
        if let Some(counter) = self.by_name.read().get(topic) {
            return Arc::clone(counter);
        }
        let mut by_name = self.by_name.write();
        if by_name.len() >= self.max && !by_name.contains_key(topic) {
            return Arc::clone(&self.others);
        }
        Arc::clone(by_name.entry(Arc::clone(topic)).or_default())
    }

    /// Forgets the topics that `exists` does not know.
    pub(crate) fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.by_name.write().retain(|name, _| exists(name));
    }

    fn snapshot(&self) -> Vec<(String, u64, u64)> {
        let by_name = self.by_name.read();
        let mut topics: Vec<_> =
            by_name.iter().map(|(name, t)| (name.to_string(), t.produced.get(), t.fetched.get())).collect();
        topics.sort();
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_beyond_the_bound_share_a_counter() {
        let topics = TopicCounters::new(2);
        for name in ["a", "b", "c", "d"] {
            topics.of(&name.into()).produced.add(1);
        }
        assert_eq!(topics.snapshot(), [("a".to_owned(), 1, 0), ("b".to_owned(), 1, 0)]);
        assert_eq!(topics.others.produced.get(), 2);
        topics.retain(|name| name == "b");
        topics.of(&"c".into()).fetched.add(7);
        assert_eq!(topics.snapshot(), [("b".to_owned(), 1, 0), ("c".to_owned(), 0, 7)]);
    }

    #[test]
    fn requests_are_counted_by_api() {
        let counters = Counters::new();
        counters.answered(1, true, Duration::from_millis(1500));
        counters.answered(1, false, Duration::from_millis(500));
        counters.answered(usize::MAX, false, Duration::ZERO);
        let stats = counters.snapshot(3);
        assert_eq!(stats.connections, 3);
        assert_eq!(stats.apis[1], ApiStats { name: SERVED[1].name, requests: 2, errors: 1, seconds: 2.0 });
    }
}
