//! openraft, fitted to many Raft groups in one process. Knows nothing of Kafka, and nobody outside sees openraft's types.
//!
//! # Layout
//! - [`group`]: one Raft group on this node: propose, leadership, read barrier, transfer
//! - [`groups`]: all Raft groups of this node
//! - [`state_machine`]: what a group's commands do; implemented by the crates above
//! - [`transport`]: the connections between nodes: Raft messages, calls of the crates above, liveness
//!
//! Inside: `types` (openraft's types), `codec` (what is stored), `wire` (what is sent), `log` (log and cache), `machine` (apply and
//! snapshots), `net` (Raft's messages), `state` (who leads), `proposals` (outcomes), `on_disk` (which groups are there), `manage` (elections, takeovers, balance over
//! all groups).

mod codec;
pub mod group;
pub mod groups;
mod log;
mod machine;
mod manage;
mod net;
mod on_disk;
mod proposals;
mod state;
pub mod state_machine;
#[cfg(test)]
mod tests;
pub mod transport;
mod types;
mod wire;

pub use group::{Applied, GroupStatus, Leadership, LogEntry, Members, PendingProposal, ProposeError, RaftGroup};
pub use groups::{GroupOptions, PurgePolicy, RaftGroups, RaftGroupsConfig};
pub use log::flush::{FlushPolicy, Unflushed};
pub use manage::errands::{HandBackError, MemberStanding, Standing};
pub use on_disk::{applied_on_disk, groups_on_disk};
pub use state_machine::{ApplyError, CommittedEntry, SnapshotContent, StateMachine};
pub use transport::{
    CallError, CallHandler, Liveness, NodeLiveness, PeerAddress, SentMessages, Service, Transport, TransportConfig,
};
