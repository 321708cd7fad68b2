//! The words of Caudal's domain, shared by every crate: identifiers, clock, limits. The doors to the outside are passed in: clock, network.
//!
//! # Layout
//! - [`ids`]: who and what: nodes, topics, partitions, Raft groups, producers
//! - [`clock`]: the only source of wall-clock time
//! - [`limits`]: every bound of the system, in one place
//! - [`mutant`]: planted defects, for the tests of the tests
//! - [`net`]: sockets, the system's or a test's
//! - [`off_thread`]: where work waits for the disk
//! - [`panics`]: panics of background work, caught and counted
//! - [`tasks`]: named background tasks that end together, and go on when they panic
//! - [`topic_name`]: which topic names are legal
//! - [`topic_config`]: the topic configuration keys: types, defaults, validation

pub mod clock;
pub mod ids;
pub mod limits;
pub mod mutant;
pub mod net;
pub mod off_thread;
pub mod panics;
pub mod tasks;
pub mod topic_config;
pub mod topic_name;

pub use clock::{Clock, SystemClock, TimestampMs};
pub use ids::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, RaftGroupId, TopicId, TopicPartition};
pub use net::Network;
pub use tasks::Tasks;
