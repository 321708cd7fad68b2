//! `docs/configuration.md`, made from the list of keys.

use std::fmt::Write;

use caudal_metadata::config_defs::ConfigType;

use super::keys::{KEYS, KeyDef};
use super::layers::{env_name, topic_default_keys};

const INTRODUCTION: &str = "\
# Configuration

This page is made from the list of keys in `crates/server/src/config/keys.rs`; a test fails when the two differ.

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
wherever it has the concept. An unknown key is refused, with the nearest known one named. Every key is read once, at the start; the
defaults of topic settings can also be changed while nodes run (see below).

The smallest file for one of three nodes:

    node.id = 1
    log.dirs = \"/var/lib/caudal\"
    listeners = \"PLAINTEXT://10.0.0.1:9092\"
    cluster.nodes = [\"1@10.0.0.1:10092\", \"2@10.0.0.2:10092\", \"3@10.0.0.3:10092\"]
";

const TOPIC_DEFAULTS: &str = "
## Defaults of topic settings

A topic that does not set one of these for itself takes the node's value. Give all nodes the same. They can be changed while nodes run, for all nodes or
for one (`kafka-configs --alter --entity-type brokers`), except for those in other units than milliseconds; what is set so counts more than what the
node was started with, and is kept with the cluster's metadata.

| Key | Setting of a topic | Type | Default | What it is for |
|---|---|---|---|---|
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
    page
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
        for name in crate::config::layers::all_names() {
            assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
        }
    }
}
