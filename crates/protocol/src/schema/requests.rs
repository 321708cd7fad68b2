//! The schemas of the requests that are served, up to their greatest served version (Kafka's JSON message definitions, shortened to what decides lengths).

use super::Kind::{Array, OptionalStruct, Struct};
use super::operations::*;
use super::telemetry::{GET_TELEMETRY_SUBSCRIPTIONS, PUSH_TELEMETRY};
use super::{Field, Kind, Versions};
use crate::api::key;

pub(super) const BOOL: Kind = Kind::Fixed(1);
pub(super) const I8: Kind = Kind::Fixed(1);
pub(super) const I16: Kind = Kind::Fixed(2);
pub(super) const I32: Kind = Kind::Fixed(4);
const I64: Kind = Kind::Fixed(8);
const F64: Kind = Kind::Fixed(8);
pub(super) const UUID: Kind = Kind::Fixed(16);
pub(super) const STRING: Kind = Kind::String;
pub(super) const BYTES: Kind = Kind::Bytes;

pub(super) const ALL: Versions = between(0, i16::MAX);

pub(super) const fn from(from: i16) -> Versions {
    between(from, i16::MAX)
}

pub(super) const fn until(until: i16) -> Versions {
    between(0, until)
}

const fn between(from: i16, until: i16) -> Versions {
    Versions { from, until }
}

pub(super) const fn field(name: &'static str, versions: Versions, kind: Kind) -> Field {
    Field { name, versions, tag: None, kind }
}

const fn tagged(tag: u32, name: &'static str, versions: Versions, kind: Kind) -> Field {
    Field { name, versions, tag: Some(tag), kind }
}

/// The schema of an API's request.
pub(crate) const fn request_schema(api_key: i16) -> Option<&'static [Field]> {
    Some(match api_key {
        key::PRODUCE => PRODUCE,
        key::FETCH => FETCH,
        key::LIST_OFFSETS => LIST_OFFSETS,
        key::METADATA => METADATA,
        key::OFFSET_COMMIT => OFFSET_COMMIT,
        key::OFFSET_FETCH => OFFSET_FETCH,
        key::FIND_COORDINATOR => FIND_COORDINATOR,
        key::JOIN_GROUP => JOIN_GROUP,
        key::HEARTBEAT => HEARTBEAT,
        key::LEAVE_GROUP => LEAVE_GROUP,
        key::SYNC_GROUP => SYNC_GROUP,
        key::DESCRIBE_GROUPS => DESCRIBE_GROUPS,
        key::LIST_GROUPS => LIST_GROUPS,
        key::API_VERSIONS => API_VERSIONS,
        key::CREATE_TOPICS => CREATE_TOPICS,
        key::DELETE_TOPICS => DELETE_TOPICS,
        key::DELETE_RECORDS => DELETE_RECORDS,
        key::INIT_PRODUCER_ID => INIT_PRODUCER_ID,
        key::OFFSET_FOR_LEADER_EPOCH => OFFSET_FOR_LEADER_EPOCH,
        key::ADD_PARTITIONS_TO_TXN => ADD_PARTITIONS_TO_TXN,
        key::ADD_OFFSETS_TO_TXN => ADD_OFFSETS_TO_TXN,
        key::END_TXN => END_TXN,
        key::WRITE_TXN_MARKERS => WRITE_TXN_MARKERS,
        key::TXN_OFFSET_COMMIT => TXN_OFFSET_COMMIT,
        key::DESCRIBE_ACLS => DESCRIBE_ACLS,
        key::CREATE_ACLS => CREATE_ACLS,
        key::DELETE_ACLS => DELETE_ACLS,
        key::DESCRIBE_CONFIGS => DESCRIBE_CONFIGS,
        key::ALTER_CONFIGS => ALTER_CONFIGS,
        key::ALTER_REPLICA_LOG_DIRS => ALTER_REPLICA_LOG_DIRS,
        key::DESCRIBE_LOG_DIRS => DESCRIBE_LOG_DIRS,
        key::CREATE_PARTITIONS => CREATE_PARTITIONS,
        key::DELETE_GROUPS => DELETE_GROUPS,
        key::ELECT_LEADERS => ELECT_LEADERS,
        key::INCREMENTAL_ALTER_CONFIGS => INCREMENTAL_ALTER_CONFIGS,
        key::LIST_PARTITION_REASSIGNMENTS => LIST_PARTITION_REASSIGNMENTS,
        key::OFFSET_DELETE => OFFSET_DELETE,
        key::DESCRIBE_CLIENT_QUOTAS => DESCRIBE_CLIENT_QUOTAS,
        key::ALTER_CLIENT_QUOTAS => ALTER_CLIENT_QUOTAS,
        key::DESCRIBE_USER_SCRAM_CREDENTIALS => DESCRIBE_USER_SCRAM_CREDENTIALS,
        key::DESCRIBE_QUORUM => DESCRIBE_QUORUM,
        key::UPDATE_FEATURES => UPDATE_FEATURES,
        key::DESCRIBE_CLUSTER => DESCRIBE_CLUSTER,
        key::DESCRIBE_PRODUCERS => DESCRIBE_PRODUCERS,
        key::UNREGISTER_BROKER => UNREGISTER_BROKER,
        key::DESCRIBE_TRANSACTIONS => DESCRIBE_TRANSACTIONS,
        key::LIST_TRANSACTIONS => LIST_TRANSACTIONS,
        key::CONSUMER_GROUP_HEARTBEAT => CONSUMER_GROUP_HEARTBEAT,
        key::CONSUMER_GROUP_DESCRIBE => CONSUMER_GROUP_DESCRIBE,
        key::GET_TELEMETRY_SUBSCRIPTIONS => GET_TELEMETRY_SUBSCRIPTIONS,
        key::PUSH_TELEMETRY => PUSH_TELEMETRY,
        key::LIST_CONFIG_RESOURCES => LIST_CONFIG_RESOURCES,
        key::DESCRIBE_TOPIC_PARTITIONS => DESCRIBE_TOPIC_PARTITIONS,
        _ => return None,
    })
}

const PRODUCE: &[Field] = &[
    field("transactional_id", ALL, STRING),
    field("acks", ALL, I16),
    field("timeout_ms", ALL, I32),
    field(
        "topic_data",
        ALL,
        Array(&Struct(&[
            field("name", until(12), STRING),
            field("topic_id", from(13), UUID),
            field("partition_data", ALL, Array(&Struct(&[field("index", ALL, I32), field("records", ALL, BYTES)]))),
        ])),
    ),
];

const FETCH: &[Field] = &[
    tagged(0, "cluster_id", from(12), STRING),
    field("replica_id", until(14), I32),
    tagged(
        1,
        "replica_state",
        from(15),
        Struct(&[field("replica_id", from(15), I32), field("replica_epoch", from(15), I64)]),
    ),
    field("max_wait_ms", ALL, I32),
    field("min_bytes", ALL, I32),
    field("max_bytes", ALL, I32),
    field("isolation_level", ALL, I8),
    field("session_id", from(7), I32),
    field("session_epoch", from(7), I32),
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("topic", until(12), STRING),
            field("topic_id", from(13), UUID),
            field(
                "partitions",
                ALL,
                Array(&Struct(&[
                    field("partition", ALL, I32),
                    field("current_leader_epoch", from(9), I32),
                    field("fetch_offset", ALL, I64),
                    field("last_fetched_epoch", from(12), I32),
                    field("log_start_offset", from(5), I64),
                    field("partition_max_bytes", ALL, I32),
                    tagged(0, "replica_directory_id", from(17), UUID),
                    tagged(1, "high_watermark", from(18), I64),
                ])),
            ),
        ])),
    ),
    field(
        "forgotten_topics_data",
        from(7),
        Array(&Struct(&[
            field("topic", between(7, 12), STRING),
            field("topic_id", from(13), UUID),
            field("partitions", from(7), Array(&I32)),
        ])),
    ),
    field("rack_id", from(11), STRING),
];

const LIST_OFFSETS: &[Field] = &[
    field("replica_id", ALL, I32),
    field("isolation_level", from(2), I8),
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("name", ALL, STRING),
            field(
                "partitions",
                ALL,
                Array(&Struct(&[
                    field("partition_index", ALL, I32),
                    field("current_leader_epoch", from(4), I32),
                    field("timestamp", ALL, I64),
                ])),
            ),
        ])),
    ),
    field("timeout_ms", from(10), I32),
];

const METADATA: &[Field] = &[
    field("topics", ALL, Array(&Struct(&[field("topic_id", from(10), UUID), field("name", ALL, STRING)]))),
    field("allow_auto_topic_creation", from(4), BOOL),
    field("include_cluster_authorized_operations", between(8, 10), BOOL),
    field("include_topic_authorized_operations", from(8), BOOL),
];

const OFFSET_COMMIT: &[Field] = &[
    field("group_id", ALL, STRING),
    field("generation_id_or_member_epoch", ALL, I32),
    field("member_id", ALL, STRING),
    field("group_instance_id", from(7), STRING),
    field("retention_time_ms", until(4), I64),
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("name", until(9), STRING),
            field("topic_id", from(10), UUID),
            field(
                "partitions",
                ALL,
                Array(&Struct(&[
                    field("partition_index", ALL, I32),
                    field("committed_offset", ALL, I64),
                    field("committed_leader_epoch", from(6), I32),
                    field("committed_metadata", ALL, STRING),
                ])),
            ),
        ])),
    ),
];

const OFFSET_FETCH: &[Field] = &[
    field("group_id", until(7), STRING),
    field(
        "topics",
        until(7),
        Array(&Struct(&[field("name", until(7), STRING), field("partition_indexes", until(7), Array(&I32))])),
    ),
    field(
        "groups",
        from(8),
        Array(&Struct(&[
            field("group_id", from(8), STRING),
            field("member_id", from(9), STRING),
            field("member_epoch", from(9), I32),
            field(
                "topics",
                from(8),
                Array(&Struct(&[
                    field("name", between(8, 9), STRING),
                    field("topic_id", from(10), UUID),
                    field("partition_indexes", from(8), Array(&I32)),
                ])),
            ),
        ])),
    ),
    field("require_stable", from(7), BOOL),
];

const FIND_COORDINATOR: &[Field] = &[
    field("key", until(3), STRING),
    field("key_type", from(1), I8),
    field("coordinator_keys", from(4), Array(&STRING)),
];

const JOIN_GROUP: &[Field] = &[
    field("group_id", ALL, STRING),
    field("session_timeout_ms", ALL, I32),
    field("rebalance_timeout_ms", from(1), I32),
    field("member_id", ALL, STRING),
    field("group_instance_id", from(5), STRING),
    field("protocol_type", ALL, STRING),
    field("protocols", ALL, Array(&Struct(&[field("name", ALL, STRING), field("metadata", ALL, BYTES)]))),
    field("reason", from(8), STRING),
];

const HEARTBEAT: &[Field] = &[
    field("group_id", ALL, STRING),
    field("generation_id", ALL, I32),
    field("member_id", ALL, STRING),
    field("group_instance_id", from(3), STRING),
];

const LEAVE_GROUP: &[Field] = &[
    field("group_id", ALL, STRING),
    field("member_id", until(2), STRING),
    field(
        "members",
        from(3),
        Array(&Struct(&[
            field("member_id", from(3), STRING),
            field("group_instance_id", from(3), STRING),
            field("reason", from(5), STRING),
        ])),
    ),
];

const SYNC_GROUP: &[Field] = &[
    field("group_id", ALL, STRING),
    field("generation_id", ALL, I32),
    field("member_id", ALL, STRING),
    field("group_instance_id", from(3), STRING),
    field("protocol_type", from(5), STRING),
    field("protocol_name", from(5), STRING),
    field("assignments", ALL, Array(&Struct(&[field("member_id", ALL, STRING), field("assignment", ALL, BYTES)]))),
];

const DESCRIBE_GROUPS: &[Field] =
    &[field("groups", ALL, Array(&STRING)), field("include_authorized_operations", from(3), BOOL)];

const LIST_GROUPS: &[Field] =
    &[field("states_filter", from(4), Array(&STRING)), field("types_filter", from(5), Array(&STRING))];

const API_VERSIONS: &[Field] =
    &[field("client_software_name", from(3), STRING), field("client_software_version", from(3), STRING)];

const CREATE_TOPICS: &[Field] = &[
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("name", ALL, STRING),
            field("num_partitions", ALL, I32),
            field("replication_factor", ALL, I16),
            field(
                "assignments",
                ALL,
                Array(&Struct(&[field("partition_index", ALL, I32), field("broker_ids", ALL, Array(&I32))])),
            ),
            field("configs", ALL, Array(&Struct(&[field("name", ALL, STRING), field("value", ALL, STRING)]))),
        ])),
    ),
    field("timeout_ms", ALL, I32),
    field("validate_only", ALL, BOOL),
];

const DELETE_TOPICS: &[Field] = &[
    field("topics", from(6), Array(&Struct(&[field("name", from(6), STRING), field("topic_id", from(6), UUID)]))),
    field("topic_names", until(5), Array(&STRING)),
    field("timeout_ms", ALL, I32),
];

const DELETE_RECORDS: &[Field] = &[
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("name", ALL, STRING),
            field("partitions", ALL, Array(&Struct(&[field("partition_index", ALL, I32), field("offset", ALL, I64)]))),
        ])),
    ),
    field("timeout_ms", ALL, I32),
];

const INIT_PRODUCER_ID: &[Field] = &[
    field("transactional_id", ALL, STRING),
    field("transaction_timeout_ms", ALL, I32),
    field("producer_id", from(3), I64),
    field("producer_epoch", from(3), I16),
];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    field("replica_id", from(3), I32),
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("topic", ALL, STRING),
            field(
                "partitions",
                ALL,
                Array(&Struct(&[
                    field("partition", ALL, I32),
                    field("current_leader_epoch", ALL, I32),
                    field("leader_epoch", ALL, I32),
                ])),
            ),
        ])),
    ),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    field(
        "resources",
        ALL,
        Array(&Struct(&[
            field("resource_type", ALL, I8),
            field("resource_name", ALL, STRING),
            field("configuration_keys", ALL, Array(&STRING)),
        ])),
    ),
    field("include_synonyms", ALL, BOOL),
    field("include_documentation", from(3), BOOL),
];

const ALTER_CONFIGS: &[Field] = &[
    field(
        "resources",
        ALL,
        Array(&Struct(&[
            field("resource_type", ALL, I8),
            field("resource_name", ALL, STRING),
            field("configs", ALL, Array(&Struct(&[field("name", ALL, STRING), field("value", ALL, STRING)]))),
        ])),
    ),
    field("validate_only", ALL, BOOL),
];

const CREATE_PARTITIONS: &[Field] = &[
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("name", ALL, STRING),
            field("count", ALL, I32),
            field("assignments", ALL, Array(&Struct(&[field("broker_ids", ALL, Array(&I32))]))),
        ])),
    ),
    field("timeout_ms", ALL, I32),
    field("validate_only", ALL, BOOL),
];

const DELETE_GROUPS: &[Field] = &[field("groups_names", ALL, Array(&STRING))];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    field(
        "resources",
        ALL,
        Array(&Struct(&[
            field("resource_type", ALL, I8),
            field("resource_name", ALL, STRING),
            field(
                "configs",
                ALL,
                Array(&Struct(&[
                    field("name", ALL, STRING),
                    field("config_operation", ALL, I8),
                    field("value", ALL, STRING),
                ])),
            ),
        ])),
    ),
    field("validate_only", ALL, BOOL),
];

const OFFSET_DELETE: &[Field] = &[
    field("group_id", ALL, STRING),
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("name", ALL, STRING),
            field("partitions", ALL, Array(&Struct(&[field("partition_index", ALL, I32)]))),
        ])),
    ),
];

const DESCRIBE_CLIENT_QUOTAS: &[Field] = &[
    field(
        "components",
        ALL,
        Array(&Struct(&[field("entity_type", ALL, STRING), field("match_type", ALL, I8), field("match", ALL, STRING)])),
    ),
    field("strict", ALL, BOOL),
];

const ALTER_CLIENT_QUOTAS: &[Field] = &[
    field(
        "entries",
        ALL,
        Array(&Struct(&[
            field(
                "entity",
                ALL,
                Array(&Struct(&[field("entity_type", ALL, STRING), field("entity_name", ALL, STRING)])),
            ),
            field(
                "ops",
                ALL,
                Array(&Struct(&[field("key", ALL, STRING), field("value", ALL, F64), field("remove", ALL, BOOL)])),
            ),
        ])),
    ),
    field("validate_only", ALL, BOOL),
];

const DESCRIBE_USER_SCRAM_CREDENTIALS: &[Field] = &[field("users", ALL, Array(&Struct(&[field("name", ALL, STRING)])))];

const DESCRIBE_CLUSTER: &[Field] = &[
    field("include_cluster_authorized_operations", ALL, BOOL),
    field("endpoint_type", from(1), I8),
    field("include_fenced_brokers", from(2), BOOL),
];

const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    field("group_id", ALL, STRING),
    field("member_id", ALL, STRING),
    field("member_epoch", ALL, I32),
    field("instance_id", ALL, STRING),
    field("rack_id", ALL, STRING),
    field("rebalance_timeout_ms", ALL, I32),
    field("subscribed_topic_names", ALL, Array(&STRING)),
    field("subscribed_topic_regex", from(1), STRING),
    field("server_assignor", ALL, STRING),
    field(
        "topic_partitions",
        ALL,
        Array(&Struct(&[field("topic_id", ALL, UUID), field("partitions", ALL, Array(&I32))])),
    ),
];

const CONSUMER_GROUP_DESCRIBE: &[Field] =
    &[field("group_ids", ALL, Array(&STRING)), field("include_authorized_operations", ALL, BOOL)];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    field("topics", ALL, Array(&Struct(&[field("name", ALL, STRING)]))),
    field("response_partition_limit", ALL, I32),
    field("cursor", ALL, OptionalStruct(&[field("topic_name", ALL, STRING), field("partition_index", ALL, I32)])),
];

pub(super) const PARTITIONS_OF_TOPICS: Kind =
    Array(&Struct(&[field("name", ALL, STRING), field("partitions", ALL, Array(&I32))]));

const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    field(
        "transactions",
        from(4),
        Array(&Struct(&[
            field("transactional_id", ALL, STRING),
            field("producer_id", ALL, I64),
            field("producer_epoch", ALL, I16),
            field("verify_only", ALL, BOOL),
            field("topics", ALL, PARTITIONS_OF_TOPICS),
        ])),
    ),
    field("v3_and_below_transactional_id", until(3), STRING),
    field("v3_and_below_producer_id", until(3), I64),
    field("v3_and_below_producer_epoch", until(3), I16),
    field("v3_and_below_topics", until(3), PARTITIONS_OF_TOPICS),
];

const ADD_OFFSETS_TO_TXN: &[Field] = &[
    field("transactional_id", ALL, STRING),
    field("producer_id", ALL, I64),
    field("producer_epoch", ALL, I16),
    field("group_id", ALL, STRING),
];

const END_TXN: &[Field] = &[
    field("transactional_id", ALL, STRING),
    field("producer_id", ALL, I64),
    field("producer_epoch", ALL, I16),
    field("committed", ALL, BOOL),
];

const WRITE_TXN_MARKERS: &[Field] = &[field(
    "markers",
    ALL,
    Array(&Struct(&[
        field("producer_id", ALL, I64),
        field("producer_epoch", ALL, I16),
        field("transaction_result", ALL, BOOL),
        field("topics", ALL, PARTITIONS_OF_TOPICS),
        field("coordinator_epoch", ALL, I32),
        field("transaction_version", from(2), I8),
    ])),
)];

const TXN_OFFSET_COMMIT: &[Field] = &[
    field("transactional_id", ALL, STRING),
    field("group_id", ALL, STRING),
    field("producer_id", ALL, I64),
    field("producer_epoch", ALL, I16),
    field("generation_id", from(3), I32),
    field("member_id", from(3), STRING),
    field("group_instance_id", from(3), STRING),
    field(
        "topics",
        ALL,
        Array(&Struct(&[
            field("name", ALL, STRING),
            field(
                "partitions",
                ALL,
                Array(&Struct(&[
                    field("partition_index", ALL, I32),
                    field("committed_offset", ALL, I64),
                    field("committed_leader_epoch", from(2), I32),
                    field("committed_metadata", ALL, STRING),
                ])),
            ),
        ])),
    ),
];

const DESCRIBE_PRODUCERS: &[Field] = &[field("topics", ALL, PARTITIONS_OF_TOPICS)];

const DESCRIBE_TRANSACTIONS: &[Field] = &[field("transactional_ids", ALL, Array(&STRING))];

const LIST_CONFIG_RESOURCES: &[Field] = &[field("resource_types", from(1), Array(&I8))];

const LIST_TRANSACTIONS: &[Field] = &[
    field("state_filters", ALL, Array(&STRING)),
    field("producer_id_filters", ALL, Array(&I64)),
    field("duration_filter", from(1), I64),
    field("transactional_id_pattern", from(2), STRING),
];
