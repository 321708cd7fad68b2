//! One file per API. A handler holds only the handles that it needs, takes a typed request and answers a typed response: refusals are part of it.

pub(crate) mod api_versions;

mod acls;
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_replica_log_dirs;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod membership;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod resource;
mod sync_group;
mod transactions;
mod txn_offset_commit;
mod unregister_broker;
mod update_features;
mod wishes;
mod write_txn_markers;

use std::sync::Arc;
use std::time::Duration;

use caudal_protocol::api::{SERVED, key};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::config::{BrokerConfig, BrokerParts};
use crate::quotas::Quotas;
use crate::stats::Counters;
use crate::table::{Plain, Serve};

/// Gives each API of the list its handler. An API without a handler, or a handler without an API, does not compile.
macro_rules! handlers {
    (|$config:ident, $parts:ident, $cluster:ident, $counters:ident, $quotas:ident, $stop:ident| $($key:ident => $handler:expr,)*) => {
        const HANDLED: &[i16] = &[$(key::$key),*];

        const _: () = {
            assert!(HANDLED.len() == SERVED.len(), "an API has no handler, or a handler no API");
            let mut i = 0;
            while i < SERVED.len() {
                assert!(HANDLED[i] == SERVED[i].key, "the handlers are not in the order of the list of APIs");
                i += 1;
            }
        };

        /// The handlers, in the order of the list of APIs.
        pub(crate) fn all(
            $config: &BrokerConfig,
            $parts: &BrokerParts,
            $counters: &Arc<Counters>,
            $quotas: &Arc<Quotas>,
            $stop: &CancellationToken,
        ) -> Vec<Arc<dyn Serve>> {
            let $cluster = Cluster::new($parts.controller.clone(), $parts.transport.clone());
            vec![$(Arc::new($handler)),*]
        }
    };
}

handlers! { |config, parts, cluster, counters, quotas, stop|
    PRODUCE => produce::Produce::new(cluster.clone(), parts, Arc::clone(counters), Arc::clone(quotas)),
    FETCH => fetch::Fetch::new(config, parts, cluster.clone(), Arc::clone(counters), Arc::clone(quotas), stop.clone()),
    LIST_OFFSETS => Plain(list_offsets::ListOffsets::new(cluster.clone(), parts.partitions.clone())),
    METADATA => Plain(metadata::Metadata::new(cluster.clone(), config.auto_create_topics)),
    OFFSET_COMMIT => Plain(offset_commit::OffsetCommit::new(cluster.clone(), parts.coordinator.clone())),
    OFFSET_FETCH => Plain(offset_fetch::OffsetFetch::new(cluster.clone(), parts.coordinator.clone())),
    FIND_COORDINATOR => Plain(find_coordinator::FindCoordinator::new(cluster.clone(), parts.coordinator.clone())),
    JOIN_GROUP => Plain(join_group::JoinGroup::new(parts.coordinator.clone())),
    HEARTBEAT => Plain(heartbeat::Heartbeat::new(parts.coordinator.clone())),
    LEAVE_GROUP => Plain(leave_group::LeaveGroup::new(parts.coordinator.clone())),
    SYNC_GROUP => Plain(sync_group::SyncGroup::new(parts.coordinator.clone())),
    DESCRIBE_GROUPS => Plain(describe_groups::DescribeGroups::new(parts.coordinator.clone())),
    LIST_GROUPS => Plain(list_groups::ListGroups::new(parts.coordinator.clone())),
    API_VERSIONS => Plain(api_versions::ApiVersions::new(cluster.clone())),
    CREATE_TOPICS => Plain(create_topics::CreateTopics::new(cluster.clone(), Arc::clone(quotas))),
    DELETE_TOPICS => Plain(delete_topics::DeleteTopics::new(cluster.clone(), Arc::clone(quotas))),
    DELETE_RECORDS => Plain(delete_records::DeleteRecords::new(cluster.clone(), parts.partitions.clone())),
    INIT_PRODUCER_ID => Plain(init_producer_id::InitProducerId::new(parts.controller.clone(), parts.coordinator.clone())),
    OFFSET_FOR_LEADER_EPOCH =>
        Plain(offset_for_leader_epoch::OffsetForLeaderEpoch::new(cluster.clone(), parts.partitions.clone())),
    ADD_PARTITIONS_TO_TXN =>
        Plain(add_partitions_to_txn::AddPartitionsToTxn::new(cluster.clone(), parts.coordinator.clone())),
    ADD_OFFSETS_TO_TXN => Plain(add_offsets_to_txn::AddOffsetsToTxn::new(parts.coordinator.clone())),
    END_TXN => Plain(end_txn::EndTxn::new(parts.coordinator.clone())),
    WRITE_TXN_MARKERS => Plain(write_txn_markers::WriteTxnMarkers::new(cluster.clone(), parts.partitions.clone())),
    TXN_OFFSET_COMMIT => Plain(txn_offset_commit::TxnOffsetCommit::new(cluster.clone(), parts.coordinator.clone())),
    DESCRIBE_ACLS => Plain(describe_acls::DescribeAcls),
    CREATE_ACLS => Plain(create_acls::CreateAcls),
    DELETE_ACLS => Plain(delete_acls::DeleteAcls),
    DESCRIBE_CONFIGS => Plain(describe_configs::DescribeConfigs::new(cluster.clone(), config)),
    ALTER_CONFIGS => Plain(alter_configs::AlterConfigs::new(parts.controller.clone(), parts.coordinator.clone(), config.log_levels.clone())),
    ALTER_REPLICA_LOG_DIRS =>
        Plain(alter_replica_log_dirs::AlterReplicaLogDirs::new(config.folder.clone(), parts.partitions.clone())),
    DESCRIBE_LOG_DIRS =>
        Plain(describe_log_dirs::DescribeLogDirs::new(config.folder.clone(), parts.partitions.clone())),
    CREATE_PARTITIONS =>
        Plain(create_partitions::CreatePartitions::new(parts.controller.clone(), Arc::clone(quotas))),
    DELETE_GROUPS => Plain(delete_groups::DeleteGroups::new(parts.coordinator.clone())),
    ELECT_LEADERS => Plain(elect_leaders::ElectLeaders::new(cluster.clone(), parts.groups.clone())),
    INCREMENTAL_ALTER_CONFIGS =>
        Plain(incremental_alter_configs::IncrementalAlterConfigs::new(parts.controller.clone(), parts.coordinator.clone(), config.log_levels.clone())),
    LIST_PARTITION_REASSIGNMENTS => Plain(list_partition_reassignments::ListPartitionReassignments),
    OFFSET_DELETE => Plain(offset_delete::OffsetDelete::new(cluster.clone(), parts.coordinator.clone())),
    DESCRIBE_CLIENT_QUOTAS => Plain(describe_client_quotas::DescribeClientQuotas::new(cluster.clone())),
    ALTER_CLIENT_QUOTAS => Plain(alter_client_quotas::AlterClientQuotas::new(parts.controller.clone())),
    DESCRIBE_USER_SCRAM_CREDENTIALS =>
        Plain(describe_user_scram_credentials::DescribeUserScramCredentials),
    DESCRIBE_QUORUM =>
        Plain(describe_quorum::DescribeQuorum::new(cluster.clone(), parts.groups.clone(), Arc::clone(&parts.clock))),
    UPDATE_FEATURES => Plain(update_features::UpdateFeatures),
    DESCRIBE_CLUSTER => Plain(describe_cluster::DescribeCluster::new(cluster.clone())),
    DESCRIBE_PRODUCERS =>
        Plain(describe_producers::DescribeProducers::new(cluster.clone(), parts.partitions.clone())),
    UNREGISTER_BROKER => Plain(unregister_broker::UnregisterBroker::new(cluster.clone())),
    DESCRIBE_TRANSACTIONS => Plain(describe_transactions::DescribeTransactions::new(parts.coordinator.clone())),
    LIST_TRANSACTIONS =>
        Plain(list_transactions::ListTransactions::new(parts.coordinator.clone(), Arc::clone(&parts.clock))),
    CONSUMER_GROUP_HEARTBEAT => Plain(consumer_group_heartbeat::ConsumerGroupHeartbeat::new(parts.coordinator.clone())),
    CONSUMER_GROUP_DESCRIBE =>
        Plain(consumer_group_describe::ConsumerGroupDescribe::new(cluster.clone(), parts.coordinator.clone())),
    LIST_CONFIG_RESOURCES => Plain(list_config_resources::ListConfigResources::new(cluster.clone())),
    DESCRIBE_TOPIC_PARTITIONS =>
        Plain(describe_topic_partitions::DescribeTopicPartitions::new(cluster)),
}

/// A request's time-out, in milliseconds on the wire.
fn within(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}
