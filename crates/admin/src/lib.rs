//! The HTTP listener for operators: `/healthz`, `/readyz`, `/metrics` (Prometheus) and `/v1/status` (JSON).
//!
//! It pulls: whoever owns the node hands in a [`NodeSource`], which is asked at each request. So nothing is counted twice, and this crate
//! knows none of those whose figures it shows.
//!
//! # Layout
//! - [`http`]: the listener and its routes
//! - [`status`]: what a node tells of itself
//! - [`metrics`]: the names of the metrics
//! - [`exposition`]: Prometheus' text format

pub mod exposition;
pub mod http;
pub mod metrics;
pub mod status;

pub use http::{AdminServer, NodeSource};
pub use status::{
    ApiCounters, ClientStatus, CompactionStatus, FollowerLag, GroupKind, MessageCounters, NodeStatus,
    PartitionCompaction, PartitionRange, PeerStatus, ProcessStatus, Readiness, ReplicaStatus, StoreStatus,
    ThrottleCounters, TopicBytes,
};
