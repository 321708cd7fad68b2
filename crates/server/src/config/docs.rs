//! `docs/configuration.md`, made from the list of keys.

use std::fmt::Write;

use caudal_metadata::config_defs::{
    CLIENT_METRICS_CONFIG_DEFS, ConfigType, GROUP_CONFIG_DEFS, KafkaNodeConfig, Treatment, dynamic_node_config_kind,
    topic_config_defs,
};

use super::keys::{KEYS, KeyDef};
use super::layers::{env_name, kafka_settings, topic_default_keys};

const INTRODUCTION: &str = "\
# Configuration

This page is made from the lists of keys in `crates/server/src/config/keys.rs` and `crates/metadata/src/config_defs`; a test fails when they differ.

A node reads its configuration from a TOML file, environment variables and flags:

    caudal start --config caudal.toml --num.partitions 4

A flag counts more than an environment variable, which counts more than the file, which counts more than the default. The flag of a key is
the key with two dashes before it (`--num.partitions 4`); the environment variable is the key in capitals with underscores for dots and
`CAUDAL_` before it (`CAUDAL_NUM_PARTITIONS=4`).

In the file a key may be written with dots, in quotes or in tables; these three say the same:

    num.partitions = 4

    \"num.partitions\" = 4

    [num]
    partitions = 4

Values may be numbers, booleans, texts in quotes, or lists; a number in quotes is a number too. Names and defaults are Apache Kafka's
wherever it has the concept. An unknown key is refused, with the nearest known one named. Every key is read once, at the start; some
can also be changed while nodes run (see below).

A file whose name ends in `.properties` is read as Apache Kafka reads its `server.properties`, one `key=value` on each line. Every setting that a
broker of Kafka 4.3 has is known: it works, or it is accepted without effect, with a line in the log, or it is refused with the reason (see
the end of this page). `broker.id` and `log.dir` are other names of `node.id` and `log.dirs`.

The smallest file for one of three nodes:

    node.id = 1
    log.dirs = \"/var/lib/caudal\"
    listeners = \"PLAINTEXT://10.0.0.1:9092\"
    cluster.nodes = [\"1@10.0.0.1:10092\", \"2@10.0.0.2:10092\", \"3@10.0.0.3:10092\"]
";

const TOPIC_DEFAULTS: &str = "
## Defaults of topic settings

A topic that does not set one of these for itself takes the node's value. Give all nodes the same. They can be changed while nodes run.

| Key | Setting of a topic | Type | Default | What it is for |
|---|---|---|---|---|
";

const DYNAMIC: &str = "
## What can be changed while nodes run

The defaults of topic settings, and the keys below, are changed for all nodes or for one (`kafka-configs --alter --entity-type brokers`, `caudal config set`); a
value for one node counts more than one for all, and both count more than what the node was started with. They are kept with the cluster's
metadata. What is set in hours or minutes is read at the start only, and so are `listeners` and `num.io.threads`, which Kafka can change: a node opens its one
listener, and makes its threads, when it starts.
";

const LOG_LEVELS: &str = "
The levels of a node's log lines are changed by `caudal config set --loggers NODE caudal_raft=debug`, or by `kafka-configs --alter --entity-type broker-loggers --entity-name NODE --add-config caudal_raft=DEBUG`, until
the node stops; `root` stands for all that has no level of its own, and a level that is deleted becomes what `log.level` says.
";

const TOPIC_SETTINGS: &str = "
## Settings of topics

All that a topic of Kafka 4.3 has; those with a key of a node in the table above take its value unless the topic has its own.

| Setting | Type | Default | What it is for |
|---|---|---|---|
";

const GROUP_SETTINGS: &str = "
## Settings of groups

`kafka-configs --alter --entity-type groups`.

| Setting | Type | Default | What it is for |
|---|---|---|---|
";

const CLIENT_METRICS_SETTINGS: &str = "
## Settings of subscriptions to clients' metrics

`kafka-configs --alter --entity-type client-metrics` (KIP-714).

| Setting | Type | Default | What it is for |
|---|---|---|---|
";

const NO_EFFECT: &str = "
## Settings of Kafka without effect

They are accepted in the file and the environment. A line in the log names each that differs from Kafka's default. Those that Kafka can change while
brokers run can be changed here as well, also without effect.

| Settings | Why |
|---|---|
";

const REFUSED: &str = "
## Settings of Kafka that are refused

With Kafka's default they are accepted, since nothing is lost then. So are values by which nothing is asked for that Caudal does not do. Secrets among them are
neither logged nor shown. What begins with `listener.name.` is refused. While nodes run, `transaction.partition.verification.enable` can be set too, and
`listener.security.protocol.map` for single nodes, to what is taken; the others cannot.

| Settings | Why |
|---|---|
";

/// The whole page.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let _ = write!(page, "\n## {section}\n\n| Key | Type | Default | What it is for |\n|---|---|---|---|\n");
        }
        row(&mut page, key);
    }
    page.push_str(TOPIC_DEFAULTS);
    for (name, def) in topic_default_keys() {
        let (kind, default) = (type_name(def.kind), default_cell(Some(def.default)));
        let _ = writeln!(page, "| `{name}` | `{}` | {kind} | {default} | {} |", def.name, cell(def.documentation));
    }
    let example = "num.partitions";
    let _ = write!(
        page,
        "\nThe environment variable of `{example}` is `{}`, and so on for every key.\n",
        env_name(example)
    );
    dynamic(&mut page);
    settings(&mut page);
    kafka(&mut page, NO_EFFECT, |config| matches!(config.treatment, Treatment::NoEffect));
    kafka(&mut page, REFUSED, |config| matches!(config.treatment, Treatment::Refused(_)));
    page
}

fn dynamic(page: &mut String) {
    page.push_str(DYNAMIC);
    page.push('\n');
    for key in KEYS.iter().filter(|key| dynamic_node_config_kind(key.name).is_some()) {
        let _ = writeln!(page, "- `{}`", key.name);
    }
    page.push_str(LOG_LEVELS);
}

/// What topics, groups and subscriptions have.
fn settings(page: &mut String) {
    let row = |page: &mut String, name: &str, kind: ConfigType, default: &str, documentation: &str| {
        let (kind, default) = (type_name(kind), default_cell(Some(default)));
        let _ = writeln!(page, "| `{name}` | {kind} | {default} | {} |", cell(documentation));
    };
    page.push_str(TOPIC_SETTINGS);
    topic_config_defs().iter().for_each(|def| row(page, def.name, def.kind, def.default, def.documentation));
    page.push_str(GROUP_SETTINGS);
    GROUP_CONFIG_DEFS.iter().for_each(|def| row(page, def.name, def.kind, def.default, def.documentation));
    page.push_str(CLIENT_METRICS_SETTINGS);
    CLIENT_METRICS_CONFIG_DEFS.iter().for_each(|def| row(page, def.name, def.kind, def.default, def.documentation));
}

/// Kafka's settings that share a reason share a row.
fn kafka(page: &mut String, introduction: &str, is_in: impl Fn(&KafkaNodeConfig) -> bool) {
    page.push_str(introduction);
    let mut by_reason: Vec<(&str, Vec<String>)> = Vec::new();
    for config in kafka_settings().filter(|config| is_in(config)) {
        let name = format!("`{}`", config.name);
        match by_reason.iter_mut().find(|(why, _)| *why == config.why) {
            Some((_, names)) => names.push(name),
            None => by_reason.push((config.why, vec![name])),
        }
    }
    for (why, names) in by_reason {
        let _ = writeln!(page, "| {} | {} |", names.join(", "), sentence(&cell(why)));
    }
}

/// With a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn row(page: &mut String, key: &KeyDef) {
    let kind = match &key.range {
        Some(range) if *range.end() == i64::MAX => format!("{}, at least {}", key.kind, range.start()),
        Some(range) => format!("{}, {} to {}", key.kind, range.start(), range.end()),
        None => key.kind.to_owned(),
    };
    let default = default_cell(key.default);
    let _ = writeln!(page, "| `{}` | {kind} | {default} | {} |", key.name, cell(key.documentation));
}

fn default_cell(default: Option<&str>) -> String {
    match default {
        None => "must be set".to_owned(),
        Some("") => "unset".to_owned(),
        Some(text) => format!("`{text}`"),
    }
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}

fn type_name(kind: ConfigType) -> &'static str {
    match kind {
        ConfigType::Boolean => "boolean",
        ConfigType::Int | ConfigType::Short | ConfigType::Long => "integer",
        ConfigType::Double => "number",
        ConfigType::List => "list",
        ConfigType::String | ConfigType::Class | ConfigType::Password => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{all_names, own_names};

    /// Run it with `UPDATE=1` to write the page anew.
    #[test]
    fn the_page_in_the_repository_is_current() {
        let path = "../../docs/configuration.md";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let on_disk = std::fs::read_to_string(path).unwrap_or_default();
        assert!(on_disk == page(), "docs/configuration.md is not current: run this test with UPDATE=1");
    }

    #[test]
    fn every_key_has_its_row() {
        let page = page();
        for name in own_names() {
            assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
        }
        for name in all_names() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
