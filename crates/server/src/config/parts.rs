//! What each component takes from the configuration.

use caudal_broker::{BrokerConfig, ConnectionLimits};
use caudal_coordinator::{ConsumerGroupConfig, CoordinatorConfig, Limited};
use caudal_metadata::quotas::QuotaWindows;
use caudal_metadata::{ControllerConfig, NodeRegistration};
use caudal_partition::{CompactionConfig, PartitionsConfig};
use caudal_raft::{PeerAddress, RaftGroupsConfig, TransportConfig};
use caudal_storage::RocksOptions;
use caudal_types::Network;

use super::Config;
use crate::logging;

const MINUTE_MS: i64 = 60_000;

impl Config {
    /// For the storage engine.
    pub fn rocks_options(&self) -> RocksOptions {
        RocksOptions {
            block_cache_bytes: self.memory.block_cache,
            log_memtable_bytes: self.memory.log_memtable,
            ..RocksOptions::default()
        }
    }

    /// For the connections between nodes.
    pub fn transport(&self) -> TransportConfig {
        let peer = |node: &super::ClusterNode| PeerAddress { node: node.id, address: node.address.to_string() };
        TransportConfig {
            node_id: self.node_id,
            cluster_id: self.settings.cluster_id.clone(),
            listen: self.peer_listener.to_bind(),
            peers: self.nodes.iter().filter(|node| node.id != self.node_id).map(peer).collect(),
            ping_interval: self.settings.raft_ping_interval,
            suspect_after: self.settings.raft_suspect_after,
            network: Network::Tcp,
        }
    }

    /// For the Raft groups.
    pub fn raft_groups(&self) -> RaftGroupsConfig {
        RaftGroupsConfig {
            node_id: self.node_id,
            election_timeout: self.settings.raft_election_timeout,
            rebalance_after: self.settings.raft_rebalance_after,
            disk_stall_after: self.settings.storage_stall_after,
            log_cache_bytes: self.memory.log_cache,
        }
    }

    /// For the controller.
    pub fn controller(&self) -> ControllerConfig {
        ControllerConfig {
            node_id: self.node_id,
            nodes: self.nodes.iter().map(|node| node.id).collect(),
            cluster_id: self.settings.cluster_id.clone(),
            registration: NodeRegistration {
                host: self.advertised.host.clone(),
                port: self.advertised.port,
                rack: self.settings.broker_rack.clone(),
            },
            coordinator_shards: self.settings.coordinator_shards,
            num_partitions: self.settings.num_partitions,
            default_replication_factor: self.settings.default_replication_factor,
            topic_defaults: self.topic_defaults.clone(),
            mutation_windows: QuotaWindows {
                count: self.settings.controller_quota_window_num,
                seconds: self.settings.controller_quota_window_size_seconds,
            },
        }
    }

    /// For the partitions.
    pub fn partitions(&self) -> PartitionsConfig {
        PartitionsConfig {
            node_id: self.node_id,
            topic_defaults: self.topic_defaults.clone(),
            producer_expiration_ms: self.settings.producer_id_expiration_ms,
            retention_check_interval: self.settings.log_retention_check_interval,
            compaction: self.compaction(),
        }
    }

    fn compaction(&self) -> CompactionConfig {
        CompactionConfig {
            threads: self.settings.log_cleaner_threads,
            keys_bytes: self.memory.compaction_keys,
            keys_bytes_max: self.memory.compaction_keys_max(self.settings.memory_limit),
            // Kafka's word for "no limit" is the largest number.
            bytes_per_second: self.settings.log_cleaner_io_max.filter(|rate| *rate < f64::MAX),
            backoff: self.settings.log_cleaner_backoff,
        }
    }

    /// For consumer groups.
    pub fn coordinator(&self) -> CoordinatorConfig {
        let settings = &self.settings;
        CoordinatorConfig {
            min_session_timeout_ms: settings.group_min_session_timeout_ms,
            max_session_timeout_ms: settings.group_max_session_timeout_ms,
            initial_rebalance_delay_ms: settings.group_initial_rebalance_delay_ms,
            max_group_size: settings.group_max_size,
            offsets_retention_ms: settings.offsets_retention_minutes.saturating_mul(MINUTE_MS),
            offsets_check_interval_ms: settings.offsets_check_interval_ms,
            offset_metadata_max_bytes: settings.offset_metadata_max_bytes,
            transaction_max_timeout_ms: settings.transaction_max_timeout_ms,
            transactional_id_expiration_ms: settings.transactional_id_expiration_ms,
            consumer: self.consumer_groups(),
            ..CoordinatorConfig::new(self.node_id)
        }
    }

    /// For groups of the consumer protocol.
    fn consumer_groups(&self) -> ConsumerGroupConfig {
        let settings = &self.settings;
        ConsumerGroupConfig {
            session_timeout: Limited {
                default: settings.group_consumer_session_timeout_ms,
                min: settings.group_consumer_min_session_timeout_ms,
                max: settings.group_consumer_max_session_timeout_ms,
            },
            heartbeat_interval: Limited {
                default: settings.group_consumer_heartbeat_interval_ms,
                min: settings.group_consumer_min_heartbeat_interval_ms,
                max: settings.group_consumer_max_heartbeat_interval_ms,
            },
            max_size: settings.group_consumer_max_size,
            assignors: settings.group_consumer_assignors.clone(),
            migration: settings.group_consumer_migration_policy,
        }
    }

    /// Kafka's word for "no limit" is the largest number.
    fn connections(&self) -> ConnectionLimits {
        let settings = &self.settings;
        let unlimited = i32::MAX.unsigned_abs();
        let per_ip = settings.max_connections_per_ip;
        ConnectionLimits {
            per_ip: (per_ip < unlimited as usize).then_some(per_ip),
            per_ip_overrides: settings.max_connections_per_ip_overrides.0.clone(),
            creation_rate: Some(settings.max_connection_creation_rate).filter(|rate| *rate < unlimited),
        }
    }

    /// For the clients' listener.
    pub fn broker(&self) -> BrokerConfig {
        let settings = &self.settings;
        BrokerConfig {
            node_id: self.node_id,
            listen: settings.listeners.0.to_bind(),
            folder: std::path::absolute(&settings.log_dirs).unwrap_or_else(|_| settings.log_dirs.clone()),
            max_connections: settings.max_connections,
            request_max_bytes: settings.socket_request_max_bytes,
            request_memory_bytes: self.memory.requests,
            fetch_memory_bytes: self.memory.answers,
            idle_timeout: settings.connections_max_idle,
            auto_create_topics: settings.auto_create_topics,
            fetch_sessions_max: settings.fetch_session_slots,
            fetch_max_bytes: settings.fetch_max_bytes,
            quota_windows: QuotaWindows {
                count: settings.quota_window_num,
                seconds: settings.quota_window_size_seconds,
            },
            connections: self.connections(),
            telemetry_max_bytes: settings.telemetry_max_bytes,
            replica_selector: settings.replica_selector,
            shown: self.shown.clone().into(),
            log_levels: logging::levels(settings),
            network: Network::Tcp,
        }
    }
}
