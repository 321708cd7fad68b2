//! Support for the black-box tests: clusters of the real binary, and drivers of clients that others wrote.
//!
//! # Layout
//! - [`apache_kafka`]: Apache Kafka itself, to copy from
//! - [`cluster`]: a cluster of real processes, through `scripts/cluster` as a user would
//! - [`committed`]: what readers of committed records see
//! - [`connect`]: workers of Kafka Connect
//! - [`disk`]: what a node takes on its disk
//! - [`driver`]: the clients of `tests/clients`, all with the same commands
//! - [`http`]: requests to services that speak HTTP and JSON
//! - [`jvm`]: programs of the Java virtual machine that are built on Kafka
//! - [`load`]: a steady idempotent load whose acknowledgements are remembered and checked
//! - [`metrics`]: the counters of a node
//! - [`quotas`]: what clients may use
//! - [`raw`]: the protocol by hand, for what no client library would send
//! - [`reader`]: reading whole partitions with librdkafka
//! - [`same`]: comparing long lists
//! - [`tools`]: Kafka's own command-line tools
//! - [`topics`]: topics and their settings, on Caudal and on Apache Kafka alike
//! - [`verifiable`]: Kafka's verifiable consumer, a member of a group that says what it does
//! - [`wait`]: waiting for a state with a deadline

pub mod apache_kafka;
pub mod cluster;
pub mod committed;
pub mod connect;
pub mod disk;
pub mod driver;
pub mod http;
pub mod jvm;
pub mod load;
pub mod metrics;
pub mod quotas;
pub mod raw;
pub mod reader;
pub mod same;
pub mod tools;
pub mod topics;
pub mod verifiable;
pub mod wait;

pub use cluster::Cluster;
pub use driver::{Driver, Record};
pub use same::assert_same;
pub use wait::{until, until_some};

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
