//! What a node tells of itself. Plain data: `/v1/status` is its JSON, `/metrics` its figures.

use serde::Serialize;

/// Everything at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeStatus {
    /// The program's version.
    pub version: &'static str,
    /// This node.
    pub node_id: u32,
    /// The cluster.
    pub cluster_id: String,
    /// The node's rack.
    pub rack: Option<String>,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// Whether the node serves.
    pub readiness: Readiness,
    /// The node that leads the metadata group, if known.
    pub controller: Option<u32>,
    /// All nodes of the cluster, this one included.
    pub nodes: Vec<PeerStatus>,
    /// Messages sent to the other nodes, by kind.
    pub messages: Vec<MessageCounters>,
    /// The disk.
    pub store: StoreStatus,
    /// The clients' side.
    pub clients: ClientStatus,
    /// The replicas on this node.
    pub replicas: Vec<ReplicaStatus>,
    /// Log compaction.
    pub compaction: CompactionStatus,
    /// Background tasks that go on when they panic, and those that have panicked.
    pub tasks: Vec<TaskStatus>,
    /// The operating system's view.
    pub process: ProcessStatus,
}

/// How background tasks of a name have fared since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// The tasks' name.
    pub name: &'static str,
    /// How often they, or a part of their work, have panicked.
    pub panics: u64,
    /// How often they were started anew for it.
    pub restarts: u64,
}

/// What log compaction has done since the start, and has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CompactionStatus {
    /// Passes over a partition that ended well.
    pub passes: u64,
    /// Passes that failed.
    pub failures: u64,
    /// How long passes took, summed.
    pub seconds: f64,
    /// Bytes of log entries read.
    pub read_bytes: u64,
    /// Bytes of log entries written anew.
    pub written_bytes: u64,
    /// Bytes that log entries lost.
    pub freed_bytes: u64,
    /// Records taken out.
    pub removed_records: u64,
    /// Batches that could not be decoded, and stayed as they were.
    pub bad_batches: u64,
    /// Passes that run now.
    pub running: u64,
    /// Bytes that are ordered to be cleaned and are not yet, over all replicas here.
    pub waiting_bytes: u64,
    /// The largest part, of any partition led here, that could be cleaned.
    pub dirtiest_ratio: f64,
}

/// How far log compaction has come with a replica of a compacted topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PartitionCompaction {
    /// Of each key, only the newest record before this offset is there.
    pub clean_upto: i64,
    /// Bytes of segments that are ordered to be cleaned and are not yet.
    pub waiting_bytes: u64,
    /// Bytes of closed segments that are not clean, ordered or not.
    pub dirty_bytes: u64,
    /// The part of the closed segments' bytes that these are, from 0 to 1.
    pub dirty_ratio: f64,
}

/// Whether a node serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// It does.
    pub ready: bool,
    /// What is missing, when it does not.
    pub missing: Vec<String>,
}

impl Readiness {
    /// Ready, unless something is missing.
    pub fn from_missing(missing: Vec<String>) -> Self {
        Self { ready: missing.is_empty(), missing }
    }
}

/// A node of the cluster, seen from this one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PeerStatus {
    /// Which node.
    pub id: u32,
    /// What clients are told to connect to; `None` until it has registered.
    pub advertised: Option<String>,
    /// Whether it answers.
    pub alive: bool,
}

/// Messages of a kind, sent to the other nodes since the start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct MessageCounters {
    /// What they are about.
    pub kind: &'static str,
    /// Those that ask.
    pub requests: u64,
    /// Those that answer.
    pub answers: u64,
}

/// The disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoreStatus {
    /// Why it takes no writes, when it does not.
    pub failed: Option<String>,
    /// The disk is full but for its reserve, so that records are not taken.
    pub full: bool,
    /// Bytes that record batches of 1 KiB and more take in files; smaller ones are not counted.
    pub log_bytes: u64,
    /// Of them, bytes of removed batches that are known to be so.
    pub log_garbage_bytes: u64,
    /// Bytes that are free on the data folder's filesystem, if the system tells.
    pub free_bytes: Option<u64>,
    /// Synced batches since the start: fsyncs.
    pub syncs: u64,
    /// Appends since the start.
    pub appends: u64,
    /// Bytes written since the start.
    pub bytes: u64,
}

/// The clients' side.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientStatus {
    /// Connections open now.
    pub connections: u64,
    /// Connections refused since the start.
    pub connections_refused: u64,
    /// Connections refused since the start for having too many of the same address.
    pub connections_refused_per_ip: u64,
    /// Connections that had to wait since the start, for `max.connection.creation.rate`.
    pub connections_delayed: u64,
    /// By quota.
    pub throttles: Vec<ThrottleCounters>,
    /// Bytes received since the start.
    pub bytes_in: u64,
    /// Bytes sent since the start.
    pub bytes_out: u64,
    /// Bytes of records read here since the start from partitions that this node follows.
    pub follower_bytes: u64,
    /// By API.
    pub apis: Vec<ApiCounters>,
    /// By topic.
    pub topics: Vec<TopicBytes>,
    /// What clients measured.
    pub telemetry: TelemetryStatus,
}

/// Clients' metrics (KIP-714).
#[derive(Clone, Debug, Default, Serialize)]
pub struct TelemetryStatus {
    /// Clients that are known now.
    pub clients: usize,
    /// What they measured; in `/metrics` alone.
    #[serde(skip)]
    pub values: Vec<ClientMetric>,
    /// Pushes since the start for a subscription that is not the client's.
    pub unknown_subscriptions: u64,
    /// Requests since the start that came too early.
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
#[derive(Clone, Debug, Default)]
pub struct ClientMetric {
    /// Its name in Prometheus' spelling.
    pub name: String,
    /// It only grows.
    pub counter: bool,
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// Counters of one kind of quota since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ThrottleCounters {
    /// Kafka's name.
    pub quota: &'static str,
    /// Requests, or connections, that were more than it allows.
    pub times: u64,
    /// The waits that clients were told, summed, in seconds.
    pub seconds: f64,
}

/// Counters of one API since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ApiCounters {
    /// Kafka's name.
    pub name: &'static str,
    /// Requests answered.
    pub requests: u64,
    /// Of them, with an error.
    pub errors: u64,
    /// From arrival to answer, summed, in seconds.
    pub seconds: f64,
}

/// Bytes of a topic since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TopicBytes {
    /// Which topic.
    pub topic: String,
    /// Bytes produced.
    pub produced: u64,
    /// Bytes fetched.
    pub fetched: u64,
}

/// What a Raft group is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// The cluster's metadata.
    #[default]
    Metadata,
    /// A coordinator shard.
    Coordinator,
    /// A partition of a topic.
    Partition,
}

impl GroupKind {
    /// The word in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Coordinator => "coordinator",
            Self::Partition => "partition",
        }
    }
}

/// A replica of a Raft group on this node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplicaStatus {
    /// The Raft group.
    pub group: u64,
    /// What it is for.
    pub kind: GroupKind,
    /// The topic; empty for what is no partition.
    pub topic: String,
    /// The number of the partition or coordinator shard; 0 for the metadata.
    pub number: i32,
    /// The leader, if known.
    pub leader: Option<u32>,
    /// This node leads and serves.
    pub serving: bool,
    /// The term: Kafka's leader epoch.
    pub term: u64,
    /// The last index in the log.
    pub last_log_index: u64,
    /// The last index applied.
    pub applied_index: u64,
    /// The last index that the log does not have any more; 0 while it has all.
    pub purged_index: u64,
    /// On the leader: how far behind the others are.
    pub followers: Vec<FollowerLag>,
    /// Why the replica stopped, when it did.
    pub failed: Option<String>,
    /// The replica may have forgotten what it promised, and does not vote until it has caught up.
    pub doubtful: bool,
    /// The offsets, where it is a partition.
    pub offsets: Option<PartitionRange>,
    /// Bytes of the log that the replica keeps, where it is of a partition.
    pub log_bytes: u64,
    /// Records are acknowledged when a majority has written them, and synced later (`flush.messages`, `flush.ms`).
    pub relaxed_flush: bool,
    /// Records that this replica has written and not synced.
    pub unflushed_records: u64,
    /// The same in bytes of log entries.
    pub unflushed_bytes: u64,
    /// For how many milliseconds the oldest of them has been written.
    pub unflushed_ms: u64,
    /// For how many milliseconds the partition's oldest transaction has been open; 0 when none is.
    pub open_transaction_ms: i64,
    /// How far log compaction has come, where it is of a compacted topic.
    pub compaction: Option<PartitionCompaction>,
}

/// How far a follower is behind its leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FollowerLag {
    /// Which node.
    pub node: u32,
    /// Entries of the log that it does not have yet.
    pub entries: u64,
}

/// The offsets of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionRange {
    /// The first that can be read.
    pub log_start: i64,
    /// One past the last committed.
    pub high_watermark: i64,
    /// One past the last that read_committed readers see.
    pub last_stable: i64,
}

/// The operating system's view of the process; `None` where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ProcessStatus {
    /// Bytes of memory resident.
    pub resident_bytes: Option<u64>,
    /// Seconds of CPU used, user and system.
    pub cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The most file descriptors that may be open.
    pub max_fds: Option<u64>,
}
