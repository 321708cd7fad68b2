//! `caudal log`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use caudal_client::{FoundOffset, FoundOffsets, LogDir, OffsetSpec, Place, ReplicaLog};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::output::{Form, NotAnswered, Shown, not_answered, note, or_dash, size};
use crate::table::Table;
use crate::time::{parse_time, utc};
use crate::{Connect, Outcome};

/// Kafka's number for the end of what is committed.
const COMMITTED_END: i64 = -1;

/// `caudal log ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum LogCommand {
    /// Show how much each replica takes on each node
    List(List),
    /// Show which offsets the partitions of a topic have
    Offsets(Offsets),
    /// Delete the records of a partition that come before an offset
    DeleteRecords(DeleteRecords),
}

/// `caudal log list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Only this topic; may be given several times
    #[arg(long, value_name = "TOPIC")]
    pub topic: Vec<String>,
    /// Only this node; may be given several times
    #[arg(long, value_name = "ID")]
    pub node: Vec<i32>,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal log offsets`.
#[derive(Args, Clone, Debug)]
pub struct Offsets {
    /// The topic's name
    pub topic: String,
    /// This partition only; may be given several times
    #[arg(long, value_name = "N")]
    pub partition: Vec<i32>,
    /// The first record of this time or later, too, such as 2026-11-27T09:30:00Z
    #[arg(long, value_name = "RFC3339", value_parser = parse_time)]
    pub at: Option<i64>,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal log delete-records`.
#[derive(Args, Clone, Debug)]
pub struct DeleteRecords {
    /// The topic's name
    pub topic: String,
    /// The partition
    #[arg(long, value_name = "N")]
    pub partition: i32,
    /// The first offset that stays; 'end' deletes everything
    #[arg(long, value_name = "OFFSET", value_parser = before)]
    pub before: i64,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

fn before(text: &str) -> Result<i64, String> {
    if text == "end" {
        return Ok(COMMITTED_END);
    }
    let offset = text.parse::<i64>().ok().filter(|offset| *offset >= 0);
    offset.ok_or_else(|| format!("'{text}' is no offset; give a number, or 'end'"))
}

/// Runs `caudal log ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: LogCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        LogCommand::List(command) => list(command, out).await?,
        LogCommand::Offsets(command) => offsets(command, out).await?,
        LogCommand::DeleteRecords(command) => delete_records(command, out).await?,
    }
    Ok(Outcome::Success)
}

#[derive(Serialize)]
struct Logs {
    dirs: Vec<Dir>,
    not_answered: Vec<NotAnswered>,
}

#[derive(Debug, Serialize)]
struct Dir {
    node: i32,
    path: String,
    total_bytes: Option<i64>,
    usable_bytes: Option<i64>,
    replicas: Vec<Replica>,
}

#[derive(Debug, Serialize)]
struct Replica {
    topic: String,
    partition: i32,
    bytes: i64,
    offset_lag: i64,
}

async fn list(command: List, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let answers = command.connect.client()?.log_dirs().await?;
    let dirs = answers.found.into_iter().filter(|dir| command.node.is_empty() || command.node.contains(&dir.node));
    let dirs = dirs.map(|dir| shown(dir, &command.topic)).collect();
    command.form.show(&Logs { dirs, not_answered: not_answered(&answers.silent) }, out)
}

fn shown(dir: LogDir, topics: &[String]) -> Dir {
    let wanted = dir.replicas.into_iter().filter(|replica| topics.is_empty() || topics.contains(&replica.topic));
    let replica = |replica: ReplicaLog| Replica {
        topic: replica.topic,
        partition: replica.partition,
        bytes: replica.bytes,
        offset_lag: replica.offset_lag,
    };
    Dir {
        node: dir.node,
        path: dir.path,
        total_bytes: dir.total_bytes,
        usable_bytes: dir.usable_bytes,
        replicas: wanted.map(replica).collect(),
    }
}

impl Shown for Logs {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut nodes = Table::new(&["NODE", "FOLDER", "REPLICAS", "SIZE", "FREE", "OF"]);
        let mut logs = Table::new(&["TOPIC", "PARTITION", "NODE", "SIZE", "BEHIND"]);
        for dir in &self.dirs {
            let bytes = dir.replicas.iter().map(|replica| replica.bytes).sum();
            let (free, of) = (or_dash(dir.usable_bytes.map(size)), or_dash(dir.total_bytes.map(size)));
            let replicas = dir.replicas.len().to_string();
            nodes.row([dir.node.to_string(), dir.path.clone(), replicas, size(bytes), free, of]);
        }
        let mut rows: Vec<_> =
            self.dirs.iter().flat_map(|dir| dir.replicas.iter().map(|replica| (replica, dir.node))).collect();
        rows.sort_by(|(a, at), (b, bt)| (&a.topic, a.partition, at).cmp(&(&b.topic, b.partition, bt)));
        for (replica, node) in rows {
            let (partition, behind) = (replica.partition.to_string(), replica.offset_lag.to_string());
            logs.row([replica.topic.clone(), partition, node.to_string(), size(replica.bytes), behind]);
        }
        nodes.print(out)?;
        writeln!(out)?;
        logs.print(out)
    }
}

#[derive(Serialize)]
struct TopicOffsets {
    topic: String,
    partitions: Vec<PartitionOffsets>,
    /// Whether a time was asked for.
    #[serde(skip)]
    by_time: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct PartitionOffsets {
    partition: i32,
    earliest: Option<i64>,
    latest: Option<i64>,
    /// The first record of the time asked for or later.
    at: Option<Found>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    offset: i64,
    timestamp_ms: i64,
}

async fn offsets(command: Offsets, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let topic = client.topic(&command.topic, false).await?;
    for partition in &command.partition {
        topic.partition(*partition)?;
    }
    let wanted = topic.partitions.iter().map(|partition| partition.index);
    let wanted = wanted.filter(|index| command.partition.is_empty() || command.partition.contains(index));
    let places: Vec<Place> = wanted.map(|index| (topic.name.clone(), index)).collect();
    let earliest = client.find_offsets(&places, OffsetSpec::Earliest).await?;
    let latest = client.find_offsets(&places, OffsetSpec::Latest).await?;
    let at = match command.at {
        Some(time) => client.find_offsets(&places, OffsetSpec::Timestamp(time)).await?,
        None => FoundOffsets::new(),
    };
    note_failures([&earliest, &latest, &at]);
    let found = |all: &FoundOffsets, place: &Place| -> FoundOffset { all.get(place)?.as_ref().ok().copied().flatten() };
    let partition = |place: &Place| PartitionOffsets {
        partition: place.1,
        earliest: found(&earliest, place).map(|(offset, _)| offset),
        latest: found(&latest, place).map(|(offset, _)| offset),
        at: found(&at, place).map(|(offset, timestamp_ms)| Found { offset, timestamp_ms }),
    };
    let partitions = places.iter().map(partition).collect();
    command.form.show(&TopicOffsets { topic: topic.name, partitions, by_time: command.at.is_some() }, out)
}

/// Names each partition that could not be looked up once.
fn note_failures(all: [&FoundOffsets; 3]) {
    let mut told = BTreeSet::new();
    for (place, error) in all.into_iter().flatten().filter_map(|(place, found)| Some((place, found.as_ref().err()?))) {
        if told.insert(place) {
            note(&format!("the offsets of {}-{} are not known: {error}", place.0, place.1));
        }
    }
}

impl Shown for TopicOffsets {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let header: &[&str] = &["PARTITION", "EARLIEST", "LATEST", "AT TIME", "WHICH IS OF"];
        let mut table = Table::new(if self.by_time { header } else { &header[..3] });
        for partition in &self.partitions {
            let (index, earliest) = (partition.partition.to_string(), or_dash(partition.earliest));
            let latest = or_dash(partition.latest);
            if self.by_time {
                let at = or_dash(partition.at.as_ref().map(|found| found.offset));
                let time = or_dash(partition.at.as_ref().map(|found| utc(found.timestamp_ms)));
                table.row([index, earliest, latest, at, time]);
            } else {
                table.row([index, earliest, latest]);
            }
        }
        table.print(out)
    }
}

#[derive(Serialize)]
struct Deleted {
    topic: String,
    partition: i32,
    earliest: i64,
}

impl Shown for Deleted {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        writeln!(
            out,
            "The first record of {}-{} is that of offset {} now, or what comes next.",
            self.topic, self.partition, self.earliest
        )
    }
}

async fn delete_records(command: DeleteRecords, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    client.topic(&command.topic, false).await?.partition(command.partition)?;
    let place = (command.topic, command.partition);
    let earliest = client.delete_records(&place, command.before).await?;
    command.form.show(&Deleted { topic: place.0, partition: place.1, earliest }, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_or_the_end_may_be_where_deleting_stops() {
        assert_eq!(before("0"), Ok(0));
        assert_eq!(before("end"), Ok(-1));
        for wrong in ["", "-1", "start", "1.5"] {
            assert!(before(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_shown_by_node_and_by_replica() {
        let replica = |partition, bytes| ReplicaLog { topic: "t".to_owned(), partition, bytes, offset_lag: 3 };
        let dir = |node| LogDir {
            node,
            path: "data".to_owned(),
            total_bytes: Some(4096),
            usable_bytes: None,
            replicas: vec![replica(0, 1024), replica(1, 512)],
        };
        let logs = Logs { dirs: vec![shown(dir(1), &[]), shown(dir(2), &["u".to_owned()])], not_answered: Vec::new() };
        let mut out = Vec::new();
        logs.print(&mut out).expect("prints");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("1     data    2         1.5 KiB  -     4.0 KiB"), "{text}");
        assert!(text.contains("t      0          1     1.0 KiB  3"), "{text}");
        assert!(text.contains("2     data    0         0 B"), "{text}");
    }
}
