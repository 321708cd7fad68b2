//! The words of Caudal's domain, shared by every crate: identifiers, clock, limits. No I/O happens here.
//!
//! # Layout
//! - [`ids`]: who and what: nodes, topics, partitions, Raft groups, producers
//! - [`clock`]: the only source of wall-clock time
//! - [`limits`]: every bound of the system, in one place
//! - [`tasks`]: named background tasks that end together
//! - [`topic_name`]: which topic names are legal
//! - [`topic_config`]: the topic configuration keys: types, defaults, validation

pub mod clock;
pub mod ids;
pub mod limits;
pub mod tasks;
pub mod topic_config;
pub mod topic_name;

pub use clock::{Clock, SystemClock, TimestampMs};
pub use ids::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, RaftGroupId, TopicId, TopicPartition};
pub use tasks::Tasks;
