//! The commands for topics, records and the cluster's state, as the binary `caudal` has them beside those that run a node.
//!
//! # Layout
//! - [`topic`]: `caudal topic create|list|describe|alter|delete`
//! - [`produce`]: `caudal produce`
//! - [`consume`]: `caudal consume`
//! - [`cluster`]: `caudal cluster status`
//! - [`transactions`]: `caudal transactions list`
//! - `table`: columns of text

pub mod cluster;
pub mod consume;
pub mod produce;
pub mod topic;
pub mod transactions;

mod table;

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
    /// Ask how the cluster is
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Show transactions, and what they hold back
    #[command(subcommand)]
    Transactions(transactions::TransactionsCommand),
}

/// Runs a command; its results go to `out`. A read of the standard input may be left over at its end: the caller should end the process, or shut the runtime down in the
/// background, rather than wait for it.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: Command, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        Command::Topic(command) => topic::run(command, out).await,
        Command::Produce(command) => produce::run(command, produce::standard_input()?, out).await,
        Command::Consume(command) => consume::run(command, out).await,
        Command::Cluster(command) => cluster::run(command, out).await,
        Command::Transactions(command) => transactions::run(command, out).await,
    }
}

/// Splits `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not of the form KEY=VALUE")),
    }
}
