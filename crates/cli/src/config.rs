//! `caudal config`.

use std::io::{self, Write};

use caudal_client::{Client, ClientError, ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
use caudal_protocol::ErrorCode;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::items::{Failure, Item, conclude, failures};
use crate::output::{Form, Shown, counted, or_dash};
use crate::resource::{Named, Resource};
use crate::table::Table;
use crate::{Connect, Outcome, key_value};

/// `caudal config ...`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the settings of a topic, a node, a group or of client metrics, or a node's log levels, and where each comes from
    Describe(Describe),
    /// Set some
    Set(Set),
    /// Put some back to what they are when nobody sets them here
    Unset(Unset),
    /// Find settings by a word in their names or meanings
    Search(Search),
}

/// `caudal config describe`.
#[derive(Args, Clone, Debug)]
pub struct Describe {
    /// Whose settings
    #[command(flatten)]
    pub resource: Resource,
    /// Those that are defaults, too
    #[arg(long)]
    pub all: bool,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal config set`.
#[derive(Args, Clone, Debug)]
pub struct Set {
    /// Whose settings
    #[command(flatten)]
    pub resource: Resource,
    /// The settings, such as retention.ms=60000, or for --loggers caudal_raft=debug; all are made, or none
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub settings: Vec<(String, String)>,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal config unset`.
#[derive(Args, Clone, Debug)]
pub struct Unset {
    /// Whose settings
    #[command(flatten)]
    pub resource: Resource,
    /// Their keys, such as retention.ms
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,
    /// How to show what was done
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// `caudal config search`.
#[derive(Args, Clone, Debug)]
pub struct Search {
    /// A word, or a part of one
    pub word: String,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

/// A setting.
#[derive(Debug, Serialize)]
pub(crate) struct Setting {
    name: String,
    value: Option<String>,
    source: &'static str,
    default: Option<String>,
    read_only: bool,
    sensitive: bool,
}

impl From<ConfigEntry> for Setting {
    fn from(entry: ConfigEntry) -> Self {
        Self {
            default: entry.default_value().map(str::to_owned),
            name: entry.name,
            value: entry.value,
            source: entry.source.word(),
            read_only: entry.read_only,
            sensitive: entry.sensitive,
        }
    }
}

/// Settings that are not defaults, or all.
pub(crate) async fn settings(client: &Client, resource: &ConfigResource, all: bool) -> anyhow::Result<Vec<Setting>> {
    let entries = client.describe_configs(resource).await?;
    let shown = entries.into_iter().filter(|entry| all || entry.source != ConfigSource::Default);
    Ok(shown.map(Setting::from).collect())
}

pub(crate) fn print_settings(settings: &[Setting], out: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut table = Table::new(&["SETTING", "VALUE", "FROM", "DEFAULT"]);
    for setting in settings {
        let value = if setting.sensitive { "(hidden)".to_owned() } else { or_dash(setting.value.as_ref()) };
        let from = setting.source.replace('_', " ");
        table.row([setting.name.clone(), value, from, or_dash(setting.default.as_ref())]);
    }
    table.print(out)
}

#[derive(Serialize)]
struct Described {
    resource: Named,
    settings: Vec<Setting>,
}

impl Shown for Described {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        print_settings(&self.settings, out)
    }
}

/// Runs `caudal config ...`.
///
/// # Errors
/// With a text for the user.
pub async fn run(command: ConfigCommand, out: &mut (dyn Write + Send)) -> anyhow::Result<Outcome> {
    match command {
        ConfigCommand::Describe(command) => describe(command, out).await?,
        ConfigCommand::Set(Set { resource, settings, form, connect }) => {
            let changes = settings.into_iter().map(|(key, value)| ConfigChange::Set(key, value));
            alter(&connect, resource, changes.collect(), form, out).await?;
        }
        ConfigCommand::Unset(Unset { resource, keys, form, connect }) => {
            let changes = keys.into_iter().map(ConfigChange::Delete);
            alter(&connect, resource, changes.collect(), form, out).await?;
        }
        ConfigCommand::Search(command) => search(command, out).await?,
    }
    Ok(Outcome::Success)
}

async fn describe(command: Describe, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let (client, resource) = (command.connect.client()?, command.resource.named());
    let settings = settings(&client, &resource, command.all).await?;
    command.form.show(&Described { resource: Named::from(&resource), settings }, out)
}

/// A change of a setting.
#[derive(Debug, Serialize)]
pub(crate) struct SettingChange {
    change: &'static str,
    name: String,
    value: Option<String>,
}

impl From<&ConfigChange> for SettingChange {
    fn from(change: &ConfigChange) -> Self {
        match change {
            ConfigChange::Set(key, value) => Self { change: "set", name: key.clone(), value: Some(value.clone()) },
            ConfigChange::Delete(key) => Self { change: "unset", name: key.clone(), value: None },
        }
    }
}

/// Changes that are made all or none, each with what became of them.
pub(crate) fn each_setting(changes: &[ConfigChange], outcome: &Result<(), Failure>) -> Vec<Item<SettingChange>> {
    let item = |change: &ConfigChange| Item::new(SettingChange::from(change), outcome.clone().map(|()| true));
    changes.iter().map(item).collect()
}

#[derive(Serialize)]
struct Altered {
    resource: Named,
    changes: Vec<Item<SettingChange>>,
    /// The resource for people.
    #[serde(skip)]
    whose: String,
}

impl Shown for Altered {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if self.changes.iter().any(|change| change.done) {
            writeln!(out, "Changed {} of {}.", counted(self.changes.len(), "setting"), self.whose)?;
        }
        Ok(())
    }
}

async fn alter(
    connect: &Connect,
    resource: Resource,
    changes: Vec<ConfigChange>,
    form: Form,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let resource = resource.named();
    let changes: Vec<_> = changes.into_iter().map(|change| in_kafkas_words(&resource, change)).collect();
    let outcome = connect.client()?.alter_configs(&resource, &changes).await;
    let outcome = outcome.map_err(|error| failure(&resource, error));
    let changes = each_setting(&changes, &outcome);
    let altered = Altered { resource: Named::from(&resource), changes, whose: resource.to_string() };
    form.show(&altered, out)?;
    conclude(failures(&altered.changes))
}

/// Kafka writes levels in capitals; nobody else does.
fn in_kafkas_words(resource: &ConfigResource, change: ConfigChange) -> ConfigChange {
    match (resource, change) {
        (ConfigResource::Loggers(_), ConfigChange::Set(target, level)) => {
            ConfigChange::Set(target, level.to_ascii_uppercase())
        }
        (_, change) => change,
    }
}

/// What logs is found in another way than keys are.
fn failure(resource: &ConfigResource, error: ClientError) -> Failure {
    match resource {
        ConfigResource::Loggers(node) if error.code() == Some(ErrorCode::INVALID_CONFIG) => {
            Failure::advised(&error, &format!("'caudal config describe --loggers {node}' shows what logs"))
        }
        _ => Failure::from(error),
    }
}

#[derive(Serialize)]
struct Found {
    settings: Vec<Match>,
}

#[derive(Debug, Serialize)]
struct Match {
    #[serde(rename = "for")]
    whose: &'static str,
    name: String,
    default: Option<String>,
    meaning: Option<String>,
}

impl Shown for Found {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if self.settings.is_empty() {
            return writeln!(out, "No setting has that in its name or meaning.");
        }
        for found in &self.settings {
            let default = found.default.as_deref().filter(|value| !value.is_empty()).unwrap_or("none");
            writeln!(out, "{} (of a {}; default: {default})", found.name, found.whose)?;
            if let Some(meaning) = &found.meaning {
                writeln!(out, "    {}", meaning.trim())?;
            }
        }
        Ok(())
    }
}

/// Looks through what a node, a topic and a group could be set to: any of each kind has all keys.
async fn search(command: Search, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let client = command.connect.client()?;
    let mut resources = vec![("group", ConfigResource::Group("any".to_owned()))];
    if let Some(node) = client.nodes().await?.first() {
        resources.push(("node", ConfigResource::Node(node.id)));
    }
    if let Some(topic) = client.list_topics().await?.into_iter().next() {
        resources.push(("topic", ConfigResource::Topic(topic.name)));
    }
    let mut found = Found { settings: Vec::new() };
    for (whose, resource) in resources {
        let entries = client.describe_configs(&resource).await?;
        found.settings.extend(entries.into_iter().filter(|entry| matches(entry, &command.word)).map(|entry| Match {
            whose,
            default: entry.default_value().map(str::to_owned),
            name: entry.name,
            meaning: entry.documentation,
        }));
    }
    command.form.show(&found, out)
}

fn matches(entry: &ConfigEntry, word: &str) -> bool {
    let word = word.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&word);
    has(&entry.name) || entry.documentation.as_deref().is_some_and(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: Option<&str>) -> ConfigEntry {
        ConfigEntry {
            name: "retention.ms".to_owned(),
            value: value.map(str::to_owned),
            source: ConfigSource::Topic,
            read_only: false,
            sensitive: value.is_none(),
            documentation: Some("How long records are kept".to_owned()),
            synonyms: Vec::new(),
        }
    }

    #[test]
    fn settings_are_found_by_name_and_meaning() {
        for (word, expected) in [("retention", true), ("RECORDS", true), ("compression", false)] {
            assert_eq!(matches(&entry(Some("1")), word), expected, "{word}");
        }
    }

    #[test]
    fn levels_of_log_lines_may_be_written_small() {
        let set = |level: &str| ConfigChange::Set("caudal_raft".to_owned(), level.to_owned());
        assert_eq!(in_kafkas_words(&ConfigResource::Loggers(1), set("debug")), set("DEBUG"));
        assert_eq!(in_kafkas_words(&ConfigResource::Node(1), set("debug")), set("debug"));
    }

    #[test]
    fn what_logs_is_not_sought_among_the_keys() {
        let error =
            || ClientError::Kafka { what: "changing".to_owned(), code: ErrorCode::INVALID_CONFIG, message: None };
        let advice = |resource: ConfigResource| {
            let failure = serde_json::to_value(failure(&resource, error())).expect("JSON");
            failure["message"].as_str().map(str::to_owned).expect("a message")
        };
        assert!(advice(ConfigResource::Loggers(2)).contains("config describe --loggers 2"));
        assert!(advice(ConfigResource::Node(2)).contains("config search"));
    }

    #[test]
    fn secrets_are_hidden() {
        let mut out = Vec::new();
        let unset = ConfigEntry { sensitive: false, ..entry(None) };
        print_settings(&[entry(None).into(), entry(Some("60000")).into(), unset.into()], &mut out).expect("prints");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("retention.ms  (hidden)  topic  -"), "{text}");
        assert!(text.contains("retention.ms  60000     topic  -"), "{text}");
        assert!(text.contains("retention.ms  -         topic  -"), "{text}");
    }
}
