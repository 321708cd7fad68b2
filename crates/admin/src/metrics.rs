//! The names of the metrics. `docs/operations.md` tells operators which of them to watch.

use crate::client_metrics;
use crate::exposition::{Exposition, Kind};
use crate::status::{
    ClientStatus, CompactionStatus, MessageCounters, NodeStatus, PartitionCompaction, PartitionRange, ProcessStatus,
    ReplicaStatus, StoreStatus, TaskStatus,
};

/// The status in Prometheus' text format.
pub fn render(status: &NodeStatus) -> String {
    let mut out = Exposition::default();
    node(&mut out, status);
    clients(&mut out, &status.clients);
    messages(&mut out, &status.messages);
    store(&mut out, &status.store);
    raft(&mut out, &status.replicas);
    offsets(&mut out, &status.replicas);
    sizes(&mut out, &status.replicas);
    flushes(&mut out, &status.replicas);
    transactions(&mut out, &status.replicas);
    compaction(&mut out, &status.compaction);
    compaction_lag(&mut out, &status.replicas);
    tasks(&mut out, &status.tasks);
    process(&mut out, &status.process);
    out.into_text()
}

fn node(out: &mut Exposition, status: &NodeStatus) {
    let (id, rack) = (status.node_id.to_string(), status.rack.as_deref().unwrap_or_default());
    out.family("caudal_node_info", Kind::Gauge, "Which node this is; always 1.").sample(
        &[("version", status.version), ("node_id", &id), ("cluster_id", &status.cluster_id), ("rack", rack)],
        1,
    );
    out.single(
        "caudal_ready",
        Kind::Gauge,
        "1 when the node serves, as /readyz tells.",
        u8::from(status.readiness.ready),
    );
    out.single("caudal_uptime_seconds", Kind::Gauge, "Seconds since the start.", status.uptime_seconds);
    let controller = status.controller.map_or(-1, i64::from);
    out.single("caudal_controller_id", Kind::Gauge, "The node that leads the metadata; -1 when unknown.", controller);
    let mut alive = out.family("caudal_node_alive", Kind::Gauge, "1 when the node answers this one.");
    for node in &status.nodes {
        alive.sample(&[("node", &node.id.to_string())], u8::from(node.alive));
    }
}

fn clients(out: &mut Exposition, clients: &ClientStatus) {
    out.single("caudal_connections", Kind::Gauge, "Connections of clients open now.", clients.connections);
    out.single(
        "caudal_connections_refused_total",
        Kind::Counter,
        "Connections closed as they came, for max.connections.",
        clients.connections_refused,
    );
    out.single(
        "caudal_connections_refused_per_ip_total",
        Kind::Counter,
        "Connections closed as they came, for max.connections.per.ip.",
        clients.connections_refused_per_ip,
    );
    out.single(
        "caudal_connections_delayed_total",
        Kind::Counter,
        "Connections that waited, for max.connection.creation.rate.",
        clients.connections_delayed,
    );
    throttles(out, clients);
    client_metrics::render(out, &clients.telemetry);
    out.single("caudal_received_bytes_total", Kind::Counter, "Bytes received from clients.", clients.bytes_in);
    out.single("caudal_sent_bytes_total", Kind::Counter, "Bytes sent to clients.", clients.bytes_out);
    out.single(
        "caudal_follower_fetched_bytes_total",
        Kind::Counter,
        "Bytes of records fetched from partitions that this node follows.",
        clients.follower_bytes,
    );
    let mut requests = out.family("caudal_requests_total", Kind::Counter, "Requests answered.");
    for api in &clients.apis {
        requests.sample(&[("api", api.name)], api.requests);
    }
    let mut errors = out.family("caudal_request_errors_total", Kind::Counter, "Requests answered with an error.");
    for api in &clients.apis {
        errors.sample(&[("api", api.name)], api.errors);
    }
    let mut seconds =
        out.family("caudal_request_duration_seconds", Kind::Summary, "From a request's arrival to its answer.");
    for api in &clients.apis {
        seconds.suffixed("_sum", &[("api", api.name)], api.seconds);
        seconds.suffixed("_count", &[("api", api.name)], api.requests);
    }
    let mut produced = out.family("caudal_topic_produced_bytes_total", Kind::Counter, "Bytes of records produced.");
    for topic in &clients.topics {
        produced.sample(&[("topic", &topic.topic)], topic.produced);
    }
    let mut fetched = out.family("caudal_topic_fetched_bytes_total", Kind::Counter, "Bytes of records fetched.");
    for topic in &clients.topics {
        fetched.sample(&[("topic", &topic.topic)], topic.fetched);
    }
}

fn throttles(out: &mut Exposition, clients: &ClientStatus) {
    let mut times = out.family(
        "caudal_throttles_total",
        Kind::Counter,
        "Requests, or connections, that were more than a quota allows.",
    );
    for throttle in &clients.throttles {
        times.sample(&[("quota", throttle.quota)], throttle.times);
    }
    let mut seconds =
        out.family("caudal_throttle_seconds_total", Kind::Counter, "The waits that clients were told for that.");
    for throttle in &clients.throttles {
        seconds.sample(&[("quota", throttle.quota)], throttle.seconds);
    }
}

fn messages(out: &mut Exposition, messages: &[MessageCounters]) {
    let mut sent = out.family("caudal_peer_messages_sent_total", Kind::Counter, "Messages sent to the other nodes.");
    for message in messages {
        sent.sample(&[("kind", message.kind), ("part", "request")], message.requests);
        sent.sample(&[("kind", message.kind), ("part", "answer")], message.answers);
    }
}

fn store(out: &mut Exposition, store: &StoreStatus) {
    let writable = u8::from(store.failed.is_none());
    out.single("caudal_store_writable", Kind::Gauge, "0 when the disk failed: no writes until a restart.", writable);
    let full = u8::from(store.full);
    out.single(
        "caudal_store_full",
        Kind::Gauge,
        "1 while only the disk's reserve is left: no records are taken.",
        full,
    );
    if let Some(free) = store.free_bytes {
        out.single("caudal_store_free_bytes", Kind::Gauge, "Free space on the data folder's filesystem.", free);
    }
    let (bytes, garbage) = (store.log_bytes, store.log_garbage_bytes);
    out.single("caudal_store_log_bytes", Kind::Gauge, "Bytes of files of record batches of 1 KiB and more.", bytes);
    out.single("caudal_store_log_garbage_bytes", Kind::Gauge, "Of them, bytes of removed batches.", garbage);
    out.single("caudal_log_syncs_total", Kind::Counter, "Synced batches, that is, fsyncs.", store.syncs);
    out.single("caudal_log_appends_total", Kind::Counter, "Appends made durable, over all Raft groups.", store.appends);
    out.single("caudal_log_written_bytes_total", Kind::Counter, "Bytes made durable.", store.bytes);
}

fn compaction(out: &mut Exposition, compaction: &CompactionStatus) {
    let counters = [
        ("caudal_compaction_passes_total", "Passes of log compaction over a partition.", compaction.passes),
        ("caudal_compaction_failures_total", "Passes that failed; they are tried again.", compaction.failures),
        ("caudal_compaction_read_bytes_total", "Bytes of log entries read.", compaction.read_bytes),
        ("caudal_compaction_written_bytes_total", "Bytes of log entries written anew.", compaction.written_bytes),
        ("caudal_compaction_freed_bytes_total", "Bytes that log entries lost.", compaction.freed_bytes),
        ("caudal_compaction_removed_records_total", "Records taken out.", compaction.removed_records),
        ("caudal_compaction_bad_batches_total", "Batches that cannot be decoded, and stay.", compaction.bad_batches),
    ];
    for (name, help, value) in counters {
        out.single(name, Kind::Counter, help, value);
    }
    out.single("caudal_compaction_seconds_total", Kind::Counter, "How long the passes took.", compaction.seconds);
    out.single("caudal_compaction_running", Kind::Gauge, "Passes that run now.", compaction.running);
    out.single(
        "caudal_compaction_waiting_bytes",
        Kind::Gauge,
        "Bytes that are to be compacted and are not yet, over all replicas.",
        compaction.waiting_bytes,
    );
    out.single(
        "caudal_compaction_dirtiest_ratio",
        Kind::Gauge,
        "The largest part, of any compacted partition led here, that could be compacted.",
        compaction.dirtiest_ratio,
    );
}

/// A figure of a replica of a compacted topic.
type LagFigure = (&'static str, &'static str, fn(&PartitionCompaction) -> f64);

const LAG_FIGURES: [LagFigure; 4] = [
    (
        "caudal_partition_compaction_waiting_bytes",
        "Bytes that are ordered to be compacted and are not yet.",
        |compaction| compaction.waiting_bytes as f64,
    ),
    (
        "caudal_partition_compaction_dirty_bytes",
        "Bytes of closed segments that are not compacted, ordered or not.",
        |compaction| compaction.dirty_bytes as f64,
    ),
    (
        "caudal_partition_compaction_dirty_ratio",
        "The part of the closed segments' bytes that is not compacted.",
        |compaction| compaction.dirty_ratio,
    ),
    (
        "caudal_partition_compacted_offset",
        "The offset before which only the newest record of each key is there.",
        |compaction| compaction.clean_upto as f64,
    ),
];

/// One sample for each replica of a compacted topic, as the other figures of partitions.
fn compaction_lag(out: &mut Exposition, replicas: &[ReplicaStatus]) {
    for (name, help, figure) in LAG_FIGURES {
        let mut family = out.family(name, Kind::Gauge, help);
        for replica in replicas {
            if let Some(compaction) = &replica.compaction {
                let partition = replica.number.to_string();
                family.sample(&[("topic", &replica.topic), ("partition", &partition)], figure(compaction));
            }
        }
    }
}

/// A figure of a replica.
type Figure = (&'static str, &'static str, fn(&ReplicaStatus) -> i64);

const RAFT_FIGURES: [Figure; 8] = [
    ("caudal_raft_serving", "1 when this node leads the Raft group and serves.", |replica| i64::from(replica.serving)),
    ("caudal_raft_leader", "The node that leads the Raft group; -1 when unknown.", |replica| {
        replica.leader.map_or(-1, i64::from)
    }),
    ("caudal_raft_term", "The term: Kafka's leader epoch.", |replica| clamp(replica.term)),
    ("caudal_raft_last_log_index", "The last index in the log.", |replica| clamp(replica.last_log_index)),
    ("caudal_raft_applied_index", "The last index applied.", |replica| clamp(replica.applied_index)),
    (
        "caudal_raft_purged_index",
        "The last index that the log does not have any more; who is behind it gets a snapshot.",
        |replica| clamp(replica.purged_index),
    ),
    ("caudal_raft_failed", "1 when the replica has stopped for an error.", |replica| {
        i64::from(replica.failed.is_some())
    }),
    (
        "caudal_raft_doubtful",
        "1 while the replica, whose data was lost, does not vote until it has caught up.",
        |replica| i64::from(replica.doubtful),
    ),
];

fn raft(out: &mut Exposition, replicas: &[ReplicaStatus]) {
    for (name, help, figure) in RAFT_FIGURES {
        let mut family = out.family(name, Kind::Gauge, help);
        for replica in replicas {
            let number = replica.number.to_string();
            family.sample(&replica_labels(replica, &number), figure(replica));
        }
    }
    let mut lag = out.family(
        "caudal_raft_follower_lag_entries",
        Kind::Gauge,
        "On the leader: log entries that a follower does not have yet.",
    );
    for replica in replicas {
        let number = replica.number.to_string();
        for follower in &replica.followers {
            let node = follower.node.to_string();
            let [kind, topic, partition] = replica_labels(replica, &number);
            lag.sample(&[kind, topic, partition, ("follower", &node)], follower.entries);
        }
    }
}

fn replica_labels<'a>(replica: &'a ReplicaStatus, number: &'a str) -> [(&'static str, &'a str); 3] {
    [("kind", replica.kind.as_str()), ("topic", &replica.topic), ("partition", number)]
}

/// An offset of a partition.
type Offset = (&'static str, &'static str, fn(&PartitionRange) -> i64);

const OFFSETS: [Offset; 3] = [
    ("caudal_partition_log_start_offset", "The first offset that can be read.", |range| range.log_start),
    ("caudal_partition_high_watermark", "One past the last committed offset.", |range| range.high_watermark),
    ("caudal_partition_last_stable_offset", "One past the last offset that read_committed readers see.", |range| {
        range.last_stable
    }),
];

fn offsets(out: &mut Exposition, replicas: &[ReplicaStatus]) {
    for (name, help, offset) in OFFSETS {
        let mut family = out.family(name, Kind::Gauge, help);
        for replica in replicas {
            if let Some(range) = &replica.offsets {
                let partition = replica.number.to_string();
                family.sample(&[("topic", &replica.topic), ("partition", &partition)], offset(range));
            }
        }
    }
}

fn sizes(out: &mut Exposition, replicas: &[ReplicaStatus]) {
    let mut sizes = out.family("caudal_partition_log_bytes", Kind::Gauge, "Bytes of the log that this replica keeps.");
    for replica in replicas.iter().filter(|replica| replica.offsets.is_some()) {
        let partition = replica.number.to_string();
        sizes.sample(&[("topic", &replica.topic), ("partition", &partition)], replica.log_bytes);
    }
}

/// What is acknowledged, or may be, and not synced: of those replicas alone of which there may be any, which are few.
fn flushes(out: &mut Exposition, replicas: &[ReplicaStatus]) {
    const FIGURES: [Figure; 4] = [
        (
            "caudal_partition_flush_relaxed",
            "1 when records are acknowledged before they are synced, by flush.messages and flush.ms.",
            |replica| i64::from(replica.relaxed_flush),
        ),
        (
            "caudal_partition_acked_unflushed_records",
            "Records that this replica has written, and may have acknowledged, and not synced.",
            |replica| clamp(replica.unflushed_records),
        ),
        ("caudal_partition_acked_unflushed_bytes", "The same in bytes of log entries.", |replica| {
            clamp(replica.unflushed_bytes)
        }),
        (
            "caudal_partition_acked_unflushed_ms",
            "For how many milliseconds the oldest of them has been written.",
            |replica| clamp(replica.unflushed_ms),
        ),
    ];
    let has_any = |replica: &ReplicaStatus| replica.relaxed_flush || replica.unflushed_records > 0;
    for (name, help, figure) in FIGURES {
        let mut family = out.family(name, Kind::Gauge, help);
        for replica in replicas.iter().filter(|replica| has_any(replica)) {
            let partition = replica.number.to_string();
            family.sample(&[("topic", &replica.topic), ("partition", &partition)], figure(replica));
        }
    }
    out.single(
        "caudal_acked_unflushed_records",
        Kind::Gauge,
        "Records that all replicas here have written, and may have acknowledged, and not synced.",
        replicas.iter().map(|replica| replica.unflushed_records).sum::<u64>(),
    );
}

/// What holds readers of committed records back.
fn transactions(out: &mut Exposition, replicas: &[ReplicaStatus]) {
    let mut open = out.family(
        "caudal_partition_open_transaction_seconds",
        Kind::Gauge,
        "For how long the partition's oldest transaction has been open; 0 when none is.",
    );
    for replica in replicas.iter().filter(|replica| replica.offsets.is_some()) {
        let partition = replica.number.to_string();
        open.sample(&[("topic", &replica.topic), ("partition", &partition)], replica.open_transaction_ms / 1000);
    }
}

fn tasks(out: &mut Exposition, tasks: &[TaskStatus]) {
    let mut panics = out.family("caudal_task_panics_total", Kind::Counter, "Panics of background tasks.");
    for task in tasks {
        panics.sample(&[("task", task.name)], task.panics);
    }
    let mut restarts =
        out.family("caudal_task_restarts_total", Kind::Counter, "Background tasks started anew after a panic.");
    for task in tasks {
        restarts.sample(&[("task", task.name)], task.restarts);
    }
}

fn process(out: &mut Exposition, process: &ProcessStatus) {
    if let Some(bytes) = process.resident_bytes {
        out.single("process_resident_memory_bytes", Kind::Gauge, "Memory resident.", bytes);
    }
    if let Some(seconds) = process.cpu_seconds {
        out.single("process_cpu_seconds_total", Kind::Counter, "CPU used, user and system.", seconds);
    }
    if let Some(open) = process.open_fds {
        out.single("process_open_fds", Kind::Gauge, "Open file descriptors.", open);
    }
    if let Some(max) = process.max_fds {
        out.single("process_max_fds", Kind::Gauge, "The most file descriptors that may be open.", max);
    }
}

fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ApiCounters, FollowerLag, GroupKind, PeerStatus, Readiness, ThrottleCounters, TopicBytes};

    fn status() -> NodeStatus {
        NodeStatus {
            version: "1.2.3",
            node_id: 1,
            cluster_id: "caudal".to_owned(),
            readiness: Readiness { ready: true, missing: Vec::new() },
            nodes: vec![PeerStatus { id: 2, advertised: None, alive: false }],
            messages: vec![MessageCounters { kind: "append", requests: 6, answers: 7 }],
            store: StoreStatus {
                syncs: 3,
                appends: 40,
                bytes: 500,
                free_bytes: Some(700),
                log_garbage_bytes: 30,
                ..StoreStatus::default()
            },
            clients: ClientStatus {
                connections: 4,
                throttles: vec![ThrottleCounters { quota: "producer_byte_rate", times: 5, seconds: 2.5 }],
                apis: vec![ApiCounters { name: "Produce", requests: 10, errors: 1, seconds: 0.5 }],
                topics: vec![TopicBytes { topic: "compras".to_owned(), produced: 100, fetched: 200 }],
                ..ClientStatus::default()
            },
            replicas: vec![ReplicaStatus {
                group: 9,
                kind: GroupKind::Partition,
                topic: "compras".to_owned(),
                number: 3,
                leader: Some(1),
                serving: true,
                term: 7,
                last_log_index: 20,
                applied_index: 19,
                purged_index: 11,
                followers: vec![FollowerLag { node: 2, entries: 5 }],
                failed: None,
                doubtful: false,
                offsets: Some(PartitionRange { log_start: 0, high_watermark: 18, last_stable: 18 }),
                log_bytes: 4_096,
                relaxed_flush: true,
                unflushed_records: 6,
                unflushed_bytes: 600,
                unflushed_ms: 66,
                open_transaction_ms: 12_345,
                compaction: Some(PartitionCompaction {
                    clean_upto: 17,
                    waiting_bytes: 1_024,
                    dirty_bytes: 2_048,
                    dirty_ratio: 0.25,
                }),
            }],
            compaction: CompactionStatus {
                passes: 11,
                bad_batches: 2,
                running: 1,
                waiting_bytes: 1_024,
                dirtiest_ratio: 0.5,
                ..CompactionStatus::default()
            },
            tasks: vec![TaskStatus { name: "retention", panics: 8, restarts: 6 }],
            ..NodeStatus::default()
        }
    }

    #[test]
    fn every_figure_has_its_line() {
        let text = render(&status());
        for line in [
            "caudal_throttles_total{quota=\"producer_byte_rate\"} 5",
            "caudal_throttle_seconds_total{quota=\"producer_byte_rate\"} 2.5",
            "caudal_node_info{version=\"1.2.3\",node_id=\"1\",cluster_id=\"caudal\",rack=\"\"} 1",
            "caudal_ready 1",
            "caudal_controller_id -1",
            "caudal_node_alive{node=\"2\"} 0",
            "caudal_connections 4",
            "caudal_requests_total{api=\"Produce\"} 10",
            "caudal_request_errors_total{api=\"Produce\"} 1",
            "caudal_request_duration_seconds_sum{api=\"Produce\"} 0.5",
            "caudal_topic_fetched_bytes_total{topic=\"compras\"} 200",
            "caudal_peer_messages_sent_total{kind=\"append\",part=\"request\"} 6",
            "caudal_peer_messages_sent_total{kind=\"append\",part=\"answer\"} 7",
            "caudal_store_writable 1",
            "caudal_store_full 0",
            "caudal_store_free_bytes 700",
            "caudal_log_syncs_total 3",
            "caudal_raft_serving{kind=\"partition\",topic=\"compras\",partition=\"3\"} 1",
            "caudal_raft_term{kind=\"partition\",topic=\"compras\",partition=\"3\"} 7",
            "caudal_raft_purged_index{kind=\"partition\",topic=\"compras\",partition=\"3\"} 11",
            "caudal_raft_follower_lag_entries{kind=\"partition\",topic=\"compras\",partition=\"3\",follower=\"2\"} 5",
            "caudal_partition_high_watermark{topic=\"compras\",partition=\"3\"} 18",
            "caudal_partition_log_bytes{topic=\"compras\",partition=\"3\"} 4096",
            "caudal_partition_flush_relaxed{topic=\"compras\",partition=\"3\"} 1",
            "caudal_partition_acked_unflushed_records{topic=\"compras\",partition=\"3\"} 6",
            "caudal_partition_acked_unflushed_bytes{topic=\"compras\",partition=\"3\"} 600",
            "caudal_partition_acked_unflushed_ms{topic=\"compras\",partition=\"3\"} 66",
            "caudal_acked_unflushed_records 6",
            "caudal_store_log_garbage_bytes 30",
            "caudal_task_panics_total{task=\"retention\"} 8",
            "caudal_task_restarts_total{task=\"retention\"} 6",
            "caudal_partition_open_transaction_seconds{topic=\"compras\",partition=\"3\"} 12",
            "caudal_compaction_passes_total 11",
            "caudal_compaction_bad_batches_total 2",
            "caudal_compaction_running 1",
            "caudal_compaction_waiting_bytes 1024",
            "caudal_compaction_dirtiest_ratio 0.5",
            "caudal_partition_compaction_waiting_bytes{topic=\"compras\",partition=\"3\"} 1024",
            "caudal_partition_compaction_dirty_bytes{topic=\"compras\",partition=\"3\"} 2048",
            "caudal_partition_compaction_dirty_ratio{topic=\"compras\",partition=\"3\"} 0.25",
            "caudal_partition_compacted_offset{topic=\"compras\",partition=\"3\"} 17",
        ] {
            assert!(text.lines().any(|found| found == line), "missing: {line}\n{text}");
        }
    }

    #[test]
    fn a_metric_is_declared_once() {
        let text = render(&status());
        let mut names: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
