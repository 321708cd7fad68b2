//! `caudal topic`.

use std::io::Write;

use anyhow::bail;
use caudal_client::{ConfigChange, ConfigResource, NewTopic};
use clap::{Args, Subcommand};

use crate::{Connect, Outcome, key_value};

mod show;

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

/// `caudal topic create`.
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// The topic's name
    pub topic: String,
    /// How many partitions [default: the cluster's num.partitions]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// How many replicas of each partition [default: the cluster's default.replication.factor]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
    pub replication_factor: Option<i16>,
    /// A setting, such as retention.ms=60000; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub config: Vec<(String, String)>,
    /// Do nothing if the topic exists already
    #[arg(long)]
    pub if_not_exists: bool,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal topic alter`.
#[derive(Args, Clone, Debug)]
pub struct Alter {
    /// The topic's name
    pub topic: String,
    /// How many partitions it shall have in all
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// A setting to be made; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub config: Vec<(String, String)>,
    /// A setting to be put back to the default; may be given several times
    #[arg(long, value_name = "KEY")]
    pub delete_config: Vec<String>,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal topic delete`.
#[derive(Args, Clone, Debug)]
pub struct Delete {
    /// The topics' names
    #[arg(required = true)]
    pub topics: Vec<String>,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// Runs `caudal topic ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: TopicCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        TopicCommand::Create(command) => create(command, out).await?,
        TopicCommand::List(command) => show::list_topics(command, out).await?,
        TopicCommand::Describe(command) => show::describe(command, out).await?,
        TopicCommand::Alter(command) => alter(command, out).await?,
        TopicCommand::Delete(command) => delete(command, out).await?,
    }
    Ok(Outcome::Success)
}

async fn create(command: Create, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let topic = NewTopic {
        name: command.topic,
        partitions: command.partitions.unwrap_or(-1),
        replication_factor: command.replication_factor.unwrap_or(-1),
        configs: command.config,
    };
    match client.create_topic(&topic).await {
        Err(error)
            if command.if_not_exists && error.code() == Some(caudal_protocol::ErrorCode::TOPIC_ALREADY_EXISTS) =>
        {
            writeln!(out, "Topic '{}' exists already.", topic.name)?;
            return Ok(());
        }
        other => other?,
    }
    let made = client.topic(&topic.name, false).await?;
    let replicas = made.replication_factor();
    writeln!(out, "Created topic '{}': {} partitions, {replicas} replicas of each.", made.name, made.partitions.len())?;
    Ok(())
}

async fn alter(command: Alter, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let set = command.config.into_iter().map(|(key, value)| ConfigChange::Set(key, value));
    let changes: Vec<_> = set.chain(command.delete_config.into_iter().map(ConfigChange::Delete)).collect();
    if changes.is_empty() && command.partitions.is_none() {
        bail!("nothing to change; give --config KEY=VALUE, --delete-config KEY or --partitions N");
    }
    let client = command.connect.client()?;
    let topic = client.topic(&command.topic, false).await?;
    if !changes.is_empty() {
        client.alter_configs(&ConfigResource::Topic(topic.name.clone()), &changes).await?;
        writeln!(out, "Changed {} settings of topic '{}'.", changes.len(), topic.name)?;
    }
    if let Some(total) = command.partitions {
        client.create_partitions(&topic.name, total).await?;
        writeln!(out, "Topic '{}' has {total} partitions now; it had {}.", topic.name, topic.partitions.len())?;
    }
    Ok(())
}

async fn delete(command: Delete, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    for topic in &command.topics {
        client.delete_topic(topic).await?;
        writeln!(out, "Deleted topic '{topic}'.")?;
    }
    Ok(())
}
