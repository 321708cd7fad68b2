//! The controller: the cluster's truth, in one Raft group that every node follows. Any node takes a wish and forwards it.
//!
//! # Layout
//! - [`image`]: the truth as everyone reads it: immutable, swapped whole
//! - [`controller`]: takes wishes, turns them into commands, proposes them (or forwards them to the leader)
//! - [`leaders`]: who leads which Raft group, announced by the leaders themselves
//! - [`config_defs`]: the configuration keys that tools see
//! - [`resources`]: the own settings of nodes and of subscriptions to clients' metrics
//! - `decide`, `placement`: what the leader makes of a wish: refusals, and the command that does the rest
//! - [`quotas`]: what clients may use, and what they have used
//! - `command`, `table`, `rows`: the replicated table, a pure function of rows and commands
//! - `state_machine`: the table as a state machine of `caudal-raft`
//! - `arrival`: waits until this node and its peers know what was decided
//! - `layout`: the layout of everything that is stored or sent

mod arrival;
mod command;
pub mod config_defs;
pub mod controller;
mod decide;
pub mod error;
pub mod image;
mod layout;
pub mod leaders;
mod placement;
pub mod quotas;
pub mod resources;
mod rows;
mod state_machine;
mod table;

pub use controller::{
    AlterClientQuotas, AlterGroupConfigs, AlterTopicConfigs, ConfigOp, Controller, ControllerConfig, CreatePartitions,
    CreateTopic, CreatedTopic, NodeRegistration,
};
pub use error::MetadataError;
pub use image::{ClusterImage, NodeImage, RaftGroupImage, TopicImage};
pub use leaders::{Leader, LeaderTable};
pub use resources::{AlterResourceConfigs, ConfigResource, Resources};
