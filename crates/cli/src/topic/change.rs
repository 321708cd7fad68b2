//! `caudal topic alter` and `caudal topic delete`.

use std::io::{self, Write};

use anyhow::bail;
use caudal_client::{Client, ConfigChange, ConfigResource};
use clap::Args;
use serde::Serialize;

use super::replicas::ReplicaAssignment;
use crate::config::{SettingChange, each_setting};
use crate::items::{Failure, Item, conclude, failures, unless_silent};
use crate::output::{Form, Shown, counted};
use crate::{Connect, key_value};

/// `caudal topic alter`.
#[derive(Args, Clone, Debug)]
pub struct Alter {
    /// The topic's name
    pub topic: String,
    /// How many partitions it shall have in all
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// The nodes of each partition, such as 1:2:3,2:3:1 for two: of all of them, though those that there are stay where they are
    #[arg(long, value_name = "ID:ID...,ID:ID...", value_parser = ReplicaAssignment::parse, requires = "partitions")]
    pub replica_assignment: Option<ReplicaAssignment>,
    /// A setting to be made; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub config: Vec<(String, String)>,
    /// A setting to be put back to the default; may be given several times
    #[arg(long, value_name = "KEY")]
    pub delete_config: Vec<String>,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
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
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Serialize)]
struct Altered {
    name: String,
    settings: Vec<Item<SettingChange>>,
    partitions: Option<Item<Growth>>,
}

/// More partitions.
#[derive(Debug, Serialize)]
struct Growth {
    from: Option<usize>,
    to: i32,
}

impl Shown for Altered {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if self.settings.iter().any(|setting| setting.done) {
            writeln!(out, "Changed {} of topic '{}'.", counted(self.settings.len(), "setting"), self.name)?;
        }
        match &self.partitions {
            Some(Item { what: Growth { from: Some(from), to }, done: true, .. }) => {
                writeln!(out, "Topic '{}' has {to} partitions now; it had {from}.", self.name)
            }
            _ => Ok(()),
        }
    }
}

pub(super) async fn alter(command: Alter, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let set = command.config.into_iter().map(|(key, value)| ConfigChange::Set(key, value));
    let changes: Vec<_> = set.chain(command.delete_config.into_iter().map(ConfigChange::Delete)).collect();
    if changes.is_empty() && command.partitions.is_none() {
        bail!("nothing to change; give --config KEY=VALUE, --delete-config KEY or --partitions N");
    }
    let client = command.connect.client()?;
    let mut outcome = Ok(());
    if !changes.is_empty() {
        let topic = ConfigResource::Topic(command.topic.clone());
        outcome = client.alter_configs(&topic, &changes).await.map_err(Failure::from);
    }
    let partitions = match command.partitions {
        None => None,
        // Partitions cannot be taken away again: a slip in the settings is mended first.
        Some(to) if outcome.is_err() => {
            let why = "the number of partitions was left as it is, since the settings were refused; mend them, or leave them out";
            Some(Item::new(Growth { from: None, to }, Err(Failure::new(why))))
        }
        Some(to) => Some(grow(&client, &command.topic, to, command.replica_assignment.as_ref()).await),
    };
    let altered = Altered { name: command.topic, settings: each_setting(&changes, &outcome), partitions };
    command.form.show(&altered, out)?;
    let ungrown = altered.partitions.iter().filter_map(|growth| growth.error.as_ref());
    conclude(ungrown.chain(failures(&altered.settings)))
}

async fn grow(client: &Client, name: &str, to: i32, replicas: Option<&ReplicaAssignment>) -> Item<Growth> {
    let had = match client.topic(name, false).await {
        Ok(topic) => topic.partitions.len(),
        Err(error) => return Item::new(Growth { from: None, to }, Err(error.into())),
    };
    let growth = Growth { from: Some(had), to };
    let outcome = match replicas.map(|replicas| replicas.beyond(had, to)).transpose() {
        Ok(replicas) => client.create_partitions(name, to, replicas.as_deref()).await.map_err(Failure::from),
        Err(why) => Err(Failure::new(why)),
    };
    Item::new(growth, outcome.map(|()| true))
}

#[derive(Serialize)]
struct Deleted {
    topics: Vec<Item<Name>>,
}

#[derive(Debug, Serialize)]
struct Name {
    name: String,
}

impl Shown for Deleted {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        for topic in self.topics.iter().filter(|topic| topic.done) {
            writeln!(out, "Deleted topic '{}'.", topic.what.name)?;
        }
        Ok(())
    }
}

pub(super) async fn delete(command: Delete, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let mut topics: Vec<Item<Name>> = Vec::new();
    for name in command.topics {
        let outcome = unless_silent(&topics, client.delete_topic(&name)).await;
        topics.push(Item::new(Name { name }, outcome.map(|()| true)));
    }
    let deleted = Deleted { topics };
    command.form.show(&deleted, out)?;
    conclude(failures(&deleted.topics))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(altered: &Altered) -> String {
        let mut out = Vec::new();
        altered.print(&mut out).expect("prints");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_text_says_what_was_done() {
        let changes = [ConfigChange::Set("a".to_owned(), "1".to_owned()), ConfigChange::Delete("b".to_owned())];
        let altered = |outcome: Result<(), Failure>| Altered {
            name: "t".to_owned(),
            settings: each_setting(&changes, &outcome),
            partitions: Some(Item::new(Growth { from: Some(1), to: 3 }, outcome.map(|()| true))),
        };
        assert_eq!(
            text(&altered(Ok(()))),
            "Changed 2 settings of topic 't'.\nTopic 't' has 3 partitions now; it had 1.\n"
        );
        assert_eq!(text(&altered(Err(Failure::new("no")))), "");
    }
}
