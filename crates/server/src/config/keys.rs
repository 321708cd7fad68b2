//! Every key of the configuration. This list is the only place to add one: file, flags, environment variables and
//! `docs/configuration.md` follow from it.
//!
//! The settings of Apache Kafka that a node does not have are in [`caudal_metadata::config_defs::kafka_node_configs`]; those with effect are here.
//!
//! The settings of topics are not in it: their node-level defaults (`log.segment.bytes` ...) come from
//! [`caudal_metadata::config_defs`], and are kept by name in [`Layers`].

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use caudal_broker::ReplicaSelector;
use caudal_coordinator::{Assignor, MigrationPolicy};
use caudal_metadata::config_defs::ConfigType;

use super::address::{ClusterNode, HostPort, NODE_ID_MAX, PlaintextListener};
use super::value::{AddressCounts, ConfigValue, LogFilter, LogFormat};
use super::{ConfigError, Layers};

/// A key, as the file, the flags and the documentation need it.
#[derive(Clone, Debug)]
pub struct KeyDef {
    /// Its name: Kafka's where the concept exists there.
    pub name: &'static str,
    /// The heading that it stands under.
    pub section: &'static str,
    /// The type, for readers.
    pub kind: &'static str,
    /// The type, for clients.
    pub wire_type: ConfigType,
    /// The default as it would be written; `None` when the key must be set, an empty text when it may stay unset.
    pub default: Option<&'static str>,
    /// A value for examples and messages, where there is no default.
    pub example: &'static str,
    /// The numbers that are allowed.
    pub range: Option<RangeInclusive<i64>>,
    /// What it is for.
    pub documentation: &'static str,
}

/// `must_be_set("example")` has no default, `default("text")` has one, `unset` may stay without a value.
macro_rules! default_of {
    (must_be_set($example:literal)) => {
        default_and_example(None, $example)
    };
    (default($text:literal)) => {
        default_and_example(Some($text), $text)
    };
    (unset) => {
        default_and_example(Some(""), "")
    };
}

const fn default_and_example(
    default: Option<&'static str>,
    example: &'static str,
) -> (Option<&'static str>, &'static str) {
    (default, example)
}

macro_rules! range_of {
    () => {
        None
    };
    ($range:expr) => {
        Some($range)
    };
}

macro_rules! config_keys {
    ($(section $section:literal { $(
        $(#[doc = $doc:literal])+
        $name:literal $field:ident: $kind:ty = $default:ident $(($value:literal))? $(, in $range:expr)?;
    )+ })+) => {
        /// The node's settings, typed: one field per key. What they mean together is in [`Config`](super::Config).
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($( $(#[doc = $doc])+ pub $field: $kind, )+)+
        }

        /// All keys, in the order of the documentation.
        pub static KEYS: &[KeyDef] = &[$($( KeyDef {
            name: $name,
            section: $section,
            kind: <$kind as ConfigValue>::KIND,
            wire_type: <$kind as ConfigValue>::TYPE,
            default: default_of!($default $(($value))?).0,
            example: default_of!($default $(($value))?).1,
            range: range_of!($($range)?),
            documentation: concat!($($doc),+),
        }, )+)+];

        impl Settings {
            /// Reads every key from `layers`.
            ///
            /// # Errors
            /// The first value that is missing or cannot be.
            pub fn read(layers: &Layers) -> Result<Self, ConfigError> {
                Ok(Self { $($( $field: layers.value(key($name))?, )+)+ })
            }
        }
    };
}

config_keys! {
    section "Node and cluster" {
        /// The number of this node, unique in the cluster and never changed: the data folder is marked with it.
        "node.id" node_id: u32 = must_be_set("1"), in 0..=NODE_ID_MAX as i64;
        /// The name of the cluster, the same on all its nodes. Nodes of another cluster are refused as peers, and so is their data folder.
        "cluster.id" cluster_id: String = default("caudal");
        /// All nodes of the cluster, this one included, each with the address at which its peers reach it, such as
        /// `1@10.0.0.1:10092,2@10.0.0.2:10092,3@10.0.0.3:10092`; the same list on every node. The first up to five of them (an odd number) keep
        /// the cluster's metadata. Unset: this node is a cluster of its own.
        "cluster.nodes" cluster_nodes: Vec<ClusterNode> = unset;
        /// The rack, zone or room of this node; a partition's replicas are spread over as many as there are.
        "broker.rack" broker_rack: Option<String> = unset;
        /// The folder that keeps all data of this node. One path only.
        "log.dirs" log_dirs: PathBuf = must_be_set("/var/lib/caudal");
        /// The memory that this node may take, divided among caches, the storage engine, requests and answers; the rest, at least a quarter, is for
        /// connections (about 20 KiB each) and replicas (about 90 KiB each). The page cache of the system is not in it.
        "memory.limit" memory_limit: usize = default("1073741824"), in 1 << 28..=1 << 44;
        /// How many coordinator shards a new cluster gets: Raft groups that keep consumer groups and their offsets. Fixed when the cluster is formed.
        "coordinator.shards" coordinator_shards: usize = default("16"), in 1..=1024;
    }
    section "Listeners" {
        /// Where to listen for clients. An empty host means all interfaces; then `advertised.listeners` must be set. There is neither encryption nor
        /// authentication yet: listen only where you trust everyone.
        "listeners" listeners: PlaintextListener = default("PLAINTEXT://127.0.0.1:9092");
        /// The address that clients are told. Unset: that of `listeners`.
        "advertised.listeners" advertised_listeners: Option<PlaintextListener> = unset;
        /// Where to listen for the other nodes. Unset: this node's address in `cluster.nodes`.
        "peer.listener" peer_listener: Option<HostPort> = unset;
        /// Where to serve `/healthz`, `/readyz`, `/metrics` and `/v1/status` over HTTP. Empty: nowhere.
        "admin.listener" admin_listener: Option<HostPort> = default("127.0.0.1:11092");
    }
    section "Clients and requests" {
        /// The most connections of clients at once; more are closed as they come.
        "max.connections" max_connections: usize = default("10000"), in 1..=i32::MAX as i64;
        /// The most connections of clients at once from one address; more are closed as they come. In the file write this key in quotes, since
        /// `max.connections` is the beginning of its name.
        "max.connections.per.ip" max_connections_per_ip: usize = default("2147483647"), in 0..=i32::MAX as i64;
        /// Other numbers than `max.connections.per.ip` for some addresses or host names, such as `10.0.0.7:100,gateway:1000`. In the file write this key
        /// in quotes.
        "max.connections.per.ip.overrides" max_connections_per_ip_overrides: AddressCounts = unset;
        /// The most new connections of clients a second; more wait before they are served. How many each address may make is a quota of the cluster
        /// (`connection_creation_rate`).
        "max.connection.creation.rate" max_connection_creation_rate: u32 = default("2147483647"), in 0..=i32::MAX as i64;
        /// Over how many windows the use of what clients' quotas limit is measured, the one under way included.
        "quota.window.num" quota_window_num: u32 = default("11"), in 1..=1000;
        /// The length of one window of clients' quotas, in seconds.
        "quota.window.size.seconds" quota_window_size_seconds: u32 = default("1"), in 1..=3600;
        /// Over how many windows changes of the cluster are measured for `controller_mutation_rate`; so much can be saved up.
        "controller.quota.window.num" controller_quota_window_num: u32 = default("11"), in 1..=1000;
        /// The length of one window of changes of the cluster, in seconds.
        "controller.quota.window.size.seconds" controller_quota_window_size_seconds: u32 = default("1"), in 1..=3600;
        /// A connection without a request for this long is closed.
        "connections.max.idle.ms" connections_max_idle: Duration = default("600000"), in 1000..=i64::MAX;
        /// The threads that carry requests, answers and replication. Unset: one less than there are cores, but at least one.
        "num.io.threads" num_io_threads: Option<usize> = unset, in 1..=1024;
        /// The largest request. A connection that announces a larger one is closed.
        "socket.request.max.bytes" socket_request_max_bytes: usize = default("104857600"), in 1024..=1 << 30;
        /// The most bytes of requests being served at once, over all connections; further ones wait in their sockets.
        /// Unset: an eighth of `memory.limit`, but no less than `socket.request.max.bytes`.
        "queued.max.request.bytes" queued_max_request_bytes: Option<usize> = unset, in 1024..=1 << 40;
        /// The most bytes of records in answers to Fetch that are not written yet, over all connections; further ones are smaller, or wait. Unset: an
        /// eighth of `memory.limit`.
        "queued.max.response.bytes" queued_max_response_bytes: Option<usize> = unset, in 1 << 20..=1 << 40;
        /// The most bytes of records in one answer to Fetch, whatever the client asks for.
        "fetch.max.bytes" fetch_max_bytes: usize = default("57671680"), in 1024..=1 << 30;
        /// The most bytes of metrics that a client may push at once, compressed and not (KIP-714).
        "telemetry.max.bytes" telemetry_max_bytes: usize = default("1048576"), in 1..=64 << 20;
        /// Which replica consumers are sent to (KIP-392). Unset: the leader. With `org.apache.kafka.common.replica.RackAwareReplicaSelector`, a follower
        /// in the consumer's rack (`client.rack`, `broker.rack`) if the leader is in another.
        "replica.selector.class" replica_selector: Option<ReplicaSelector> = unset;
        /// The most incremental fetch sessions kept (KIP-227).
        "max.incremental.fetch.session.cache.slots" fetch_session_slots: usize = default("1000"), in 0..=1_000_000;
    }
    section "Topics" {
        /// Whether a topic that a client asks for, and that does not exist, is made.
        "auto.create.topics.enable" auto_create_topics: bool = default("true");
        /// The number of partitions of a topic that does not say.
        "num.partitions" num_partitions: i32 = default("1"), in 1..=caudal_types::limits::PARTITIONS_PER_TOPIC_MAX as i64;
        /// The number of replicas of a topic that does not say. Unset: 3, or the number of nodes if they are fewer.
        "default.replication.factor" default_replication_factor: Option<i16> = unset, in 1..=i16::MAX as i64;
        /// For how long an idempotent producer without a new batch is remembered.
        "producer.id.expiration.ms" producer_id_expiration_ms: i64 = default("86400000"), in 1..=i64::MAX;
        /// How often to look for records that are past their topic's retention (`retention.ms`, `retention.bytes`).
        "log.retention.check.interval.ms" log_retention_check_interval: Duration = default("300000"), in 1..=i32::MAX as i64;
        /// Like `log.retention.ms`, in hours; it counts when neither that nor `log.retention.minutes` is set. -1: for ever.
        "log.retention.hours" log_retention_hours: Option<i64> = unset, in -1..=i32::MAX as i64;
        /// Like `log.retention.ms`, in minutes; it counts when that is not set. -1: for ever.
        "log.retention.minutes" log_retention_minutes: Option<i64> = unset, in -1..=i32::MAX as i64;
        /// Like `log.roll.ms`, in hours; it counts when that is not set.
        "log.roll.hours" log_roll_hours: Option<i64> = unset, in 1..=i32::MAX as i64;
        /// Like `log.roll.jitter.ms`, in hours; it counts when that is not set.
        "log.roll.jitter.hours" log_roll_jitter_hours: Option<i64> = unset, in 0..=i32::MAX as i64;
    }
    section "Log compaction" {
        /// How many partitions whose `cleanup.policy` holds `compact` are compacted at once.
        "log.cleaner.threads" log_cleaner_threads: usize = default("1"), in 1..=64;
        /// How long to wait, when there is nothing to compact, until the next look.
        "log.cleaner.backoff.ms" log_cleaner_backoff: Duration = default("15000"), in 1..=86_400_000;
        /// The memory in which compaction gathers the keys of a partition, over all its threads: 40 bytes for each. It is taken as it is needed; where it does
        /// not suffice, a partition is compacted part by part. Unset: an eighth of `memory.limit`.
        "log.cleaner.dedupe.buffer.size" log_cleaner_dedupe_buffer_size: Option<usize> = unset, in 1 << 20..=caudal_types::limits::COMPACTION_KEYS_MAX_BYTES as i64;
        /// The most bytes that compaction reads and writes in a second, over all its threads. Unset: as many as the disk gives; its threads give way to all
        /// others.
        "log.cleaner.io.max.bytes.per.second" log_cleaner_io_max: Option<f64> = unset, in 1024..=i64::MAX;
    }
    section "Consumer groups" {
        /// The shortest session timeout that a consumer may ask for.
        "group.min.session.timeout.ms" group_min_session_timeout_ms: i32 = default("6000"), in 1..=i32::MAX as i64;
        /// The longest session timeout that a consumer may ask for.
        "group.max.session.timeout.ms" group_max_session_timeout_ms: i32 = default("1800000"), in 1..=i32::MAX as i64;
        /// How long an empty group waits for more consumers behind the first, so that a service that starts is not rebalanced once per consumer.
        "group.initial.rebalance.delay.ms" group_initial_rebalance_delay_ms: i32 = default("3000"), in 0..=i32::MAX as i64;
        /// The most consumers in a group.
        "group.max.size" group_max_size: usize = default("2147483647"), in 1..=i32::MAX as i64;
        /// How long a member of the consumer protocol (KIP-848) may be silent, unless its group has its own `consumer.session.timeout.ms`.
        "group.consumer.session.timeout.ms" group_consumer_session_timeout_ms: i32 = default("45000"), in 1..=i32::MAX as i64;
        /// The shortest session timeout that a consumer group may have.
        "group.consumer.min.session.timeout.ms" group_consumer_min_session_timeout_ms: i32 = default("45000"), in 1..=i32::MAX as i64;
        /// The longest session timeout that a consumer group may have.
        "group.consumer.max.session.timeout.ms" group_consumer_max_session_timeout_ms: i32 = default("60000"), in 1..=i32::MAX as i64;
        /// How often members of the consumer protocol are told to show themselves, unless their group has its own `consumer.heartbeat.interval.ms`.
        "group.consumer.heartbeat.interval.ms" group_consumer_heartbeat_interval_ms: i32 = default("5000"), in 1..=i32::MAX as i64;
        /// The shortest heartbeat interval that a consumer group may have.
        "group.consumer.min.heartbeat.interval.ms" group_consumer_min_heartbeat_interval_ms: i32 = default("5000"), in 1..=i32::MAX as i64;
        /// The longest heartbeat interval that a consumer group may have.
        "group.consumer.max.heartbeat.interval.ms" group_consumer_max_heartbeat_interval_ms: i32 = default("15000"), in 1..=i32::MAX as i64;
        /// The most members in a group of the consumer protocol.
        "group.consumer.max.size" group_consumer_max_size: usize = default("2147483647"), in 1..=i32::MAX as i64;
        /// The assignors that members of the consumer protocol may choose from; the first one is for groups whose members do not choose.
        "group.consumer.assignors" group_consumer_assignors: Vec<Assignor> = default("uniform,range");
        /// Whether a group with members may go over to the consumer protocol (`upgrade`), back to the classic one (`downgrade`), both (`bidirectional`)
        /// or neither (`disabled`).
        "group.consumer.migration.policy" group_consumer_migration_policy: MigrationPolicy = default("bidirectional");
        /// For how long the offsets of a group without consumers are kept.
        "offsets.retention.minutes" offsets_retention_minutes: i64 = default("10080"), in 1..=i32::MAX as i64;
        /// How often to look for offsets that have expired.
        "offsets.retention.check.interval.ms" offsets_check_interval_ms: i64 = default("600000"), in 1..=i32::MAX as i64;
        /// The longest note that a consumer may commit with an offset.
        "offset.metadata.max.bytes" offset_metadata_max_bytes: usize = default("4096"), in 0..=1 << 20;
    }
    section "Transactions" {
        /// The longest time that a producer may ask for its transactions. One that takes longer than asked for is aborted.
        "transaction.max.timeout.ms" transaction_max_timeout_ms: i32 = default("900000"), in 1..=i32::MAX as i64;
        /// How long a transactional id without a transaction is remembered.
        "transactional.id.expiration.ms" transactional_id_expiration_ms: i64 = default("604800000"), in 1..=i64::MAX;
    }
    section "Raft and storage" {
        /// How often the nodes ping each other.
        "raft.ping.interval.ms" raft_ping_interval: Duration = default("100"), in 10..=60_000;
        /// A node that is silent for this long is suspect: the others take over what it leads. At least twice the ping interval.
        "raft.suspect.after.ms" raft_suspect_after: Duration = default("500"), in 20..=600_000;
        /// How long an election, or a change of leaders, may take before it is tried again.
        "raft.election.timeout.ms" raft_election_timeout: Duration = default("500"), in 20..=600_000;
        /// How long a node that was lost must have been back before it takes the leaderships that it is preferred for. Clients that have just failed to
        /// reach it wait some seconds before they try again.
        "raft.rebalance.after.ms" raft_rebalance_after: Duration = default("5000"), in 0..=86_400_000;
        /// A node of which one write has been at the disk for this long is unfit to lead: the others take over what it leads.
        "storage.stall.after.ms" storage_stall_after: Duration = default("2000"), in 100..=600_000;
        /// The space on the disk that records are kept out of. While less than this is free, the node takes none from clients (KAFKA_STORAGE_ERROR) and leads
        /// only what no other node can; below half of it, none from other nodes either. Everything else goes on, so that topics can be deleted, and it ends
        /// when there is space again. Unset: a twentieth of the filesystem, 2 GiB at most. 0: there is no reserve, and a full disk needs a restart.
        "storage.reserve.bytes" storage_reserve_bytes: Option<usize> = unset, in 0..=1 << 44;
        /// The memory for the newest log entries, over all partitions, from which replication and readers at the tail are served. Unset: an eighth of
        /// `memory.limit`.
        "raft.log.cache.bytes" raft_log_cache_bytes: Option<usize> = unset, in 1 << 20..=1 << 40;
        /// The memory for cached blocks of the storage engine. Unset: a thirty-second of `memory.limit`.
        "storage.block.cache.bytes" storage_block_cache_bytes: Option<usize> = unset, in 1 << 20..=1 << 40;
        /// The memory in which log entries are gathered before the storage engine writes a file of them; up to four times as much is held
        /// while the disk is behind. Unset: a thirty-second of `memory.limit`.
        "storage.log.memtable.bytes" storage_log_memtable_bytes: Option<usize> = unset, in 1 << 20..=1 << 32;
    }
    section "Logging" {
        /// How the node's own log lines look, on standard error.
        "log.format" log_format: LogFormat = default("text");
        /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, with exceptions behind it as in `info,caudal_raft=debug`.
        "log.level" log_level: LogFilter = default("info");
    }
}

/// The definition of a key that is in the list.
pub fn key(name: &str) -> &'static KeyDef {
    find(name).unwrap_or_else(|| unreachable!("{name} stands in the list that the caller was made from"))
}

/// The definition of a key.
pub fn find(name: &str) -> Option<&'static KeyDef> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::env_name;
    use crate::config::layers::{all_names, own_names};

    #[test]
    fn names_are_unique_also_as_environment_variables() {
        let names: Vec<&str> = all_names().collect();
        let variables: BTreeSet<String> = names.iter().map(|name| env_name(name)).collect();
        assert_eq!(names.len(), variables.len(), "{names:?}");
    }

    /// Otherwise the one could not be written without quotes beside the other in TOML. Some of Kafka's names are so; their documentation says it.
    #[test]
    fn no_name_is_the_beginning_of_another() {
        const IN_QUOTES: [&str; 2] = ["max.connections", "max.connections.per.ip"];
        for name in own_names().filter(|name| !IN_QUOTES.contains(name)) {
            let inner = format!("{name}.");
            assert!(!own_names().any(|other| other.starts_with(&inner)), "{name}");
        }
    }

    #[test]
    fn every_default_is_legal() {
        for key in KEYS.iter().filter(|key| key.default.is_some_and(|text| !text.is_empty())) {
            if let Some(range) = &key.range {
                assert!(range.contains(&key.example.parse().unwrap()), "{}", key.name);
            }
            assert!(key.documentation.trim_end().ends_with('.'), "{}", key.name);
        }
    }
}
