//! A minimal Kafka client: for the command line, tests and tools. It favours little code over throughput: one request at a time per connection, no pipelining, no
//! groups, no idempotence. Applications use their language's client.
//!
//! # Layout
//! - [`connection`]: one connection: versions, frames, any request
//! - [`client`]: the cluster: who leads what, and where requests go
//! - [`admin`]: topics and their settings
//! - [`producer`]: writing records
//! - [`consumer`]: reading records and finding offsets
//! - [`transactions`]: what is open, and what coordinators know
//! - [`partitioner`]: which partition a key belongs to
//! - [`error`]: what can go wrong, and whether it is worth another try

pub mod admin;
pub mod client;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod partitioner;
pub mod producer;
pub mod transactions;

mod retry;

pub use admin::{ConfigChange, ConfigEntry, NewTopic};
pub use caudal_protocol::batch::Record;
pub use client::{Broker, Client, ClusterMetadata, PartitionMetadata, TopicMetadata};
pub use connection::Connection;
pub use consumer::{ConsumedRecord, Consumer, FetchedBatch, OffsetSpec};
pub use error::ClientError;
pub use transactions::{ListedTransaction, OpenTransaction};
