//! Kafka's own command-line tools against Caudal, and against Apache Kafka for comparison: what they say has to be the same, but for ids, addresses, times and
//! the words of error messages. (`kafka-reassign-partitions` is not among them.)
//!
//! # Layout
//! - [`topics`]: kafka-topics, kafka-console-producer, kafka-console-consumer, kafka-get-offsets
//! - [`groups`]: kafka-consumer-groups, kafka-groups, on groups with and without members
//! - [`cluster`]: kafka-broker-api-versions, kafka-features, kafka-metadata-quorum, kafka-cluster, kafka-log-dirs, kafka-leader-election, kafka-acls
//! - [`configs`]: kafka-configs, kafka-delete-records
//! - [`client_metrics`][]: kafka-client-metrics
//! - [`described`]: what kafka-configs does not show of settings
//! - [`transactions`]: what kafka-transactions shows and ends
//! - [`measuring`]: kafka-producer-perf-test, kafka-consumer-perf-test, kafka-e2e-latency, kafka-verifiable-producer, kafka-verifiable-consumer
//! - [`nodes`]: on three nodes, of which one is killed

mod client_metrics;
mod cluster;
mod configs;
mod described;
mod groups;
mod measuring;
mod nodes;
mod topics;
mod transactions;
