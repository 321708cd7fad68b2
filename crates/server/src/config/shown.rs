//! What clients that ask for the node's settings (DescribeConfigs of a broker) are shown: every key, with what it was given and what it has otherwise, and all
//! others that Apache Kafka has.

use caudal_broker::NodeSetting;
use caudal_metadata::config_defs::{ConfigType, KafkaNodeConfig};

use super::keys::{KEYS, KeyDef};
use super::layers::{ALIASES, kafka_settings};
use super::{Config, Layers};

/// Keys that have 32 bits in Apache Kafka, and more or fewer here.
const INTS: [&str; 20] = [
    "default.replication.factor",
    "fetch.max.bytes",
    "group.consumer.max.size",
    "group.max.size",
    "log.cleaner.threads",
    "log.retention.hours",
    "log.retention.minutes",
    "log.roll.hours",
    "log.roll.jitter.hours",
    "max.connections",
    "max.connections.per.ip",
    "max.incremental.fetch.session.cache.slots",
    "num.io.threads",
    "num.partitions",
    "offset.metadata.max.bytes",
    "offsets.retention.minutes",
    "producer.id.expiration.ms",
    "socket.request.max.bytes",
    "telemetry.max.bytes",
    "transactional.id.expiration.ms",
];

pub(super) fn settings(layers: &Layers, config: &Config) -> Vec<NodeSetting> {
    let shown = |key: &'static KeyDef| {
        let given = layers.given(key.name).filter(|given| !given.is_empty()).map(str::to_owned);
        let derived = if given.is_none() { derived(key.name, config) } else { None };
        let default = derived.or_else(|| key.default.filter(|default| !default.is_empty()).map(str::to_owned));
        let (kind, documentation) = (wire_type(key), key.documentation);
        NodeSetting { name: key.name, kind, documentation, given, default, internal: false }
    };
    let mut settings: Vec<_> = KEYS.iter().map(shown).collect();
    for (alias, main) in ALIASES {
        let of_main = settings.iter().find(|setting| setting.name == main).cloned();
        settings.extend(of_main.map(|of_main| NodeSetting { name: alias, documentation: same_as(alias), ..of_main }));
    }
    settings.extend(kafka_settings().map(|setting| of_kafka(setting, layers)));
    settings
}

fn same_as(alias: &str) -> &'static str {
    if alias == "broker.id" { "The same as node.id." } else { "The same as log.dirs." }
}

fn wire_type(key: &KeyDef) -> ConfigType {
    match key.name {
        name if INTS.contains(&name) => ConfigType::Int,
        "log.dirs" => ConfigType::List,
        _ => key.wire_type,
    }
}

fn of_kafka(setting: &'static KafkaNodeConfig, layers: &Layers) -> NodeSetting {
    NodeSetting {
        name: setting.name,
        kind: setting.kind,
        documentation: &setting.documentation,
        given: layers.given(setting.name).filter(|given| !given.is_empty()).map(str::to_owned),
        default: setting.default.map(str::to_owned),
        internal: setting.internal,
    }
}

/// What a key that may stay unset follows from.
fn derived(name: &str, config: &Config) -> Option<String> {
    Some(match name {
        "advertised.listeners" => format!("PLAINTEXT://{}", config.advertised),
        "peer.listener" => config.peer_listener.to_string(),
        "default.replication.factor" => config.controller().replication_factor().to_string(),
        "queued.max.request.bytes" => config.memory.requests.to_string(),
        "queued.max.response.bytes" => config.memory.answers.to_string(),
        "raft.log.cache.bytes" => config.memory.log_cache.to_string(),
        "storage.block.cache.bytes" => config.memory.block_cache.to_string(),
        "storage.log.memtable.bytes" => config.memory.log_memtable.to_string(),
        "log.cleaner.dedupe.buffer.size" => config.memory.compaction_keys.to_string(),
        // What Kafka has for them; what holds is in milliseconds.
        "log.retention.hours" | "log.roll.hours" => "168".to_owned(),
        "log.roll.jitter.hours" => "0".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use caudal_metadata::config_defs::{
        KafkaNodeConfig, Treatment, dynamic_node_config_kind, kafka_node_config, topic_config_defs,
    };

    use super::kafka_settings;
    use crate::config;

    /// What Apache Kafka's release has, as `BrokerSettings` in `tests/ecosystem` lists it: name, type, default, when it can be changed, whether it is shown.
    const OF_KAFKA: &str = include_str!("../../../../tests/ecosystem/broker-settings.tsv");

    fn shown(flags: &[(&str, &str)], name: &str) -> (Option<String>, Option<String>) {
        let shown = config::load(flags, &[]).unwrap().shown;
        let setting = shown.into_iter().find(|setting| setting.name == name).unwrap();
        (setting.given, setting.default)
    }

    #[test]
    fn every_key_is_shown_with_what_it_was_given_and_what_it_has_otherwise() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(shown(&[("node.id", "7")], "broker.id"), (text("7"), None));
        assert_eq!(shown(&[], "group.consumer.session.timeout.ms"), (None, text("45000")));
        let longer = [("group.consumer.session.timeout.ms", "50000")];
        assert_eq!(shown(&longer, "group.consumer.session.timeout.ms"), (text("50000"), text("45000")));
    }

    #[test]
    fn every_setting_of_kafka_is_known_with_its_type_and_default() {
        let shown = config::load(&[], &[]).unwrap().shown;
        assert!(OF_KAFKA.lines().count() > 300);
        for line in OF_KAFKA.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [name, kind, default, ..] = fields[..] else { panic!("{line}") };
            if let Some(def) = topic_config_defs().iter().find(|def| def.broker_name == Some(name)) {
                assert_eq!(format!("{:?}", def.kind).to_uppercase(), kind, "{name}");
                continue;
            }
            let Some(setting) = shown.iter().find(|setting| setting.name == name) else {
                panic!(
                    "{name} ({kind}, {default}) is not known: give it a place in config_defs/kafka, or make it a key"
                );
            };
            assert_eq!(format!("{:?}", setting.kind).to_uppercase(), kind, "{name}");
            if let Some(config) = kafka_settings().find(|config| config.name == name) {
                assert_eq!(config.default.unwrap_or("null"), default, "{name}");
            }
        }
        for config in kafka_settings() {
            assert!(
                OF_KAFKA.lines().any(|line| line.split('\t').next() == Some(config.name)),
                "{} is gone",
                config.name
            );
        }
    }

    /// But for what is read at the start, and for what is refused.
    #[test]
    fn what_kafka_changes_while_it_runs_is_changed_here_too() {
        for line in OF_KAFKA.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [name, _, _, mode, _] = fields[..] else { panic!("{line}") };
            let of_kafka = kafka_node_config(name);
            if dynamic_node_config_kind(name).is_some() {
                let per_node = of_kafka.is_some_and(KafkaNodeConfig::is_per_node);
                assert_eq!(mode, if per_node { "per-broker" } else { "cluster-wide" }, "{name}");
            } else if mode != "read-only" {
                let refused = of_kafka.is_some_and(|config| matches!(config.treatment, Treatment::Refused(_)));
                assert!(refused || ["listeners", "num.io.threads"].contains(&name), "{name} is {mode} in Kafka");
            }
        }
    }

    #[test]
    fn what_is_unset_is_shown_as_it_works() {
        assert_eq!(shown(&[], "advertised.listeners").1.as_deref(), Some("PLAINTEXT://127.0.0.1:9092"));
        assert_eq!(shown(&[], "default.replication.factor").1.as_deref(), Some("1"));
        for key in [
            "queued.max.request.bytes",
            "queued.max.response.bytes",
            "raft.log.cache.bytes",
            "storage.block.cache.bytes",
            "storage.log.memtable.bytes",
        ] {
            assert!(shown(&[], key).1.is_some_and(|derived| derived.parse::<usize>().is_ok()), "{key}");
        }
    }
}
