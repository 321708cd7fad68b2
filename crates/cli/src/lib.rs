//! The commands for topics, records, consumer groups and the cluster's state, as the binary `caudal` has them beside those that run a node.
//!
//! # Layout
//! - [`topic`]: `caudal topic create|list|describe|alter|delete`
//! - [`produce`]: `caudal produce`
//! - [`consume`]: `caudal consume`; `record_json`: a record as JSON
//! - [`group`]: `caudal group list|describe|reset-offsets|delete|delete-offsets`
//! - [`config`]: `caudal config describe|set|unset|search`
//! - [`quota`]: `caudal quota list|set|unset`
//! - [`log`]: `caudal log list|offsets|delete-records`
//! - [`cluster`]: `caudal cluster status`
//! - [`transactions`]: `caudal transactions list|describe|find-hanging|abort`
//! - [`output`]: the same facts as text or as JSON; `table`: columns of text
//! - [`places`], [`resource`]: flags that several commands have
//! - `items`: what became of each thing that a command was to change
//! - `advice`: what to do about an error
//! - `time`: times and durations as people write them

pub mod cluster;
pub mod config;
pub mod consume;
pub mod group;
pub mod log;
pub mod output;
pub mod places;
pub mod produce;
pub mod quota;
pub mod resource;
pub mod topic;
pub mod transactions;

mod advice;
mod items;
mod record_json;
mod table;
mod time;

use std::io::Write;
use std::time::Duration;

use caudal_client::Client;
use clap::{Args, Subcommand};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for was done, and all is well.
    Success,
    /// What was asked for was done, but the cluster is not well (`caudal cluster status` with partitions without a leader).
    Unhealthy,
}

impl From<Outcome> for std::process::ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::SUCCESS,
            Outcome::Unhealthy => Self::from(2),
        }
    }
}

/// Where the cluster is.
#[derive(Args, Clone, Debug)]
pub struct Connect {
    /// Brokers to begin with: HOST:PORT, several separated by commas
    #[arg(long, env = "CAUDAL_BOOTSTRAP", default_value = "127.0.0.1:9092", value_name = "ADDRESSES")]
    pub bootstrap: String,
    /// Seconds to go on trying before giving up
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    pub timeout: u64,
}

impl Connect {
    /// A client of the cluster.
    ///
    /// # Errors
    /// When the addresses are none.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.bootstrap)?.with_timeout(Duration::from_secs(self.timeout)))
    }
}

/// The commands that talk to a running cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Write the lines of the standard input into a topic
    Produce(produce::Produce),
    /// Print the records of a topic
    Consume(consume::Consume),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Show, change and find settings of topics, nodes, groups and client metrics, and log levels
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// List, set and take away quotas of users, client ids and addresses
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// Show what partitions hold and how much they take, and delete old records
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Ask how the cluster is
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Show transactions and what they hold back, and end those that hang
    #[command(subcommand)]
    Transactions(transactions::TransactionsCommand),
}

/// Runs a command; its results go to `out`. A read of the standard input may be left over at its end: the caller should end the process, or shut the runtime down in the
/// background, rather than wait for it.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: Command, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    let outcome = match command {
        Command::Topic(command) => topic::run(command, out).await,
        Command::Produce(command) => produce::run(command, produce::standard_input()?, out).await,
        Command::Consume(command) => consume::run(command, out).await,
        Command::Group(command) => group::run(command, out).await,
        Command::Config(command) => config::run(command, out).await,
        Command::Quota(command) => quota::run(command, out).await,
        Command::Log(command) => log::run(command, out).await,
        Command::Cluster(command) => cluster::run(command, out).await,
        Command::Transactions(command) => transactions::run(command, out).await,
    };
    outcome.map_err(advice::with_advice)
}

/// Splits `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not of the form KEY=VALUE")),
    }
}
