//! `caudal quota`.

use std::io::{self, Write};

use caudal_client::{Client, EntityQuotas, QuotaChange, QuotaEntity, QuotaName};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::items::{Failure, Item, conclude, failures};
use crate::output::{Form, Shown, counted};
use crate::table::Table;
use crate::{Connect, Outcome, key_value};

/// `caudal quota ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum QuotaCommand {
    /// List the quotas: all, or those of a user, a client id or an address, also together with others
    List(List),
    /// Set some, in force at once on all nodes
    Set(Set),
    /// Take some away
    Unset(Unset),
}

/// Whose quotas: a user, a client id, both together, or an address.
#[derive(Args, Clone, Debug)]
#[group(id = "whose", multiple = true)]
pub struct Whose {
    /// A user
    #[arg(long, value_name = "NAME", conflicts_with = "user_default")]
    pub user: Option<String>,
    /// Every user without a quota of its own
    #[arg(long)]
    pub user_default: bool,
    /// A client id
    #[arg(long, value_name = "ID", conflicts_with = "client_id_default")]
    pub client_id: Option<String>,
    /// Every client id without a quota of its own
    #[arg(long)]
    pub client_id_default: bool,
    /// An address that connections come from
    #[arg(long, value_name = "ADDRESS")]
    #[arg(conflicts_with_all = ["user", "user_default", "client_id", "client_id_default", "ip_default"])]
    pub ip: Option<String>,
    /// Every address without a quota of its own
    #[arg(long, conflicts_with_all = ["user", "user_default", "client_id", "client_id_default"])]
    pub ip_default: bool,
}

impl Whose {
    fn entity(self) -> QuotaEntity {
        let part =
            |name: Option<String>, default: bool| name.map(QuotaName::Named).or(default.then_some(QuotaName::Default));
        QuotaEntity {
            user: part(self.user, self.user_default),
            client_id: part(self.client_id, self.client_id_default),
            ip: part(self.ip, self.ip_default),
        }
    }
}

/// `caudal quota list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Whose
    #[command(flatten)]
    pub whose: Whose,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal quota set`.
#[derive(Args, Clone, Debug)]
pub struct Set {
    /// Whose
    #[command(flatten)]
    pub whose: Whose,
    /// The quotas, such as producer_byte_rate=1048576; all are set, or none. For users and client ids: producer_byte_rate, consumer_byte_rate, request_percentage, controller_mutation_rate;
    /// for addresses: connection_creation_rate
    #[arg(required = true, requires = "whose", value_name = "KEY=NUMBER", value_parser = key_number)]
    pub quotas: Vec<(String, f64)>,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal quota unset`.
#[derive(Args, Clone, Debug)]
pub struct Unset {
    /// Whose
    #[command(flatten)]
    pub whose: Whose,
    /// Their keys, such as producer_byte_rate
    #[arg(required = true, requires = "whose", value_name = "KEY")]
    pub keys: Vec<String>,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

fn key_number(text: &str) -> Result<(String, f64), String> {
    let (key, value) = key_value(text)?;
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
    let number =
        number.ok_or_else(|| format!("'{value}' is no number; write a quota as producer_byte_rate=1048576"))?;
    Ok((key, number))
}

/// Runs `caudal quota ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: QuotaCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        QuotaCommand::List(command) => list(command, out).await?,
        QuotaCommand::Set(command) => set(command, out).await?,
        QuotaCommand::Unset(command) => unset(command, out).await?,
    }
    Ok(Outcome::Success)
}

/// A user, a client id or an address.
#[derive(Debug, Serialize)]
struct Part {
    #[serde(rename = "type")]
    kind: &'static str,
    /// None: all that have no quota of their own.
    name: Option<String>,
}

fn parts(entity: &QuotaEntity) -> Vec<Part> {
    let part = |(kind, name): (&'static str, &QuotaName)| Part {
        // As the flags and the other fields are written.
        kind: if kind == "client-id" { "client_id" } else { kind },
        name: name.name().map(str::to_owned),
    };
    entity.parts().map(part).collect()
}

#[derive(Serialize)]
struct Listed {
    quotas: Vec<Quotas>,
}

#[derive(Serialize)]
struct Quotas {
    entity: Vec<Part>,
    values: Vec<Quota>,
    /// The entity for people.
    #[serde(skip)]
    whose: QuotaEntity,
}

#[derive(Debug, Serialize)]
struct Quota {
    name: String,
    value: f64,
}

impl From<EntityQuotas> for Quotas {
    fn from(found: EntityQuotas) -> Self {
        let values = found.values.into_iter().map(|(name, value)| Quota { name, value });
        Self { entity: parts(&found.entity), values: values.collect(), whose: found.entity }
    }
}

impl Shown for Listed {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if self.quotas.is_empty() {
            return writeln!(out, "There are no quotas.");
        }
        let name = |part: Option<&QuotaName>| match part {
            Some(QuotaName::Named(name)) => name.clone(),
            Some(QuotaName::Default) => "(default)".to_owned(),
            None => "-".to_owned(),
        };
        let mut table = Table::new(&["USER", "CLIENT ID", "ADDRESS", "QUOTA", "VALUE"]);
        for quotas in &self.quotas {
            let QuotaEntity { user, client_id, ip } = &quotas.whose;
            for quota in &quotas.values {
                let whose = [user, client_id, ip].map(|part| name(part.as_ref()));
                let [user, client_id, ip] = whose;
                table.row([user, client_id, ip, quota.name.clone(), quota.value.to_string()]);
            }
        }
        table.print(out)
    }
}

async fn list(command: List, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let found = command.connect.client()?.describe_quotas(&command.whose.entity()).await?;
    command.form.show(&Listed { quotas: found.into_iter().map(Quotas::from).collect() }, out)
}

#[derive(Serialize)]
struct Altered {
    entity: Vec<Part>,
    changes: Vec<Item<Change>>,
    /// The entity for people.
    #[serde(skip)]
    whose: String,
}

#[derive(Debug, Serialize)]
struct Change {
    change: &'static str,
    name: String,
    value: Option<f64>,
}

impl Altered {
    fn new(entity: &QuotaEntity, changes: Vec<Item<Change>>) -> Self {
        Self { entity: parts(entity), changes, whose: entity.to_string() }
    }
}

impl Shown for Altered {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let done = self.changes.iter().filter(|change| change.done).count();
        if done > 0 {
            writeln!(out, "Changed {} of {}.", counted(done, "quota"), self.whose)?;
        }
        for change in self.changes.iter().filter(|change| !change.done && change.error.is_none()) {
            writeln!(out, "There was no {} of {}.", change.what.name, self.whose)?;
        }
        Ok(())
    }
}

async fn set(command: Set, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let (client, entity) = (command.connect.client()?, command.whose.entity());
    let changes: Vec<_> = command.quotas.iter().map(|(key, value)| QuotaChange::Set(key.clone(), *value)).collect();
    let outcome = client.alter_quotas(&entity, &changes).await.map(|()| true).map_err(Failure::from);
    let item =
        |(name, value): (String, f64)| Item::new(Change { change: "set", name, value: Some(value) }, outcome.clone());
    let altered = Altered::new(&entity, command.quotas.into_iter().map(item).collect());
    command.form.show(&altered, out)?;
    conclude(failures(&altered.changes))
}

async fn unset(command: Unset, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let (client, entity) = (command.connect.client()?, command.whose.entity());
    let outcome = remove(&client, &entity, &command.keys).await.map_err(Failure::from);
    let item = |name: String| {
        let had = outcome.as_ref().map(|had| had.contains(&name)).map_err(Failure::clone);
        Item::new(Change { change: "unset", name, value: None }, had)
    };
    let altered = Altered::new(&entity, command.keys.into_iter().map(item).collect());
    command.form.show(&altered, out)?;
    conclude(failures(&altered.changes))
}

/// Takes quotas away; those that there were. The cluster does not mind those that there were not, but a slip of the pen should be seen.
async fn remove(client: &Client, entity: &QuotaEntity, keys: &[String]) -> anyhow::Result<Vec<String>> {
    let found = client.describe_quotas(entity).await?.into_iter().find(|quotas| quotas.entity == *entity);
    let changes: Vec<_> = keys.iter().cloned().map(QuotaChange::Remove).collect();
    client.alter_quotas(entity, &changes).await?;
    let values = found.map(|quotas| quotas.values).unwrap_or_default();
    Ok(values.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: QuotaCommand,
    }

    fn parse(words: &[&str]) -> Option<QuotaCommand> {
        Line::try_parse_from(["quota"].iter().chain(words)).ok().map(|line| line.command)
    }

    fn entity(flags: &[&str]) -> Option<QuotaEntity> {
        match parse(&[&["set", "request_percentage=1"], flags].concat()) {
            Some(QuotaCommand::Set(set)) => Some(set.whose.entity()),
            _ => None,
        }
    }

    #[test]
    fn flags_say_whose() {
        let (named, default) = (|name: &str| Some(QuotaName::Named(name.to_owned())), || Some(QuotaName::Default));
        let nobody = QuotaEntity::default;
        for (flags, expected) in [
            (&["--user", "ana"][..], QuotaEntity { user: named("ana"), ..nobody() }),
            (&["--user-default"], QuotaEntity { user: default(), ..nobody() }),
            (&["--client-id", "c"], QuotaEntity { client_id: named("c"), ..nobody() }),
            (
                &["--user", "ana", "--client-id-default"],
                QuotaEntity { user: named("ana"), client_id: default(), ip: None },
            ),
            (&["--ip", "10.0.0.1"], QuotaEntity { ip: named("10.0.0.1"), ..nobody() }),
            (&["--ip-default"], QuotaEntity { ip: default(), ..nobody() }),
        ] {
            assert_eq!(entity(flags), Some(expected), "{flags:?}");
        }
        for wrong in [
            &[][..],
            &["--user", "ana", "--user-default"],
            &["--client-id", "c", "--client-id-default"],
            &["--ip", "10.0.0.1", "--ip-default"],
            &["--ip", "10.0.0.1", "--user", "ana"],
            &["--ip-default", "--client-id-default"],
        ] {
            assert_eq!(entity(wrong), None, "{wrong:?}");
        }
        assert!(parse(&["unset", "--user", "ana", "request_percentage"]).is_some());
        assert!(parse(&["unset", "request_percentage"]).is_none() && parse(&["unset", "--user", "ana"]).is_none());
        assert!(matches!(parse(&["list"]), Some(QuotaCommand::List(list)) if list.whose.clone().entity() == nobody()));
    }

    #[test]
    fn quotas_are_numbers() {
        assert_eq!(key_number("request_percentage=12.5"), Ok(("request_percentage".to_owned(), 12.5)));
        assert_eq!(key_number("producer_byte_rate=1e6"), Ok(("producer_byte_rate".to_owned(), 1e6)));
        for wrong in ["producer_byte_rate", "producer_byte_rate=", "producer_byte_rate=much", "a=NaN", "a=inf", "=1"] {
            assert!(key_number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_has_a_row_for_each_quota() {
        let entity = QuotaEntity { user: Some(QuotaName::Default), ..QuotaEntity::default() };
        let values = [("consumer_byte_rate", 1024.0), ("request_percentage", 0.5)];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        let listed = Listed { quotas: vec![EntityQuotas { entity, values }.into()] };
        let mut out = Vec::new();
        listed.print(&mut out).expect("prints");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("(default)  -          -        consumer_byte_rate  1024\n"), "{text}");
        assert!(text.contains("(default)  -          -        request_percentage  0.5\n"), "{text}");
    }

    #[test]
    fn what_was_not_there_is_said() {
        let change = |name: &str| Change { change: "unset", name: name.to_owned(), value: None };
        let changes = vec![Item::new(change("a"), Ok(true)), Item::new(change("b"), Ok(false))];
        let entity = QuotaEntity { ip: Some(QuotaName::Named("h".to_owned())), ..QuotaEntity::default() };
        let mut out = Vec::new();
        Altered::new(&entity, changes).print(&mut out).expect("prints");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "Changed 1 quota of ip 'h'.\nThere was no b of ip 'h'.\n");
    }
}
