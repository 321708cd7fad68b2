//! The benchmarks' lean half: what must cost the machine little, so that the brokers get it. `tests/bench` orchestrates; `scripts/bench` runs it.
//!
//! Every command prints one line of JSON at its end.
//!
//! # Layout
//! - [`client`]: librdkafka's settings, topics and their offsets
//! - [`pace`]: when each record is due, whether or not the broker keeps up
//! - [`payload`]: records that say who sent them, and as the how-manieth
//! - [`latency`]: histograms, whole and second by second
//! - [`acks`]: what the acknowledgements tell: latencies, gaps, recovery
//! - [`produce`]: an open-loop load
//! - [`seen`]: whether every record was seen, once, in order
//! - [`read`]: reads a topic back
//! - [`groups`]: many consumer groups at once
//! - [`transact`]: consume, transform, produce in transactions
//! - [`commits`]: groups that commit offsets while their coordinator dies
//! - [`members`]: a group of very many members
//! - [`idle`]: connections that do nothing
//! - [`disk`]: what the disk does at best
//! - [`floor`]: a broker that only acknowledges, to find out what the clients can do at best

pub mod acks;
pub mod client;
pub mod commits;
pub mod disk;
pub mod floor;
pub mod groups;
pub mod idle;
pub mod latency;
pub mod members;
pub mod pace;
pub mod payload;
pub mod produce;
pub mod read;
pub mod seen;
pub mod transact;

/// As Kafka's tools count.
const MB: f64 = 1_048_576.0;
