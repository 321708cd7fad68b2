//! `caudal topic list` and `caudal topic describe`.

use std::io::{self, Write};

use caudal_client::{ConfigResource, FoundOffsets, OffsetSpec, PartitionMetadata, Place, TopicMetadata};
use clap::Args;
use serde::Serialize;

use crate::Connect;
use crate::config::{Setting, print_settings, settings};
use crate::output::{Form, Shown, or_dash};
use crate::table::{Table, list, or_none};

/// `caudal topic list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Names only, one per line
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// Which of them
    #[command(flatten)]
    pub filter: Filter,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
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
    /// Which of its partitions
    #[command(flatten)]
    pub filter: Filter,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// Only what is not well. Several flags: what fits any of them.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only partitions with replicas that are down or behind
    #[arg(long)]
    pub under_replicated: bool,
    /// Only partitions without a leader
    #[arg(long)]
    pub without_leader: bool,
}

impl Filter {
    fn passes(self, partition: &PartitionMetadata) -> bool {
        let all = !self.under_replicated && !self.without_leader;
        let (under, leaderless) = (is_under_replicated(partition), partition.leader.is_none());
        all || (self.under_replicated && under) || (self.without_leader && leaderless)
    }
}

fn is_under_replicated(partition: &PartitionMetadata) -> bool {
    partition.isr.len() < partition.replicas.len()
}

#[derive(Serialize)]
struct Topics {
    topics: Vec<TopicRow>,
}

#[derive(Debug, Serialize)]
struct TopicRow {
    name: String,
    id: String,
    internal: bool,
    partitions: usize,
    replication_factor: usize,
    under_replicated: usize,
    without_leader: usize,
}

impl From<&TopicMetadata> for TopicRow {
    fn from(topic: &TopicMetadata) -> Self {
        let count =
            |what: fn(&PartitionMetadata) -> bool| topic.partitions.iter().filter(|partition| what(partition)).count();
        Self {
            name: topic.name.clone(),
            id: topic.id.to_string(),
            internal: topic.internal,
            partitions: topic.partitions.len(),
            replication_factor: topic.replication_factor(),
            under_replicated: count(is_under_replicated),
            without_leader: count(|partition| partition.leader.is_none()),
        }
    }
}

impl Shown for Topics {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS", "UNDER-REPLICATED", "WITHOUT LEADER"]);
        for topic in &self.topics {
            let (partitions, replicas) = (topic.partitions.to_string(), topic.replication_factor.to_string());
            let (under, leaderless) = (topic.under_replicated.to_string(), topic.without_leader.to_string());
            table.row([topic.name.clone(), partitions, replicas, under, leaderless]);
        }
        table.print(out)
    }
}

pub(super) async fn list_topics(command: List, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let topics = command.connect.client()?.list_topics().await?;
    let filter = command.filter;
    let wanted = topics.iter().filter(|topic| topic.partitions.iter().any(|partition| filter.passes(partition)));
    if command.quiet {
        for topic in wanted {
            writeln!(out, "{}", topic.name)?;
        }
        return Ok(());
    }
    command.form.show(&Topics { topics: wanted.map(TopicRow::from).collect() }, out)
}

#[derive(Serialize)]
struct Facts {
    name: String,
    id: String,
    internal: bool,
    partitions: Vec<Partition>,
    settings: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct Partition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    earliest: Option<i64>,
    latest: Option<i64>,
}

impl Shown for Facts {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        writeln!(out, "Topic: {}\nId: {}\n", self.name, self.id)?;
        let header = ["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "EARLIEST", "LATEST"];
        let mut table = Table::new(&header);
        for partition in &self.partitions {
            table.row([
                partition.partition.to_string(),
                or_none(partition.leader),
                partition.leader_epoch.to_string(),
                list(&partition.replicas),
                list(&partition.in_sync),
                or_dash(partition.earliest),
                or_dash(partition.latest),
            ]);
        }
        table.print(out)?;
        writeln!(out)?;
        print_settings(&self.settings, out)
    }
}

pub(super) async fn describe(command: Describe, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let topic = client.topic(&command.topic, false).await?;
    let shown: Vec<_> = topic.partitions.iter().filter(|partition| command.filter.passes(partition)).collect();
    // Those without a leader have nobody to ask.
    let led = shown.iter().filter(|partition| partition.leader.is_some());
    let places: Vec<Place> = led.map(|partition| (topic.name.clone(), partition.index)).collect();
    let earliest = client.find_offsets(&places, OffsetSpec::Earliest).await?;
    let latest = client.find_offsets(&places, OffsetSpec::Latest).await?;
    let at = |found: &FoundOffsets, index| {
        let found = found.get(&(topic.name.clone(), index))?.as_ref().ok()?;
        found.map(|(offset, _)| offset)
    };
    let partition = |partition: &&PartitionMetadata| Partition {
        partition: partition.index,
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replicas.clone(),
        in_sync: partition.isr.clone(),
        earliest: at(&earliest, partition.index),
        latest: at(&latest, partition.index),
    };
    let facts = Facts {
        name: topic.name.clone(),
        id: topic.id.to_string(),
        internal: topic.internal,
        partitions: shown.iter().map(partition).collect(),
        settings: settings(&client, &ConfigResource::Topic(topic.name.clone()), command.all_configs).await?,
    };
    command.form.show(&facts, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(leader: Option<i32>, isr: &[i32]) -> PartitionMetadata {
        PartitionMetadata { index: 0, leader, leader_epoch: 1, replicas: vec![1, 2], isr: isr.to_vec() }
    }

    #[test]
    fn filters_let_what_is_not_well_pass() {
        let (well, under, leaderless) = (partition(Some(1), &[1, 2]), partition(Some(1), &[1]), partition(None, &[]));
        let passes = |under_replicated, without_leader| {
            let filter = Filter { under_replicated, without_leader };
            [&well, &under, &leaderless].map(|partition| filter.passes(partition))
        };
        assert_eq!(passes(false, false), [true, true, true]);
        assert_eq!(passes(true, false), [false, true, true]);
        assert_eq!(passes(false, true), [false, false, true]);
        assert_eq!(passes(true, true), [false, true, true]);
    }

    #[test]
    fn the_list_counts_what_is_not_well() {
        let partitions = vec![partition(Some(1), &[1, 2]), partition(Some(1), &[1]), partition(None, &[])];
        let topic = TopicMetadata { name: "t".to_owned(), id: Default::default(), internal: false, partitions };
        let row = TopicRow::from(&topic);
        assert_eq!((row.partitions, row.replication_factor, row.under_replicated, row.without_leader), (3, 2, 2, 1));
    }
}
