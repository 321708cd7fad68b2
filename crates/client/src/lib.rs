//! A minimal Kafka client: for the command line, tests and tools. It favours little code over throughput: one request at a time per connection, no pipelining, no
//! groups, no idempotence. Applications use their language's client.
//!
//! # Layout
//! - [`connection`]: one connection: versions, frames, any request
//! - [`client`]: the cluster: who leads what, and where requests go
//! - [`nodes`]: every node at once, and the one that coordinates a group or a transactional id
//! - [`admin`]: making, growing and deleting topics
//! - [`configs`]: settings of topics, nodes, groups and client metrics, and log levels
//! - [`quotas`]: what users, client ids and addresses may use
//! - [`groups`]: consumer groups and their offsets
//! - [`logs`]: what partitions hold, and deleting of it
//! - [`producer`]: writing records
//! - [`consumer`]: reading records and finding offsets
//! - [`transactions`]: what is open, and what coordinators know
//! - [`partitioner`]: which partition a key belongs to
//! - [`error`]: what can go wrong, and whether it is worth another try

pub mod admin;
pub mod client;
pub mod configs;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod groups;
pub mod logs;
pub mod nodes;
pub mod partitioner;
pub mod producer;
pub mod quotas;
pub mod transactions;

mod assignment;
mod retry;

pub use admin::NewTopic;
pub use caudal_protocol::batch::Record;
pub use client::{Broker, Client, ClusterMetadata, PartitionMetadata, TopicMetadata};
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym};
pub use connection::Connection;
pub use consumer::{ConsumedRecord, Consumer, FetchedBatch, OffsetSpec};
pub use error::ClientError;
pub use groups::{CommittedOffset, DescribedGroup, GroupMember, ListedGroup, NewOffset};
pub use logs::{FoundOffset, FoundOffsets, LogDir, Place, ReplicaLog};
pub use nodes::{Answers, Silent};
pub use quotas::{EntityQuotas, QuotaChange, QuotaEntity, QuotaName};
pub use transactions::{ListedTransaction, OpenTransaction};
