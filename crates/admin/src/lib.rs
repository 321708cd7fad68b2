//! The HTTP listener for operators: `/healthz`, `/readyz`, `/metrics` (Prometheus) and `/v1/status` (JSON).
//!
//! It pulls: whoever owns the node hands in a [`NodeSource`], which is asked at each request. So nothing is counted twice, and this crate
//! knows none of those whose figures it shows.
//!
//! # Layout
//! - [`http`]: the listener and its routes
//! - [`status`]: what a node tells of itself
//! - [`metrics`]: the names of the metrics
//! - `client_metrics`: those that clients push
//! - [`exposition`]: Prometheus' text format

mod client_metrics;
pub mod exposition;
pub mod http;
pub mod metrics;
pub mod status;

pub use http::{AdminServer, NodeSource};
pub use status::{
    ApiCounters, ClientMetric, ClientStatus, CompactionStatus, FollowerLag, GroupKind, MessageCounters, NodeStatus,
    PartitionCompaction, PartitionRange, PeerStatus, ProcessStatus, Readiness, ReplicaStatus, StoreStatus, TaskStatus,
    TelemetryStatus, ThrottleCounters, TopicBytes,
};
