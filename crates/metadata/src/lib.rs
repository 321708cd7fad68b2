//! The controller: the cluster's truth, in one Raft group that every node follows. Any node takes a wish and forwards it.
//!
//! # Layout
//! - [`image`]: the truth as everyone reads it: immutable, swapped whole
//! - [`controller`]: takes wishes, turns them into commands, proposes them (or forwards them to the leader)
//! - [`leaders`]: who leads which Raft group, announced by the leaders themselves
//! - [`config_defs`]: the topic configuration keys that tools see

pub mod config_defs;
pub mod controller;
pub mod error;
pub mod image;
pub mod leaders;

pub use controller::{
    AlterTopicConfigs, ConfigOp, Controller, ControllerConfig, CreatePartitions, CreateTopic, CreatedTopic,
    NodeRegistration,
};
pub use error::MetadataError;
pub use image::{ClusterImage, NodeImage, RaftGroupImage, TopicImage};
pub use leaders::{Leader, LeaderTable};
