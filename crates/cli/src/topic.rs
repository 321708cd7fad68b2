//! `caudal topic`.

use std::io::Write;

use anyhow::{Context as _, bail};
use caudal_client::{Client, ConfigChange, NewTopic, TopicMetadata};
use clap::{Args, Subcommand};

use crate::table::{Table, list, or_none};
use crate::{Connect, Outcome, key_value};

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

/// `caudal topic list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Names only, one per line
    #[arg(long, short)]
    pub quiet: bool,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal topic describe`.
#[derive(Args, Clone, Debug)]
pub struct Describe {
    /// The topic's name
    pub topic: String,
    /// Show the settings that are defaults, too
    #[arg(long)]
    pub all_configs: bool,
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
        TopicCommand::List(command) => print_list(command, out).await?,
        TopicCommand::Describe(command) => describe(command, out).await?,
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
    let replicas = replication_factor(&made);
    writeln!(out, "Created topic '{}': {} partitions, {replicas} replicas of each.", made.name, made.partitions.len())?;
    Ok(())
}

async fn print_list(command: List, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let topics = command.connect.client()?.list_topics().await?;
    if command.quiet {
        for topic in topics {
            writeln!(out, "{}", topic.name)?;
        }
        return Ok(());
    }
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS"]);
    for topic in &topics {
        let (partitions, replicas) = (topic.partitions.len().to_string(), replication_factor(topic).to_string());
        table.row([topic.name.clone(), partitions, replicas]);
    }
    Ok(table.print(out)?)
}

fn replication_factor(topic: &TopicMetadata) -> usize {
    topic.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0)
}

async fn describe(command: Describe, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let topic = existing(&client, &command.topic).await?;
    writeln!(out, "Topic: {}\nId: {}\n", topic.name, topic.id)?;
    let mut table = Table::new(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC"]);
    for partition in &topic.partitions {
        let epoch = partition.leader_epoch.to_string();
        let (leader, index) = (or_none(partition.leader), partition.index.to_string());
        table.row([index, leader, epoch, list(&partition.replicas), list(&partition.isr)]);
    }
    table.print(out)?;
    let configs = client.describe_configs(&topic.name).await?;
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for config in configs.into_iter().filter(|config| command.all_configs || config.overridden) {
        let from = if config.overridden { "topic" } else { "default" };
        table.row([config.name, config.value.unwrap_or_else(|| "(hidden)".to_owned()), from.to_owned()]);
    }
    writeln!(out)?;
    Ok(table.print(out)?)
}

async fn alter(command: Alter, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let set = command.config.into_iter().map(|(key, value)| ConfigChange::Set(key, value));
    let changes: Vec<_> = set.chain(command.delete_config.into_iter().map(ConfigChange::Delete)).collect();
    if changes.is_empty() && command.partitions.is_none() {
        bail!("nothing to change; give --config KEY=VALUE, --delete-config KEY or --partitions N");
    }
    let client = command.connect.client()?;
    let topic = existing(&client, &command.topic).await?;
    if !changes.is_empty() {
        client.alter_configs(&topic.name, &changes).await?;
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

async fn existing(client: &Client, name: &str) -> anyhow::Result<TopicMetadata> {
    let topic = client.topic(name, false).await;
    topic.with_context(|| format!("cannot describe topic '{name}'; 'caudal topic list' shows the topics there are"))
}
