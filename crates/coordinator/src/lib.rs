//! Consumer groups and committed offsets, as tables in coordinator shards: each shard is a Raft group, its leader is the coordinator of the
//! groups whose ids hash to it. A new leader has its state already and serves at once.
//!
//! A request goes to the [`Coordinator`], which finds the `Shard`; its `Leader` (there is one while this node leads) lets the group decide. A decision
//! is pure: it changes the group in memory, and says which command follows and who is answered what. Commands wait in the `Outbox`; a task
//! proposes them in order, several in one entry; every replica's `ShardMachine` applies them to its `Tables` and writes the rows that change. Answers
//! wait until the commands before them are committed. When a proposal fails or leadership goes, all that is in memory is dropped, which answers
//! everyone that waits, and the next leader begins from its rows.
//!
//! # Layout
//! - [`coordinator`]: the handle that request handlers use
//! - [`model`]: requests and answers, typed
//! - [`error`]: why requests are refused
//! - `classic`: a group of the classic protocol: pure decisions
//! - `consumer`: a group of the consumer protocol (KIP-848): pure decisions
//! - `embedded`: what consumers of the classic protocol say to each other, read and written
//! - `group`: a group of either protocol
//! - `leader`: what the leader of a shard holds in memory: groups, who waits, timers
//! - `outbox`: commands on their way and the answers that wait for them
//! - `fetch`: committed offsets, told by whichever node is asked
//! - `expiry`: which offsets and groups have had their time
//! - `command`, `rows`, `codec`: what is proposed and what is stored, byte for byte
//! - [`transactions`]: transactional producers (KIP-98, KIP-890)
//! - `tables`, `machine`: what commands do to the rows, on every replica
//! - `shards`, `shard`, `tasks`: the shards of this node, and the two tasks of each
//! - `pauses`: between tries to reach whoever leads
//! - `subscription`: the topics in a consumer's subscription

mod classic;
mod codec;
mod command;
mod consumer;
pub mod coordinator;
mod embedded;
pub mod error;
mod expiry;
mod fetch;
mod group;
mod leader;
mod machine;
pub mod model;
mod outbox;
mod pauses;
mod rows;
mod shard;
mod shards;
mod subscription;
mod tables;
mod tasks;
pub mod transactions;

pub use consumer::assignor::Assignor;
pub use consumer::config::{ConsumerGroupConfig, HEARTBEAT_INTERVAL, Limited, MigrationPolicy, SESSION_TIMEOUT};
pub use coordinator::{Coordinator, CoordinatorConfig, CoordinatorParts};
pub use error::GroupError;
pub use fetch::FetchedOffset;
pub use model::OffsetsQuestion;
pub use transactions::TransactionError;
