//! What the admin listener is told: gathered from the components at each request.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use caudal_admin::{
    ApiCounters, ClientMetric, ClientStatus, CompactionStatus, FollowerLag, GroupKind, MessageCounters, NodeSource,
    NodeStatus, PartitionCompaction, PartitionRange, PeerStatus, Readiness, ReplicaStatus, StoreStatus, TaskStatus,
    TelemetryStatus, ThrottleCounters, TopicBytes,
};
use caudal_broker::Broker;
use caudal_metadata::Controller;
use caudal_partition::{Partition, Partitions};
use caudal_raft::{GroupStatus, RaftGroups, SentMessages, Transport};
use caudal_storage::{DiskSpace, FilesystemSize, LogWriter, StoreState};
use caudal_types::panics::{self, TaskStats};
use caudal_types::{NodeId, RaftGroupId};

use crate::config::{Config, HostPort};
use crate::process;

/// How many coordinator shards a message names before it only counts them.
const SHARDS_NAMED: usize = 4;

/// The components that can be asked.
#[derive(Clone, Debug)]
pub struct Components {
    /// The disk.
    pub log_writer: LogWriter,
    /// The other nodes.
    pub transport: Transport,
    /// The Raft groups.
    pub groups: RaftGroups,
    /// The cluster's truth.
    pub controller: Controller,
    /// The partitions on this node.
    pub partitions: Partitions,
}

/// The node as the admin listener sees it, from the first moment of the start on.
#[derive(Debug)]
pub struct NodeView {
    node_id: NodeId,
    cluster_id: String,
    rack: Option<String>,
    advertised: HostPort,
    configured: Vec<NodeId>,
    folder: PathBuf,
    started: Instant,
    components: OnceLock<Components>,
    broker: OnceLock<Broker>,
    stopping: AtomicBool,
}

impl NodeView {
    /// A node that has just begun to start.
    pub fn new(config: &Config) -> Self {
        Self {
            node_id: config.node_id,
            cluster_id: config.settings.cluster_id.clone(),
            rack: config.settings.broker_rack.clone(),
            advertised: config.advertised.clone(),
            configured: config.nodes.iter().map(|node| node.id).collect(),
            folder: config.settings.log_dirs.clone(),
            started: Instant::now(),
            components: OnceLock::new(),
            broker: OnceLock::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// The components are there. Later calls change nothing.
    pub fn set_components(&self, components: Components) {
        let _ = self.components.set(components);
    }

    /// Clients can connect. Later calls change nothing.
    pub fn set_broker(&self, broker: Broker) {
        let _ = self.broker.set(broker);
    }

    /// The node takes its leave: it is no longer ready.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// How long the node has been there.
    pub fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Whether this node is registered, with the address that it is configured with.
    pub fn is_registered(&self, controller: &Controller) -> bool {
        let image = controller.image();
        let advertised = &self.advertised;
        image.nodes.get(&self.node_id).is_some_and(|node| node.host == advertised.host && node.port == advertised.port)
    }

    fn store_failure(&self) -> Option<String> {
        match &*self.components.get()?.log_writer.state().borrow() {
            StoreState::Writable => None,
            StoreState::Failed(reason) => Some(reason.clone()),
        }
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.stopping.load(Ordering::SeqCst) {
            missing.push("the node is stopping".to_owned());
        }
        missing.extend(self.store_failure().map(|reason| format!("the store takes no writes: {reason}")));
        let Some(components) = self.components.get() else {
            missing.push("the data directory is being opened".to_owned());
            return missing;
        };
        if !self.is_registered(&components.controller) {
            missing.push("the node is not registered yet: a majority of cluster.nodes must be up".to_owned());
        }
        if self.broker.get().is_none() {
            missing.push("the listener for clients is not open yet".to_owned());
        }
        missing.extend(missing_coordinators(&components.controller));
        missing
    }

    fn nodes(&self, components: &Components) -> Vec<PeerStatus> {
        let image = components.controller.image();
        let liveness = components.transport.liveness();
        let mut ids: Vec<NodeId> = self.configured.iter().chain(image.nodes.keys()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let peer = |id: NodeId| PeerStatus {
            id: id.0,
            advertised: image.nodes.get(&id).map(|node| format!("{}:{}", node.host, node.port)),
            alive: id == self.node_id || liveness.is_alive(id),
        };
        ids.into_iter().map(peer).collect()
    }
}

fn missing_coordinators(controller: &Controller) -> Option<String> {
    let image = controller.image();
    if image.coordinator_shards.is_empty() {
        return Some("the cluster is not formed yet".to_owned());
    }
    let leaderless: Vec<String> = (0..)
        .zip(&image.coordinator_shards)
        .filter(|(_, shard)| controller.leaders().leader(shard.group).is_none())
        .map(|(number, _): (usize, _)| number.to_string())
        .collect();
    let (count, named) =
        (leaderless.len(), leaderless.iter().take(SHARDS_NAMED).cloned().collect::<Vec<_>>().join(", "));
    match count {
        0 => None,
        _ => Some(format!(
            "{count} of {} coordinator shards have no leader ({named} ...)",
            image.coordinator_shards.len()
        )),
    }
}

impl NodeSource for NodeView {
    fn health(&self) -> Result<(), String> {
        match self.store_failure() {
            None => Ok(()),
            Some(reason) => {
                Err(format!("the store takes no writes until the disk is mended and the node restarted: {reason}"))
            }
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness::from_missing(self.missing())
    }

    fn status(&self) -> NodeStatus {
        let mut status = NodeStatus {
            version: env!("CARGO_PKG_VERSION"),
            node_id: self.node_id.0,
            cluster_id: self.cluster_id.clone(),
            rack: self.rack.clone(),
            uptime_seconds: self.uptime().as_secs_f64(),
            readiness: self.readiness(),
            tasks: tasks(),
            process: process::read(),
            ..NodeStatus::default()
        };
        if let Some(components) = self.components.get() {
            status.controller = components.controller.controller_id().map(|node| node.0);
            status.nodes = self.nodes(components);
            status.messages = messages(&components.transport);
            status.store = store(&self.folder, components, self.store_failure());
            status.replicas = replicas(components);
            status.compaction = compaction(&components.partitions);
        }
        if let Some(broker) = self.broker.get() {
            status.clients = clients(broker);
        }
        status
    }
}

fn compaction(partitions: &Partitions) -> CompactionStatus {
    let stats = partitions.compaction();
    CompactionStatus {
        passes: stats.passes,
        failures: stats.failures,
        seconds: stats.busy_micros as f64 / 1e6,
        read_bytes: stats.read_bytes,
        written_bytes: stats.written_bytes,
        freed_bytes: stats.freed_bytes,
        removed_records: stats.removed_records,
        bad_batches: stats.bad_batches,
        running: stats.running,
        waiting_bytes: stats.waiting_bytes,
        dirtiest_ratio: stats.dirtiest_millionths as f64 / 1e6,
    }
}

fn tasks() -> Vec<TaskStatus> {
    let task = |TaskStats { name, panics, restarts }| TaskStatus { name, panics, restarts };
    panics::stats().into_iter().map(task).collect()
}

fn messages(transport: &Transport) -> Vec<MessageCounters> {
    let counters =
        |sent: SentMessages| MessageCounters { kind: sent.kind, requests: sent.requests, answers: sent.answers };
    transport.sent().into_iter().map(counters).collect()
}

fn store(folder: &Path, components: &Components, failed: Option<String>) -> StoreStatus {
    let stats = components.log_writer.stats();
    let log = components.partitions.log_space().unwrap_or_default();
    StoreStatus {
        failed,
        full: components.log_writer.space() != DiskSpace::Enough,
        log_bytes: log.bytes,
        log_garbage_bytes: log.garbage_bytes,
        free_bytes: FilesystemSize::of(folder).ok().map(|size| size.free),
        syncs: stats.syncs,
        appends: stats.appends,
        bytes: stats.bytes,
    }
}

fn clients(broker: &Broker) -> ClientStatus {
    let stats = broker.stats();
    let api = |api: caudal_broker::ApiStats| ApiCounters {
        name: api.name,
        requests: api.requests,
        errors: api.errors,
        seconds: api.seconds,
    };
    let throttle = |throttle: caudal_broker::ThrottleStats| ThrottleCounters {
        quota: throttle.quota,
        times: throttle.times,
        seconds: throttle.seconds,
    };
    ClientStatus {
        connections: stats.connections,
        connections_refused: stats.connections_refused,
        connections_refused_per_ip: stats.connections_refused_per_ip,
        connections_delayed: stats.connections_delayed,
        throttles: stats.throttles.into_iter().map(throttle).collect(),
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
        follower_bytes: stats.follower_bytes,
        apis: stats.apis.into_iter().map(api).collect(),
        topics: stats
            .topics
            .into_iter()
            .map(|(topic, produced, fetched)| TopicBytes { topic, produced, fetched })
            .collect(),
        telemetry: telemetry(stats.telemetry),
    }
}

fn telemetry(stats: caudal_broker::TelemetryStats) -> TelemetryStatus {
    let metric = |metric: caudal_broker::ClientMetric| ClientMetric {
        name: metric.name,
        counter: metric.counter,
        labels: metric.labels,
        value: metric.value,
    };
    TelemetryStatus {
        clients: stats.clients,
        values: stats.values.into_iter().map(metric).collect(),
        unknown_subscriptions: stats.unknown_subscriptions,
        throttles: stats.throttles,
        pushes: stats.pushes,
        push_seconds: stats.push_seconds,
        push_errors: stats.push_errors,
        clients_evicted: stats.clients_evicted,
        values_dropped: stats.values_dropped,
    }
}

fn replicas(components: &Components) -> Vec<ReplicaStatus> {
    let of_group = |group: RaftGroupId, kind, number| {
        let raft_group = components.groups.get(group)?;
        Some(ReplicaStatus { kind, number, ..replica(group, &raft_group.status()) })
    };
    let image = components.controller.image();
    let shards = (0..).zip(&image.coordinator_shards);
    let mut replicas: Vec<ReplicaStatus> = of_group(RaftGroupId::METADATA, GroupKind::Metadata, 0)
        .into_iter()
        .chain(shards.filter_map(|(number, shard)| of_group(shard.group, GroupKind::Coordinator, number)))
        .collect();
    let mut partitions: Vec<ReplicaStatus> =
        components.partitions.all().iter().map(|partition| partition_replica(partition)).collect();
    partitions.sort_by(|left, right| (&left.topic, left.number).cmp(&(&right.topic, right.number)));
    replicas.extend(partitions);
    replicas
}

fn partition_replica(partition: &Partition) -> ReplicaStatus {
    let offsets = *partition.offsets().borrow();
    ReplicaStatus {
        kind: GroupKind::Partition,
        topic: partition.name().topic.to_string(),
        number: partition.name().partition,
        offsets: Some(PartitionRange {
            log_start: offsets.log_start,
            high_watermark: offsets.high_watermark,
            last_stable: offsets.last_stable,
        }),
        log_bytes: partition.log_bytes(),
        open_transaction_ms: partition.oldest_open_ms().unwrap_or(0),
        compaction: partition.compaction_lag().map(|lag| PartitionCompaction {
            clean_upto: lag.clean_upto,
            waiting_bytes: lag.waiting_bytes,
            dirty_bytes: lag.dirty_bytes,
            dirty_ratio: lag.dirty_ratio,
        }),
        ..replica(partition.group(), &partition.raft_status())
    }
}

fn replica(group: RaftGroupId, status: &GroupStatus) -> ReplicaStatus {
    let behind = |matched: u64| status.last_log_index.saturating_sub(matched);
    let leader = status.leadership.leader;
    ReplicaStatus {
        group: group.0,
        leader: leader.map(|node| node.0),
        serving: status.leadership.serving,
        term: status.leadership.term,
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        purged_index: status.purged_index,
        followers: status
            .matched
            .iter()
            .filter(|(node, _)| Some(*node) != leader)
            .map(|(node, matched)| FollowerLag { node: node.0, entries: behind(*matched) })
            .collect(),
        failed: status.failed.clone(),
        doubtful: status.doubtful,
        relaxed_flush: status.unflushed.relaxed,
        unflushed_records: status.unflushed.records,
        unflushed_bytes: status.unflushed.bytes,
        unflushed_ms: u64::try_from(status.unflushed.oldest.as_millis()).unwrap_or(u64::MAX),
        ..ReplicaStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use caudal_raft::{Leadership, Members};

    use super::*;

    #[test]
    fn lag_is_told_of_followers_only() {
        let status = GroupStatus {
            members: Members { voters: vec![NodeId(1), NodeId(2), NodeId(3)], learners: Vec::new() },
            leadership: Leadership { leader: Some(NodeId(1)), term: 4, serving: true },
            last_log_index: 10,
            applied_index: 9,
            purged_index: 0,
            matched: vec![(NodeId(1), 10), (NodeId(2), 10), (NodeId(3), 3)],
            failed: None,
            doubtful: false,
            unflushed: caudal_raft::Unflushed::default(),
        };
        let replica = replica(RaftGroupId(5), &status);
        let lag = |node, entries| FollowerLag { node, entries };
        assert_eq!(replica.followers, [lag(2, 0), lag(3, 7)]);
        assert_eq!((replica.leader, replica.term, replica.serving), (Some(1), 4, true));
    }
}
