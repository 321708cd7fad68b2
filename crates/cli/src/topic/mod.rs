//! `caudal topic`.
//!
//! # Layout
//! - `create`: new ones; `replicas`: on which nodes
//! - `change`: other settings, more partitions, the end
//! - `show`: what there is

mod change;
mod create;
mod replicas;
mod show;

use std::io::Write;

use clap::Subcommand;

use crate::Outcome;

pub use change::{Alter, Delete};
pub use create::Create;
pub use replicas::ReplicaAssignment;
pub use show::{Describe, Filter, List};

/// `caudal topic ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic
    Create(Create),
    /// List the topics
    List(List),
    /// Show a topic's partitions and settings
    Describe(Describe),
    /// Change a topic's settings, or give it more partitions
    Alter(Alter),
    /// Delete a topic with all its records
    Delete(Delete),
}

/// Runs `caudal topic ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: TopicCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        TopicCommand::Create(command) => create::create(command, out).await?,
        TopicCommand::List(command) => show::list_topics(command, out).await?,
        TopicCommand::Describe(command) => show::describe(command, out).await?,
        TopicCommand::Alter(command) => change::alter(command, out).await?,
        TopicCommand::Delete(command) => change::delete(command, out).await?,
    }
    Ok(Outcome::Success)
}
