//! `caudal group`.
//!
//! # Layout
//! - [`list`], [`describe`]: what there is
//! - [`reset`]: where a group goes on reading; `plan`: which offset that means; `csv`: offsets in files
//! - [`delete`]: groups, and single offsets

pub mod delete;
pub mod describe;
pub mod list;
pub mod reset;

mod csv;
mod plan;

use std::io::Write;

use clap::Subcommand;

use crate::Outcome;

/// `caudal group ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum GroupCommand {
    /// List the consumer groups with their states
    List(list::List),
    /// Show a group's members, what each of them has, and how far behind it is
    Describe(describe::Describe),
    /// Change where a group goes on reading; shows what it would do unless --execute is given
    ResetOffsets(reset::ResetOffsets),
    /// Delete groups without members, with their offsets
    Delete(delete::Delete),
    /// Delete a group's offsets of topics that none of its members reads
    DeleteOffsets(delete::DeleteOffsets),
}

/// Runs `caudal group ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: GroupCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        GroupCommand::List(command) => list::run(command, out).await?,
        GroupCommand::Describe(command) => describe::run(command, out).await?,
        GroupCommand::ResetOffsets(command) => reset::run(command, out).await?,
        GroupCommand::Delete(command) => delete::groups(command, out).await?,
        GroupCommand::DeleteOffsets(command) => delete::offsets(command, out).await?,
    }
    Ok(Outcome::Success)
}
