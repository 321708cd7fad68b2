//! `caudal cluster`.

use std::io::Write;

use caudal_client::{ClusterMetadata, PartitionMetadata};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::output::{Form, json as write_json};
use crate::table::{Table, list, or_none};
use crate::{Connect, Outcome};

/// `caudal cluster ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show nodes, topics and partitions, and what is wrong with them
    Status(Status),
}

/// `caudal cluster status`.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// Every partition, not only those with something wrong
    #[arg(long)]
    pub all: bool,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// Runs `caudal cluster ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: ClusterCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    let ClusterCommand::Status(command) = command;
    let mut cluster = command.connect.client()?.metadata(None).await?;
    cluster.topics.sort_by(|a, b| a.name.cmp(&b.name));
    cluster.brokers.sort_by_key(|broker| broker.id);
    if command.form.json {
        write_json(&as_json(&cluster), out)?;
    } else {
        print(&cluster, command.all, out)?;
    }
    let leaderless = partitions(&cluster).any(|(_, partition)| partition.leader.is_none());
    Ok(if leaderless { Outcome::Unhealthy } else { Outcome::Success })
}

fn partitions(cluster: &ClusterMetadata) -> impl Iterator<Item = (&str, &PartitionMetadata)> {
    cluster.topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.as_str(), partition)))
}

/// What is wrong with a partition.
fn trouble(partition: &PartitionMetadata) -> Option<&'static str> {
    if partition.leader.is_none() {
        Some("no leader")
    } else if partition.isr.len() < partition.replicas.len() {
        Some("under-replicated")
    } else if partition.leader != partition.replicas.first().copied() {
        Some("not led by its preferred replica")
    } else {
        None
    }
}

fn count(cluster: &ClusterMetadata, what: impl Fn(&PartitionMetadata) -> bool) -> usize {
    partitions(cluster).filter(|(_, partition)| what(partition)).count()
}

fn print(cluster: &ClusterMetadata, all: bool, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    writeln!(out, "Cluster: {}", cluster.cluster_id.as_deref().unwrap_or("unknown"))?;
    writeln!(out, "Controller: {}\n", or_none(cluster.controller))?;
    let mut table = Table::new(&["NODE", "ADDRESS", "RACK", "LEADS", "REPLICAS"]);
    for broker in &cluster.brokers {
        let leads = count(cluster, |partition| partition.leader == Some(broker.id)).to_string();
        let replicas = count(cluster, |partition| partition.replicas.contains(&broker.id)).to_string();
        let rack = broker.rack.clone().unwrap_or_else(|| "-".to_owned());
        table.row([broker.id.to_string(), broker.address(), rack, leads, replicas]);
    }
    table.print(out)?;
    let (total, leaderless, under) = (count(cluster, |_| true), leaderless(cluster), under_replicated(cluster));
    writeln!(
        out,
        "\n{} topics, {total} partitions: {leaderless} without a leader, {under} under-replicated.",
        cluster.topics.len()
    )?;
    let mut table = Table::new(&["TOPIC", "PARTITION", "LEADER", "REPLICAS", "IN SYNC", "STATE"]);
    let mut shown = 0;
    for (topic, partition) in partitions(cluster) {
        let trouble = trouble(partition);
        if all || trouble.is_some() {
            shown += 1;
            let (index, leader) = (partition.index.to_string(), or_none(partition.leader));
            let (replicas, isr) = (list(&partition.replicas), list(&partition.isr));
            table.row([topic.to_owned(), index, leader, replicas, isr, trouble.unwrap_or("ok").to_owned()]);
        }
    }
    if shown > 0 {
        writeln!(out)?;
        table.print(out)?;
    }
    Ok(())
}

fn leaderless(cluster: &ClusterMetadata) -> usize {
    count(cluster, |partition| partition.leader.is_none())
}

fn under_replicated(cluster: &ClusterMetadata) -> usize {
    count(cluster, |partition| partition.isr.len() < partition.replicas.len())
}

fn as_json(cluster: &ClusterMetadata) -> Value {
    let nodes = cluster.brokers.iter().map(|broker| {
        json!({
            "id": broker.id,
            "address": broker.address(),
            "rack": broker.rack,
            "leads": count(cluster, |partition| partition.leader == Some(broker.id)),
            "replicas": count(cluster, |partition| partition.replicas.contains(&broker.id)),
        })
    });
    let topics = cluster.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            json!({
                "partition": partition.index,
                "leader": partition.leader,
                "leader_epoch": partition.leader_epoch,
                "replicas": partition.replicas,
                "in_sync": partition.isr,
            })
        });
        json!({ "name": topic.name, "id": topic.id.to_string(), "partitions": partitions.collect::<Vec<_>>() })
    });
    json!({
        "cluster_id": cluster.cluster_id,
        "controller": cluster.controller,
        "nodes": nodes.collect::<Vec<_>>(),
        "topics": topics.collect::<Vec<_>>(),
        "partitions": count(cluster, |_| true),
        "without_leader": leaderless(cluster),
        "under_replicated": under_replicated(cluster),
    })
}

#[cfg(test)]
mod tests {
    use caudal_client::{Broker, TopicMetadata};

    use super::*;

    fn cluster() -> ClusterMetadata {
        let partition = |index, leader, isr: &[i32]| PartitionMetadata {
            index,
            leader,
            leader_epoch: 4,
            replicas: vec![1, 2],
            isr: isr.to_vec(),
        };
        let broker = |id| Broker { id, host: "h".to_owned(), port: 9092, rack: None };
        let partitions = vec![partition(0, Some(1), &[1, 2]), partition(1, Some(1), &[1]), partition(2, None, &[])];
        let topic = TopicMetadata { name: "t".to_owned(), id: Default::default(), internal: false, partitions };
        ClusterMetadata {
            cluster_id: Some("c".to_owned()),
            controller: Some(1),
            brokers: vec![broker(1), broker(2)],
            topics: vec![topic],
        }
    }

    #[test]
    fn the_table_shows_what_is_wrong() {
        let mut out = Vec::new();
        print(&cluster(), false, &mut out).expect("prints");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("1 topics, 3 partitions: 1 without a leader, 2 under-replicated."), "{text}");
        assert!(text.contains("t      1          1       1,2       1        under-replicated"), "{text}");
        assert!(text.contains("t      2          none    1,2       -        no leader"), "{text}");
        assert!(!text.contains(" ok"), "{text}");
        let mut out = Vec::new();
        print(&cluster(), true, &mut out).expect("prints");
        assert!(String::from_utf8(out).expect("text").contains(" ok"));
    }

    #[test]
    fn the_json_has_the_same_facts() {
        let json = as_json(&cluster());
        assert_eq!(
            (&json["partitions"], &json["without_leader"], &json["under_replicated"]),
            (&json!(3), &json!(1), &json!(2))
        );
        assert_eq!(json["nodes"][0]["leads"], 2);
        assert_eq!(json["topics"][0]["partitions"][2]["leader"], Value::Null);
    }
}
