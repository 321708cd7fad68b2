//! `caudal group delete` and `caudal group delete-offsets`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use caudal_client::{ClientError, Place};
use caudal_protocol::ErrorCode;
use clap::Args;
use serde::Serialize;

use crate::Connect;
use crate::items::{Failure, Item, conclude, failures, unless_silent};
use crate::output::{Form, Shown};
use crate::places::{TopicPartitions, resolve};

/// `caudal group delete`.
#[derive(Args, Clone, Debug)]
pub struct Delete {
    /// The groups' ids
    #[arg(required = true)]
    pub groups: Vec<String>,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal group delete-offsets`.
#[derive(Args, Clone, Debug)]
pub struct DeleteOffsets {
    /// The group's id
    pub group: String,
    /// A topic, or some of its partitions; may be given several times
    #[arg(long, required = true, value_name = "TOPIC[:P,P...]", value_parser = TopicPartitions::parse)]
    pub topic: Vec<TopicPartitions>,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Serialize)]
struct Deleted {
    groups: Vec<Item<Id>>,
}

#[derive(Debug, Serialize)]
struct Id {
    group: String,
}

impl Shown for Deleted {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        for group in self.groups.iter().filter(|group| group.done) {
            writeln!(out, "Deleted group '{}' with its offsets.", group.what.group)?;
        }
        Ok(())
    }
}

pub(super) async fn groups(command: Delete, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let mut groups: Vec<Item<Id>> = Vec::new();
    for group in command.groups {
        let outcome = unless_silent(&groups, client.delete_group(&group)).await;
        groups.push(Item::new(Id { group }, outcome.map(|()| true)));
    }
    let deleted = Deleted { groups };
    command.form.show(&deleted, out)?;
    conclude(failures(&deleted.groups))
}

#[derive(Serialize)]
struct Forgotten {
    group: String,
    partitions: Vec<Item<Partition>>,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: i32,
}

impl Shown for Forgotten {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        for item in &self.partitions {
            let (group, Partition { topic, partition }) = (&self.group, &item.what);
            if item.done {
                writeln!(out, "Group '{group}' has no offset of {topic}-{partition} any more.")?;
            } else {
                writeln!(out, "Group '{group}' still has what it had of {topic}-{partition}.")?;
            }
        }
        Ok(())
    }
}

pub(super) async fn offsets(command: DeleteOffsets, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let places: Vec<Place> = resolve(&client, &command.topic).await?.into_iter().collect();
    let outcome = client.delete_offsets(&command.group, &places).await.map_err(Failure::from);
    let partition = |place: Place| {
        let outcome = outcome_of(&command.group, &place, &outcome);
        Item::new(Partition { topic: place.0, partition: place.1 }, outcome)
    };
    let partitions = places.into_iter().map(partition).collect();
    let forgotten = Forgotten { group: command.group.clone(), partitions };
    command.form.show(&forgotten, out)?;
    conclude(failures(&forgotten.partitions))
}

/// What became of one offset. Its failure does not name the partition, so that many of a kind are told once.
fn outcome_of(
    group: &str,
    place: &Place,
    outcome: &Result<BTreeMap<Place, ErrorCode>, Failure>,
) -> Result<bool, Failure> {
    let codes = outcome.as_ref().map_err(Clone::clone)?;
    match codes.get(place).copied().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR) {
        ErrorCode::NONE => Ok(true),
        code => {
            let what = format!("deleting offsets of group '{group}'");
            Err(Failure::from(ClientError::Kafka { what, code, message: None }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offset_has_an_outcome_of_its_own() {
        let place = |partition| ("t".to_owned(), partition);
        let codes = Ok(BTreeMap::from([(place(0), ErrorCode::NONE), (place(1), ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)]));
        assert_eq!(outcome_of("g", &place(0), &codes), Ok(true));
        let failure = |partition| outcome_of("g", &place(partition), &codes).expect_err("it stays");
        assert_eq!(failure(1).code(), Some("GROUP_SUBSCRIBED_TO_TOPIC"));
        assert_eq!(failure(2).code(), Some("UNKNOWN_SERVER_ERROR"), "the answer says nothing about it");
        let whole = Err(Failure::new("no"));
        assert_eq!(outcome_of("g", &place(0), &whole), Err(Failure::new("no")));
    }
}
