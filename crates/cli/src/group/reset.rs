//! `caudal group reset-offsets`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use caudal_client::{Client, ClientError, FoundOffsets, NewOffset, OffsetSpec, Place};
use caudal_protocol::ErrorCode;
use caudal_types::{Clock, SystemClock};
use clap::Args;
use serde::Serialize;

use super::csv;
use super::plan::{Known, New, Target};
use crate::Connect;
use crate::output::{Form, Shown, note, or_dash};
use crate::places::{TopicPartitions, resolve};
use crate::table::Table;
use crate::time::{parse_duration, parse_time};

/// `caudal group reset-offsets`.
#[derive(Args, Clone, Debug)]
pub struct ResetOffsets {
    /// The group's id
    pub group: String,
    /// A topic, or some of its partitions; may be given several times [default: all that the group has offsets of]
    #[arg(long, value_name = "TOPIC[:P,P...]", value_parser = TopicPartitions::parse)]
    pub topic: Vec<TopicPartitions>,
    /// Where to go on reading
    #[command(flatten)]
    pub to: To,
    /// Do it, instead of showing what would be done
    #[arg(long)]
    pub execute: bool,
    /// Show the new offsets as lines of CSV, TOPIC,PARTITION,OFFSET, which --from-file reads, here and in kafka-consumer-groups
    #[arg(long, conflicts_with = "json")]
    pub export: bool,
    /// Begin each line with the group, so that several groups can share a file
    #[arg(long, requires = "export")]
    pub with_group: bool,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// Where to go on reading: one of these.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct To {
    /// With the oldest record
    #[arg(long)]
    pub to_earliest: bool,
    /// With what comes next
    #[arg(long)]
    pub to_latest: bool,
    /// With this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// So many records further than now; negative: back
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub shift_by: Option<i64>,
    /// With the first record of this time or later, such as 2026-11-27T09:30:00Z
    #[arg(long, value_name = "RFC3339", value_parser = parse_time)]
    pub to_datetime: Option<i64>,
    /// With the first record that is not older, such as 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub by_duration: Option<Duration>,
    /// Where it is now, or at the end where it has no offset yet
    #[arg(long)]
    pub to_current: bool,
    /// With the offsets in a file of lines TOPIC,PARTITION,OFFSET, or GROUP,TOPIC,PARTITION,OFFSET, of which other groups' do not count
    #[arg(long, value_name = "FILE", conflicts_with = "topic")]
    pub from_file: Option<PathBuf>,
}

impl To {
    /// What holds for all partitions alike: not that which a file says of each.
    fn target(&self, now: i64) -> Target {
        let ago = |ago: Duration| now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)).max(0);
        let time = self.to_datetime.or(self.by_duration.map(ago));
        match (self.to_offset, self.shift_by, time) {
            (Some(offset), _, _) => Target::Offset(offset),
            (_, Some(by), _) => Target::Shift(by),
            (_, _, Some(time)) => Target::Time(time),
            _ if self.to_earliest => Target::Earliest,
            _ if self.to_latest => Target::Latest,
            _ => Target::Current,
        }
    }
}

#[derive(Serialize)]
struct Plan {
    group: String,
    executed: bool,
    partitions: Vec<Change>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
    /// What was asked for is not in the partition: the nearest offset that is was taken.
    clipped: bool,
}

impl Shown for Plan {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut table = Table::new(&["TOPIC", "PARTITION", "NOW", "NEW", ""]);
        for change in &self.partitions {
            let clipped = if change.clipped { "the nearest that there is" } else { "" };
            let (partition, to) = (change.partition.to_string(), change.to.to_string());
            table.row([change.topic.clone(), partition, or_dash(change.from), to, clipped.to_owned()]);
        }
        table.print(out)?;
        if self.executed {
            writeln!(out, "\nGroup '{}' goes on from there.", self.group)
        } else {
            writeln!(out, "\nNothing was changed; --execute does it.")
        }
    }
}

pub(super) async fn run(command: ResetOffsets, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    check_members(&client, &command.group, command.execute).await?;
    let committed = client.group_offsets(&command.group).await?;
    let committed: BTreeMap<Place, i64> =
        committed.into_iter().map(|offset| ((offset.topic, offset.partition), offset.offset)).collect();
    let targets = match &command.to.from_file {
        Some(file) => targets_in(&client, file, &command.group).await?,
        None => targets(&client, &command, &committed).await?,
    };
    let partitions = plan(&client, &targets, &committed).await?;
    if command.execute {
        let new =
            |change: &Change| NewOffset { topic: change.topic.clone(), partition: change.partition, offset: change.to };
        client.commit_offsets(&command.group, &partitions.iter().map(new).collect::<Vec<_>>()).await?;
    }
    if command.export {
        return export(&partitions, command.with_group.then_some(command.group.as_str()), out);
    }
    command.form.show(&Plan { group: command.group, executed: command.execute, partitions }, out)
}

fn export(partitions: &[Change], group: Option<&str>, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    for Change { topic, partition, to, .. } in partitions {
        writeln!(out, "{}", csv::line(group, topic, *partition, *to))?;
    }
    Ok(())
}

/// Where to go on in each partition that is meant: the same way in all.
async fn targets(
    client: &Client,
    command: &ResetOffsets,
    committed: &BTreeMap<Place, i64>,
) -> anyhow::Result<BTreeMap<Place, Target>> {
    let places: BTreeSet<Place> = if command.topic.is_empty() {
        committed.keys().cloned().collect()
    } else {
        resolve(client, &command.topic).await?
    };
    if places.is_empty() {
        bail!(
            "group '{}' has no offsets; name the topics with --topic, or see 'caudal group list' for the groups there are",
            command.group
        );
    }
    let target = command.to.target(SystemClock.now_ms());
    Ok(places.into_iter().map(|place| (place, target)).collect())
}

/// Where to go on by what a file says of each partition; those that do not exist are an error.
async fn targets_in(client: &Client, file: &Path, group: &str) -> anyhow::Result<BTreeMap<Place, Target>> {
    let text = tokio::fs::read_to_string(file).await.with_context(|| format!("cannot read {}", file.display()))?;
    let offsets = csv::parse(&text, group).map_err(|why| anyhow!("{}: {why}", file.display()))?;
    let mut topics: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for (topic, partition) in offsets.keys() {
        topics.entry(topic).or_default().insert(*partition);
    }
    let named = |(topic, partitions): (&str, BTreeSet<i32>)| TopicPartitions {
        topic: topic.to_owned(),
        partitions: Some(partitions),
    };
    let named: Vec<_> = topics.into_iter().map(named).collect();
    resolve(client, &named).await?;
    Ok(offsets.into_iter().map(|(place, offset)| (place, Target::Offset(offset))).collect())
}

/// Members would go on from where they are, and commit that: so there must be none. A group that does not exist has none.
async fn check_members(client: &Client, group: &str, execute: bool) -> anyhow::Result<()> {
    let members = match client.describe_group(group).await {
        Ok(described) => described.members.len(),
        Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => 0,
        Err(error) => return Err(error.into()),
    };
    let refusal = format!(
        "group '{group}' has members ({members}), which would go on from where they are; stop them first ('caudal group describe {group}' shows who and where they are)"
    );
    if members > 0 && execute {
        bail!(refusal);
    }
    if members > 0 {
        note(&refusal);
    }
    Ok(())
}

async fn plan(
    client: &Client,
    targets: &BTreeMap<Place, Target>,
    committed: &BTreeMap<Place, i64>,
) -> anyhow::Result<Vec<Change>> {
    let places: Vec<Place> = targets.keys().cloned().collect();
    let earliest = client.find_offsets(&places, OffsetSpec::Earliest).await?;
    let latest = client.find_offsets(&places, OffsetSpec::Latest).await?;
    // One time is meant for all of them.
    let by_time = match targets.values().find_map(|target| target.by_time()) {
        Some(spec) => client.find_offsets(&places, spec).await?,
        None => places.iter().map(|place| (place.clone(), Ok(None))).collect(),
    };
    let (earliest, latest, by_time) = (all(earliest)?, all(latest)?, all(by_time)?);
    let mut changes = Vec::new();
    for (place, target) in targets {
        let at = |found: &BTreeMap<Place, Option<i64>>| found.get(place).copied().flatten();
        let (Some(earliest), Some(latest)) = (at(&earliest), at(&latest)) else {
            bail!("the offsets of {}-{} are not known; try again", place.0, place.1);
        };
        let from = committed.get(place).copied();
        let known = Known { earliest, latest, committed: from, by_time: at(&by_time) };
        let Some(New { offset: to, clipped }) = target.apply(known) else {
            bail!(
                "the group has no offset of {}-{} that --shift-by could move; use --to-offset or --to-latest there",
                place.0,
                place.1
            );
        };
        changes.push(Change { topic: place.0.clone(), partition: place.1, from, to, clipped });
    }
    Ok(changes)
}

/// All of the offsets, or the first error: half a plan is none.
fn all(found: FoundOffsets) -> Result<BTreeMap<Place, Option<i64>>, ClientError> {
    found.into_iter().map(|(place, found)| Ok((place, found?.map(|(offset, _)| offset)))).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        command: ResetOffsets,
    }

    fn target(flags: &[&str]) -> Result<Target, clap::Error> {
        let line = Line::try_parse_from(["reset-offsets", "g"].iter().chain(flags))?;
        Ok(line.command.to.target(10_000))
    }

    #[test]
    fn exactly_one_flag_says_where_to() {
        for (flags, expected) in [
            (&["--to-earliest"][..], Target::Earliest),
            (&["--to-latest"], Target::Latest),
            (&["--to-offset", "7"], Target::Offset(7)),
            (&["--shift-by", "-7"], Target::Shift(-7)),
            (&["--to-datetime", "1970-01-01T00:00:07Z"], Target::Time(7000)),
            (&["--by-duration", "3s"], Target::Time(7000)),
            (&["--by-duration", "1d"], Target::Time(0)),
            (&["--to-current"], Target::Current),
            (&["--to-current", "--export", "--with-group"], Target::Current),
        ] {
            assert_eq!(target(flags).expect("parses"), expected, "{flags:?}");
        }
        for wrong in [
            &[][..],
            &["--to-earliest", "--to-latest"],
            &["--to-offset", "-1"],
            &["--by-duration", "3"],
            &["--from-file", "f", "--to-latest"],
            &["--from-file", "f", "--topic", "t"],
            &["--to-current", "--export", "--json"],
            &["--to-current", "--with-group"],
        ] {
            assert!(target(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn new_offsets_are_exported_with_the_group_or_without() {
        let change = |partition| Change { topic: "t".to_owned(), partition, from: Some(1), to: 5, clipped: false };
        let text = |group| {
            let mut out = Vec::new();
            export(&[change(0), change(1)], group, &mut out).expect("prints");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(text(None), "t,0,5\nt,1,5\n");
        assert_eq!(text(Some("g")), "g,t,0,5\ng,t,1,5\n");
    }

    #[test]
    fn the_text_says_what_is_not_done_yet() {
        let change = Change { topic: "t".to_owned(), partition: 0, from: None, to: 5, clipped: true };
        let mut plan = Plan { group: "g".to_owned(), executed: false, partitions: vec![change] };
        let mut text = |executed| {
            plan.executed = executed;
            let mut out = Vec::new();
            plan.print(&mut out).expect("prints");
            String::from_utf8(out).expect("text")
        };
        let dry = text(false);
        assert!(dry.contains("t      0          -    5    the nearest that there is"), "{dry}");
        assert!(dry.contains("--execute"), "{dry}");
        assert!(!text(true).contains("--execute"));
    }
}
