//! `caudal group describe`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use caudal_client::{CommittedOffset, DescribedGroup, FoundOffsets, GroupMember, OffsetSpec, Place};
use clap::Args;
use serde::Serialize;

use crate::Connect;
use crate::output::{Form, Shown, note, or_dash};
use crate::table::{Table, list};

/// `caudal group describe`.
#[derive(Args, Clone, Debug)]
pub struct Describe {
    /// The group's id
    pub group: String,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Debug, Serialize)]
struct Facts {
    group: String,
    #[serde(rename = "type")]
    group_type: &'static str,
    protocol_type: String,
    state: String,
    assignor: String,
    coordinator: Coordinator,
    epoch: Option<i32>,
    assignment_epoch: Option<i32>,
    members: Vec<Member>,
    offsets: Vec<Offset>,
    /// Over all partitions whose lag is known.
    lag: i64,
}

#[derive(Debug, Serialize)]
struct Coordinator {
    node: i32,
    address: String,
}

#[derive(Debug, Serialize)]
struct Member {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    epoch: Option<i32>,
    assignment: Vec<Assigned>,
}

#[derive(Debug, Serialize)]
struct Assigned {
    topic: String,
    partitions: Vec<i32>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Offset {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    metadata: Option<String>,
    member_id: Option<String>,
}

pub(super) async fn run(command: Describe, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let group = client.describe_group(&command.group).await?;
    let committed = client.group_offsets(&command.group).await?;
    let places: Vec<Place> = places(&group.members, &committed).into_iter().collect();
    let ends = client.find_offsets(&places, OffsetSpec::Latest).await?;
    for (place, error) in ends.iter().filter_map(|(place, end)| Some((place, end.as_ref().err()?))) {
        note(&format!("the end of {}-{} is not known: {error}", place.0, place.1));
    }
    command.form.show(&facts(group, &committed, &ends), out)
}

/// Where members read, or the group has committed.
fn places(members: &[GroupMember], committed: &[CommittedOffset]) -> BTreeSet<Place> {
    let committed = committed.iter().map(|offset| (offset.topic.clone(), offset.partition));
    owners(members).into_keys().chain(committed).collect()
}

/// Who has a partition.
fn owners(members: &[GroupMember]) -> BTreeMap<Place, &str> {
    let mut owners = BTreeMap::new();
    for member in members {
        for (topic, partitions) in &member.assignment {
            owners.extend(partitions.iter().map(|partition| ((topic.clone(), *partition), member.member_id.as_str())));
        }
    }
    owners
}

fn facts(group: DescribedGroup, committed: &[CommittedOffset], ends: &FoundOffsets) -> Facts {
    let offsets = offsets(&group.members, committed, ends);
    let member = |member: GroupMember| Member {
        member_id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.host,
        epoch: member.epoch,
        assignment: member.assignment.into_iter().map(|(topic, partitions)| Assigned { topic, partitions }).collect(),
    };
    Facts {
        group: group.group_id,
        group_type: group.group_type,
        protocol_type: group.protocol_type,
        state: group.state,
        assignor: group.assignor,
        coordinator: Coordinator { node: group.coordinator.id, address: group.coordinator.address() },
        epoch: group.epoch,
        assignment_epoch: group.assignment_epoch,
        members: group.members.into_iter().map(member).collect(),
        lag: offsets.iter().filter_map(|offset| offset.lag).sum(),
        offsets,
    }
}

fn offsets(members: &[GroupMember], committed: &[CommittedOffset], ends: &FoundOffsets) -> Vec<Offset> {
    let owners = owners(members);
    let by_place: BTreeMap<Place, &CommittedOffset> =
        committed.iter().map(|offset| ((offset.topic.clone(), offset.partition), offset)).collect();
    let offset = |place: Place| {
        let committed = by_place.get(&place);
        let end = ends.get(&place).and_then(|found| found.as_ref().ok().copied().flatten()).map(|(offset, _)| offset);
        let position = committed.map(|committed| committed.offset);
        Offset {
            committed: position,
            end,
            // A group that was reset beyond the end is not behind.
            lag: position.zip(end).map(|(position, end)| (end - position).max(0)),
            metadata: committed.map(|committed| committed.metadata.clone()),
            member_id: owners.get(&place).map(|member| (*member).to_owned()),
            topic: place.0,
            partition: place.1,
        }
    };
    places(members, committed).into_iter().map(offset).collect()
}

impl Shown for Facts {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        writeln!(out, "Group: {}\nType: {}\nState: {}", self.group, self.group_type, self.state)?;
        if !self.assignor.is_empty() {
            writeln!(out, "Assignor: {}", self.assignor)?;
        }
        if let (Some(epoch), Some(assignment)) = (self.epoch, self.assignment_epoch) {
            writeln!(out, "Epoch: {epoch}, of the assignment {assignment}")?;
        }
        writeln!(out, "Coordinator: {} ({})\nLag: {}\n", self.coordinator.node, self.coordinator.address, self.lag)?;
        self.print_members(out)?;
        let mut table = Table::new(&["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"]);
        for offset in &self.offsets {
            table.row([
                offset.topic.clone(),
                offset.partition.to_string(),
                or_dash(offset.committed),
                or_dash(offset.end),
                or_dash(offset.lag),
                or_dash(offset.member_id.as_ref()),
            ]);
        }
        writeln!(out)?;
        table.print(out)
    }
}

impl Facts {
    fn print_members(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if self.members.is_empty() {
            return writeln!(out, "No members.");
        }
        let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "HAS"]);
        for member in &self.members {
            let has = member.assignment.iter().map(|part| format!("{}:{}", part.topic, list(&part.partitions)));
            let has = has.collect::<Vec<_>>().join(" ");
            table.row([
                member.member_id.clone(),
                or_dash(member.instance_id.as_ref()),
                member.client_id.clone(),
                member.host.clone(),
                if has.is_empty() { "-".to_owned() } else { has },
            ]);
        }
        table.print(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(partition: i32, offset: i64) -> CommittedOffset {
        CommittedOffset { topic: "t".to_owned(), partition, offset, metadata: "words".to_owned() }
    }

    fn member() -> GroupMember {
        GroupMember {
            member_id: "m".to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            host: "/127.0.0.1".to_owned(),
            epoch: None,
            assignment: BTreeMap::from([("t".to_owned(), vec![0, 1])]),
        }
    }

    #[test]
    fn partitions_are_those_that_are_read_or_committed() {
        let place = |partition| ("t".to_owned(), partition);
        let no_leader = caudal_client::ClientError::NoLeader { topic: "t".to_owned(), partition: 3 };
        let ends = FoundOffsets::from([
            (place(0), Ok(Some((10, 0)))),
            (place(1), Ok(Some((5, 0)))),
            (place(2), Ok(Some((7, 0)))),
            (place(3), Err(no_leader)),
        ]);
        let found = offsets(&[member()], &[committed(0, 4), committed(2, 9), committed(3, 1)], &ends);
        let row = |offset: &Offset| (offset.partition, offset.committed, offset.end, offset.lag);
        let rows: Vec<_> = found.iter().map(row).collect();
        assert_eq!(
            rows,
            [
                (0, Some(4), Some(10), Some(6)),
                (1, None, Some(5), None),
                (2, Some(9), Some(7), Some(0)),
                (3, Some(1), None, None),
            ]
        );
        let members: Vec<_> = found.iter().map(|offset| offset.member_id.as_deref()).collect();
        assert_eq!(members, [Some("m"), Some("m"), None, None]);
    }

    #[test]
    fn the_text_names_who_has_what() {
        let coordinator = caudal_client::Broker { id: 2, host: "h".to_owned(), port: 9, rack: None };
        let group = DescribedGroup {
            group_id: "g".to_owned(),
            group_type: "classic",
            protocol_type: "consumer".to_owned(),
            state: "Stable".to_owned(),
            assignor: "range".to_owned(),
            coordinator,
            epoch: None,
            assignment_epoch: None,
            members: vec![member()],
        };
        let ends = FoundOffsets::from([(("t".to_owned(), 0), Ok(Some((10, 0))))]);
        let mut out = Vec::new();
        facts(group, &[committed(0, 4)], &ends).print(&mut out).expect("prints");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("Coordinator: 2 (h:9)\nLag: 6\n"), "{text}");
        assert!(text.contains("t:0,1") && text.contains("t      0          4          10   6    m"), "{text}");
    }
}
