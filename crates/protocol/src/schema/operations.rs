//! The schemas of the requests that operators' tools send.

use super::Field;
use super::Kind::{Array, Struct};
use super::requests::{ALL, BOOL, I8, I16, I32, PARTITIONS_OF_TOPICS, STRING, field, from, until};

pub(super) const DESCRIBE_ACLS: &[Field] = &[
    field("resource_type_filter", ALL, I8),
    field("resource_name_filter", ALL, STRING),
    field("pattern_type_filter", ALL, I8),
    field("principal_filter", ALL, STRING),
    field("host_filter", ALL, STRING),
    field("operation", ALL, I8),
    field("permission_type", ALL, I8),
];

pub(super) const CREATE_ACLS: &[Field] = &[field(
    "creations",
    ALL,
    Array(&Struct(&[
        field("resource_type", ALL, I8),
        field("resource_name", ALL, STRING),
        field("resource_pattern_type", ALL, I8),
        field("principal", ALL, STRING),
        field("host", ALL, STRING),
        field("operation", ALL, I8),
        field("permission_type", ALL, I8),
    ])),
)];

pub(super) const DELETE_ACLS: &[Field] = &[field("filters", ALL, Array(&Struct(DESCRIBE_ACLS)))];

pub(super) const ALTER_REPLICA_LOG_DIRS: &[Field] =
    &[field("dirs", ALL, Array(&Struct(&[field("path", ALL, STRING), field("topics", ALL, PARTITIONS_OF_TOPICS)])))];

pub(super) const DESCRIBE_LOG_DIRS: &[Field] = &[field("topics", ALL, PARTITIONS_OF_TOPICS)];

pub(super) const ELECT_LEADERS: &[Field] = &[
    field("election_type", from(1), I8),
    field("topic_partitions", ALL, PARTITIONS_OF_TOPICS),
    field("timeout_ms", ALL, I32),
];

pub(super) const LIST_PARTITION_REASSIGNMENTS: &[Field] =
    &[field("timeout_ms", ALL, I32), field("topics", ALL, PARTITIONS_OF_TOPICS)];

pub(super) const DESCRIBE_QUORUM: &[Field] = &[field(
    "topics",
    ALL,
    Array(&Struct(&[
        field("topic_name", ALL, STRING),
        field("partitions", ALL, Array(&Struct(&[field("partition_index", ALL, I32)]))),
    ])),
)];

pub(super) const UPDATE_FEATURES: &[Field] = &[
    field("timeout_ms", ALL, I32),
    field(
        "feature_updates",
        ALL,
        Array(&Struct(&[
            field("feature", ALL, STRING),
            field("max_version_level", ALL, I16),
            field("allow_downgrade", until(0), BOOL),
            field("upgrade_type", from(1), I8),
        ])),
    ),
    field("validate_only", from(1), BOOL),
];

pub(super) const UNREGISTER_BROKER: &[Field] = &[field("broker_id", ALL, I32)];
