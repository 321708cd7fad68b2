//! `caudal topic create`.

use std::io::{self, Write};

use caudal_client::{Client, NewTopic, TopicMetadata};
use caudal_protocol::ErrorCode;
use clap::Args;
use serde::Serialize;

use super::replicas::ReplicaAssignment;
use crate::items::{Failure, Item, conclude};
use crate::output::{Form, Shown, note};
use crate::{Connect, key_value};

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
    /// The nodes of each partition, its preferred leader first, such as 1:2:3,2:3:1 for two partitions [default: chosen by rack and load]
    #[arg(long, value_name = "ID:ID...,ID:ID...", value_parser = ReplicaAssignment::parse)]
    #[arg(conflicts_with_all = ["partitions", "replication_factor"])]
    pub replica_assignment: Option<ReplicaAssignment>,
    /// A setting, such as retention.ms=60000; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub config: Vec<(String, String)>,
    /// Do nothing if the topic exists already
    #[arg(long)]
    pub if_not_exists: bool,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Debug, Serialize)]
struct Created {
    name: String,
    id: Option<String>,
    partitions: Option<usize>,
    replication_factor: Option<usize>,
}

impl Created {
    fn new(name: String, topic: Option<&TopicMetadata>) -> Self {
        Self {
            name,
            id: topic.map(|topic| topic.id.to_string()),
            partitions: topic.map(|topic| topic.partitions.len()),
            replication_factor: topic.map(TopicMetadata::replication_factor),
        }
    }
}

impl Shown for Item<Created> {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let Created { name, partitions, replication_factor, .. } = &self.what;
        match (self.done, partitions, replication_factor) {
            (true, Some(partitions), Some(replicas)) => {
                writeln!(out, "Created topic '{name}': {partitions} partitions, {replicas} replicas of each.")
            }
            (true, _, _) => writeln!(out, "Created topic '{name}'."),
            (false, _, _) if self.error.is_none() => writeln!(out, "Topic '{name}' exists already."),
            (false, _, _) => Ok(()),
        }
    }
}

pub(super) async fn create(command: Create, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let topic = NewTopic {
        name: command.topic,
        partitions: command.partitions.unwrap_or(-1),
        replication_factor: command.replication_factor.unwrap_or(-1),
        assignment: command.replica_assignment.map(|replicas| replicas.0).unwrap_or_default(),
        configs: command.config,
    };
    let outcome = match client.create_topic(&topic).await {
        Ok(()) => Ok(true),
        Err(error) if command.if_not_exists && error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => Ok(false),
        Err(error) => Err(Failure::from(error)),
    };
    let found = if outcome.is_ok() { described(&client, &topic.name).await } else { None };
    let item = Item::new(Created::new(topic.name, found.as_ref()), outcome);
    command.form.show(&item, out)?;
    conclude(item.error.iter())
}

/// What is known of a topic that there is. That it cannot be told does not undo what was done.
async fn described(client: &Client, name: &str) -> Option<TopicMetadata> {
    let found = client.topic(name, false).await;
    found.inspect_err(|error| note(&format!("topic '{name}' is there, but cannot be described now: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        command: Create,
    }

    fn parse(flags: &[&str]) -> Option<Create> {
        Line::try_parse_from(["create", "t"].iter().chain(flags)).ok().map(|line| line.command)
    }

    #[test]
    fn replicas_are_counted_or_named() {
        let named = parse(&["--replica-assignment", "1:2,2:1"]).expect("they are named");
        assert_eq!(named.replica_assignment, Some(ReplicaAssignment(vec![vec![1, 2], vec![2, 1]])));
        assert_eq!(parse(&["--partitions", "2"]).expect("they are counted").replica_assignment, None);
        for both in [["--partitions", "2"], ["--replication-factor", "2"]] {
            assert!(parse(&[&["--replica-assignment", "1:2,2:1"], &both[..]].concat()).is_none(), "{both:?}");
        }
    }

    #[test]
    fn the_text_says_what_was_done() {
        let text = |item: &Item<Created>| {
            let mut out = Vec::new();
            item.print(&mut out).expect("prints");
            String::from_utf8(out).expect("text")
        };
        let what = || Created { name: "t".to_owned(), id: None, partitions: Some(3), replication_factor: Some(2) };
        let created = text(&Item::new(what(), Ok(true)));
        assert_eq!(created, "Created topic 't': 3 partitions, 2 replicas of each.\n");
        assert_eq!(text(&Item::new(what(), Ok(false))), "Topic 't' exists already.\n");
        assert_eq!(text(&Item::new(what(), Err(Failure::new("no")))), "");
    }
}
