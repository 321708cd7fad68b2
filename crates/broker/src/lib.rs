//! The Kafka API on the network.
//!
//! A connection is one task: it reads a frame, hands it to the [handler](handlers) of its API, and writes the answers in the order of the requests. Requests of a
//! connection are served one after another, except Produce: its batches are enqueued in order, and their outcomes are awaited side by side.
//!
//! # Layout
//! - [`broker`]: the handle: start, statistics, shutdown
//! - [`config`]: what the broker is told
//! - [`stats`]: what it counts
//! - `listener`: accepts connections
//! - `connection`: frames in, answers out
//! - `memory`: admits requests and answers by their bytes
//! - `table`: which handler serves which API; made from the one list in `caudal_protocol::api`
//! - `handlers`: one file per API
//! - `fetch`: sessions, long polls and the encoding of Fetch
//! - `telemetry`: clients' metrics (KIP-714)
//! - `cluster`: the cluster as answers show it: endpoints, leaders, replicas
//! - `configs`: settings as answers show them
//! - `log_levels`: the levels of the node's log lines, shown and changed
//! - `features`: the features that are claimed, with their levels
//! - `hints`: where clients find the leaders that they missed
//! - `access`: what clients may do
//! - `text`: texts on the wire
//! - `error`: the one map from errors to Kafka's codes

pub mod broker;
pub mod config;
pub mod stats;

mod access;
mod addresses;
mod cluster;
mod configs;
mod connection;
mod error;
mod features;
mod fetch;
mod handlers;
mod hints;
mod listener;
pub mod log_levels;
mod memory;
mod quotas;
mod reply;
mod table;
mod telemetry;
mod text;
mod throttled;

pub use broker::Broker;
pub use config::{BrokerConfig, BrokerParts, ConnectionLimits, NodeSetting, ReplicaSelector};
pub use log_levels::LogLevels;
pub use stats::{ApiStats, BrokerStats, ClientMetric, TelemetryStats, ThrottleStats};
