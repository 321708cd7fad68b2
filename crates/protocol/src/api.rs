//! The one list of the APIs that Caudal serves. Dispatch, ApiVersions, metric names and `docs/protocol-support.md` come from it.

use std::fmt::Write as _;

/// An API with the versions that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Kafka's number.
    pub key: i16,
    /// Kafka's name.
    pub name: &'static str,
    /// The least version that is advertised (Produce: 0, though 3 is the least served, or old clients turn compression off: KAFKA-18659).
    pub min_advertised: i16,
    /// The least version that is served.
    pub min: i16,
    /// The greatest version that is served.
    pub max: i16,
    /// The first version with flexible encoding (KIP-482), if there is one.
    pub flexible_from: Option<i16>,
}

impl Api {
    /// Whether requests of this version are served.
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether the version has flexible encoding (KIP-482).
    pub const fn is_flexible(&self, version: i16) -> bool {
        matches!(self.flexible_from, Some(from) if version >= from)
    }

    /// The version of the header of requests.
    pub const fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header of responses. That of ApiVersions never changes, so that a client can read the answer before it knows the broker (KIP-511).
    pub const fn response_header_version(&self, version: i16) -> i16 {
        if self.key != key::API_VERSIONS && self.is_flexible(version) { 1 } else { 0 }
    }
}

macro_rules! apis {
    ($($constant:ident, $name:literal, key $key:literal, advertise $min_advertised:literal, serve $min:literal..=$max:literal, flexible $flexible:expr;)*) => {
        /// The APIs' numbers, usable in patterns.
        pub mod key {
            $(
                #[doc = concat!("Kafka's number of ", $name, ".")]
                pub const $constant: i16 = $key;
            )*
        }

        /// What Caudal serves, in the order of Kafka's numbers.
        pub const SERVED: &[Api] = &[$(Api {
            key: $key,
            name: $name,
            min_advertised: $min_advertised,
            min: $min,
            max: $max,
            flexible_from: $flexible,
        }),*];

        /// The API of a number, if it is served.
        pub const fn find(key: i16) -> Option<&'static Api> {
            let mut i = 0;
            while i < SERVED.len() {
                if SERVED[i].key == key {
                    return Some(&SERVED[i]);
                }
                i += 1;
            }
            None
        }
    };
}

// The ranges of Apache Kafka 4.3.
apis! {
    PRODUCE, "Produce", key 0, advertise 0, serve 3..=13, flexible Some(9);
    FETCH, "Fetch", key 1, advertise 4, serve 4..=18, flexible Some(12);
    LIST_OFFSETS, "ListOffsets", key 2, advertise 1, serve 1..=11, flexible Some(6);
    METADATA, "Metadata", key 3, advertise 0, serve 0..=13, flexible Some(9);
    OFFSET_COMMIT, "OffsetCommit", key 8, advertise 2, serve 2..=10, flexible Some(8);
    OFFSET_FETCH, "OffsetFetch", key 9, advertise 1, serve 1..=10, flexible Some(6);
    FIND_COORDINATOR, "FindCoordinator", key 10, advertise 0, serve 0..=6, flexible Some(3);
    JOIN_GROUP, "JoinGroup", key 11, advertise 0, serve 0..=9, flexible Some(6);
    HEARTBEAT, "Heartbeat", key 12, advertise 0, serve 0..=4, flexible Some(4);
    LEAVE_GROUP, "LeaveGroup", key 13, advertise 0, serve 0..=5, flexible Some(4);
    SYNC_GROUP, "SyncGroup", key 14, advertise 0, serve 0..=5, flexible Some(4);
    DESCRIBE_GROUPS, "DescribeGroups", key 15, advertise 0, serve 0..=6, flexible Some(5);
    LIST_GROUPS, "ListGroups", key 16, advertise 0, serve 0..=5, flexible Some(3);
    API_VERSIONS, "ApiVersions", key 18, advertise 0, serve 0..=4, flexible Some(3);
    CREATE_TOPICS, "CreateTopics", key 19, advertise 2, serve 2..=7, flexible Some(5);
    DELETE_TOPICS, "DeleteTopics", key 20, advertise 1, serve 1..=6, flexible Some(4);
    DELETE_RECORDS, "DeleteRecords", key 21, advertise 0, serve 0..=2, flexible Some(2);
    INIT_PRODUCER_ID, "InitProducerId", key 22, advertise 0, serve 0..=5, flexible Some(2);
    OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", key 23, advertise 2, serve 2..=4, flexible Some(4);
    ADD_PARTITIONS_TO_TXN, "AddPartitionsToTxn", key 24, advertise 0, serve 0..=5, flexible Some(3);
    ADD_OFFSETS_TO_TXN, "AddOffsetsToTxn", key 25, advertise 0, serve 0..=4, flexible Some(3);
    END_TXN, "EndTxn", key 26, advertise 0, serve 0..=5, flexible Some(3);
    WRITE_TXN_MARKERS, "WriteTxnMarkers", key 27, advertise 1, serve 1..=2, flexible Some(1);
    TXN_OFFSET_COMMIT, "TxnOffsetCommit", key 28, advertise 0, serve 0..=5, flexible Some(3);
    DESCRIBE_ACLS, "DescribeAcls", key 29, advertise 1, serve 1..=3, flexible Some(2);
    CREATE_ACLS, "CreateAcls", key 30, advertise 1, serve 1..=3, flexible Some(2);
    DELETE_ACLS, "DeleteAcls", key 31, advertise 1, serve 1..=3, flexible Some(2);
    DESCRIBE_CONFIGS, "DescribeConfigs", key 32, advertise 1, serve 1..=4, flexible Some(4);
    ALTER_CONFIGS, "AlterConfigs", key 33, advertise 0, serve 0..=2, flexible Some(2);
    ALTER_REPLICA_LOG_DIRS, "AlterReplicaLogDirs", key 34, advertise 1, serve 1..=2, flexible Some(2);
    DESCRIBE_LOG_DIRS, "DescribeLogDirs", key 35, advertise 1, serve 1..=5, flexible Some(2);
    CREATE_PARTITIONS, "CreatePartitions", key 37, advertise 0, serve 0..=3, flexible Some(2);
    DELETE_GROUPS, "DeleteGroups", key 42, advertise 0, serve 0..=2, flexible Some(2);
    ELECT_LEADERS, "ElectLeaders", key 43, advertise 0, serve 0..=2, flexible Some(2);
    INCREMENTAL_ALTER_CONFIGS, "IncrementalAlterConfigs", key 44, advertise 0, serve 0..=1, flexible Some(1);
    LIST_PARTITION_REASSIGNMENTS, "ListPartitionReassignments", key 46, advertise 0, serve 0..=0, flexible Some(0);
    OFFSET_DELETE, "OffsetDelete", key 47, advertise 0, serve 0..=0, flexible None;
    DESCRIBE_CLIENT_QUOTAS, "DescribeClientQuotas", key 48, advertise 0, serve 0..=1, flexible Some(1);
    ALTER_CLIENT_QUOTAS, "AlterClientQuotas", key 49, advertise 0, serve 0..=1, flexible Some(1);
    DESCRIBE_USER_SCRAM_CREDENTIALS, "DescribeUserScramCredentials", key 50, advertise 0, serve 0..=0, flexible Some(0);
    DESCRIBE_QUORUM, "DescribeQuorum", key 55, advertise 0, serve 0..=2, flexible Some(0);
    UPDATE_FEATURES, "UpdateFeatures", key 57, advertise 0, serve 0..=2, flexible Some(0);
    DESCRIBE_CLUSTER, "DescribeCluster", key 60, advertise 0, serve 0..=2, flexible Some(0);
    DESCRIBE_PRODUCERS, "DescribeProducers", key 61, advertise 0, serve 0..=0, flexible Some(0);
    UNREGISTER_BROKER, "UnregisterBroker", key 64, advertise 0, serve 0..=0, flexible Some(0);
    DESCRIBE_TRANSACTIONS, "DescribeTransactions", key 65, advertise 0, serve 0..=0, flexible Some(0);
    LIST_TRANSACTIONS, "ListTransactions", key 66, advertise 0, serve 0..=2, flexible Some(0);
    CONSUMER_GROUP_HEARTBEAT, "ConsumerGroupHeartbeat", key 68, advertise 0, serve 0..=1, flexible Some(0);
    CONSUMER_GROUP_DESCRIBE, "ConsumerGroupDescribe", key 69, advertise 0, serve 0..=1, flexible Some(0);
    GET_TELEMETRY_SUBSCRIPTIONS, "GetTelemetrySubscriptions", key 71, advertise 0, serve 0..=0, flexible Some(0);
    PUSH_TELEMETRY, "PushTelemetry", key 72, advertise 0, serve 0..=0, flexible Some(0);
    LIST_CONFIG_RESOURCES, "ListConfigResources", key 74, advertise 0, serve 0..=1, flexible Some(0);
    DESCRIBE_TOPIC_PARTITIONS, "DescribeTopicPartitions", key 75, advertise 0, serve 0..=0, flexible Some(0);
}

/// The text of `docs/protocol-support.md`.
pub fn render_support_document() -> String {
    let mut text = String::from(
        "# Protocol support\n\n\
         Caudal serves these APIs of Kafka's protocol, with the version ranges of Apache Kafka 4.3. The table is generated from the list in\n\
         `crates/protocol/src/api.rs`, which also feeds the dispatch of requests and the answer to ApiVersions; a test keeps this page equal to it\n\
         (`UPDATE=1 cargo test --release -p caudal-protocol` rewrites it).\n\n\
         | Key | API | Versions served | Versions advertised | Flexible from |\n\
         |---:|---|---|---|---|\n",
    );
    for api in SERVED {
        let flexible = api.flexible_from.map_or_else(|| "-".to_owned(), |version| version.to_string());
        let (served, advertised) = (range(api.min, api.max), range(api.min_advertised, api.max));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | {} | {served} | {advertised} | {flexible} |", api.key, api.name);
    }
    text.push_str(
        "\nProduce is advertised from version 0, as Apache Kafka does, because older librdkafka turns compression off otherwise (KAFKA-18659);\n\
         versions 0 to 2 are refused.\n",
    );
    text
}

fn range(min: i16, max: i16) -> String {
    if min == max { min.to_string() } else { format!("{min}-{max}") }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn keys_rise_and_can_be_found() {
        assert!(SERVED.is_sorted_by_key(|api| api.key));
        for api in SERVED {
            assert_eq!(find(api.key), Some(api));
            assert!(api.min_advertised <= api.min && api.min <= api.max, "{}", api.name);
        }
        assert_eq!(find(4), None);
        assert_eq!(find(-1), None);
    }

    #[test]
    fn headers_are_those_of_the_generated_messages() {
        for api in SERVED {
            let other = ApiKey::try_from(api.key).expect("a key of Kafka's");
            assert_eq!(format!("{other:?}"), api.name);
            for version in api.min..=api.max {
                assert_eq!(api.request_header_version(version), other.request_header_version(version), "{}", api.name);
                assert_eq!(
                    api.response_header_version(version),
                    other.response_header_version(version),
                    "{}",
                    api.name
                );
            }
        }
    }

    #[test]
    fn the_committed_document_is_the_rendered_one() {
        let path = "../../docs/protocol-support.md";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, render_support_document()).expect("the document can be written");
        }
        let committed = std::fs::read_to_string(path).expect("docs/protocol-support.md exists");
        assert_eq!(committed, render_support_document(), "run with UPDATE=1 to rewrite docs/protocol-support.md");
    }
}
