//! Consumer groups and committed offsets, as tables in coordinator shards: each shard is a Raft group, its leader is the coordinator of the
//! groups whose ids hash to it. A new leader has its state already and serves at once.
//!
//! # Layout
//! - [`coordinator`]: the handle that request handlers use
//! - [`model`]: requests and answers, typed
//! - [`error`]: why requests are refused

pub mod coordinator;
pub mod error;
pub mod model;

pub use coordinator::{Coordinator, CoordinatorConfig};
pub use error::GroupError;
