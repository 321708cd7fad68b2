//! The topic configuration keys that tools see: names, types, defaults, validation, descriptions.
//!
//! # Layout
//! - `client_metrics`: the keys of subscriptions to clients' metrics
//! - `group`: the keys of consumer groups
//! - `kafka`: the node-level settings of Apache Kafka that are no keys of a node here
//! - `dynamic`: the node-level settings that can be set while nodes run
//! - `rule`: which values are legal, and how a refusal says so
//! - `table`: the keys themselves

mod client_metrics;
mod dynamic;
mod group;
mod kafka;
mod rule;
mod table;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use caudal_types::limits::CONFIG_VALUE_MAX_BYTES;
use caudal_types::topic_config::{node_level_value, topic_key_of};
pub use client_metrics::{
    CLIENT_METRICS_CONFIG_DEFS, CLIENT_METRICS_MATCH_PROPERTIES, ClientMetricsConfigDef,
    validate_client_metrics_configs,
};
pub(crate) use dynamic::dynamic_node_config_default;
pub use dynamic::{
    DynamicNodeConfigs, dynamic_node_config_kind, validate_dynamic_config_of_all_nodes, validate_dynamic_node_config,
};
pub use group::{GROUP_CONFIG_DEFS, GroupConfigDef, validate_group_config};
pub use kafka::{KafkaNodeConfig, OF_LISTENER, OF_LISTENER_REFUSED, Treatment, kafka_node_config, kafka_node_configs};
use rule::Rule;
pub use rule::{address_counts, list_items};

/// The type of a key, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// Floating point.
    Double = 6,
    /// Texts with commas between.
    List = 7,
    /// A class's name.
    Class = 8,
    /// A secret.
    Password = 9,
}

/// A topic configuration key.
#[derive(Debug)]
pub struct TopicConfigDef {
    /// The topic-level name, such as `segment.bytes`.
    pub name: &'static str,
    /// The node-level name whose value is the default, such as `log.segment.bytes`.
    pub broker_name: Option<&'static str>,
    /// The type.
    pub kind: ConfigType,
    /// The default when no node-level value is set, in Kafka's spelling.
    pub default: &'static str,
    /// One sentence for users.
    pub documentation: &'static str,
    rule: Rule,
}

/// All keys, by name: those of Apache Kafka 4.3.
pub fn topic_config_defs() -> &'static [TopicConfigDef] {
    static DEFS: LazyLock<Vec<TopicConfigDef>> = LazyLock::new(table::definitions);
    &DEFS
}

/// A key by its topic-level name.
pub fn topic_config_def(name: &str) -> Option<&'static TopicConfigDef> {
    static INTERNAL: LazyLock<TopicConfigDef> = LazyLock::new(table::internal_segment_bytes);
    let defs = topic_config_defs();
    match defs.binary_search_by(|def| def.name.cmp(name)) {
        Ok(index) => Some(&defs[index]),
        Err(_) => Some(&*INTERNAL).filter(|def| def.name == name),
    }
}

/// The value that a topic without its own has for a key: the node's, else the built-in one. `None` when there is no such key.
pub fn topic_config_default(name: &str, node_level: &BTreeMap<String, String>) -> Option<String> {
    let def = topic_config_def(name)?;
    Some(node_level_value(name, node_level).map_or_else(|| def.default.to_owned(), |(_, value)| value))
}

/// Checks a value.
///
/// # Errors
/// What is wrong and what to do.
pub fn validate_topic_config(name: &str, value: &str) -> Result<(), String> {
    let Some(def) = topic_config_def(name) else {
        return Err(format!(
            "Unknown topic config name: {name}; see the documentation for the topic settings, and check the spelling"
        ));
    };
    if value.len() > CONFIG_VALUE_MAX_BYTES {
        return Err(format!(
            "The value of configuration '{name}' is {} bytes long; the most is {CONFIG_VALUE_MAX_BYTES}",
            value.len()
        ));
    }
    def.rule
        .check(value.trim())
        .map_err(|allowed| format!("Invalid value '{value}' for configuration '{name}': {allowed}"))
}

/// Checks all of a topic's own values, each for itself and together.
///
/// # Errors
/// What is wrong and what to do.
pub fn validate_topic_configs(
    own: &BTreeMap<String, String>,
    node_level: &BTreeMap<String, String>,
) -> Result<(), String> {
    for (name, value) in own {
        validate_topic_config(name, value)?;
    }
    let number = |name: &str| -> Option<i64> {
        let value = own.get(name).cloned().or_else(|| topic_config_default(name, node_level))?;
        value.trim().parse().ok()
    };
    let (least, most) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
    match (least, most) {
        (Some(least), Some(most)) if least > most => Err(format!(
            "The configuration 'min.compaction.lag.ms' ({least}) is above 'max.compaction.lag.ms' ({most}); \
             lower the one or raise the other"
        )),
        _ => Ok(()),
    }
}

/// Checks a node-level value that is the default of a topic setting, such as `log.retention.hours`.
///
/// # Errors
/// What is wrong and what to do; also when no topic setting has that node-level name.
pub fn validate_topic_default(broker_name: &str, value: &str) -> Result<(), String> {
    let Some((topic_name, synonym)) = topic_key_of(broker_name) else {
        return Err(format!("The configuration '{broker_name}' is not the default of any topic setting"));
    };
    let Some(converted) = synonym.convert(value) else {
        return Err(format!("Invalid value '{value}' for configuration '{broker_name}': it must be a whole number"));
    };
    validate_topic_config(topic_name, &converted)
        .map_err(|error| format!("{error} (it would be set by the node-level '{broker_name}')"))
}

#[cfg(test)]
mod tests {
    use caudal_types::topic_config::TopicConfig;

    use super::*;

    #[test]
    fn the_keys_are_sorted_and_their_defaults_are_legal() {
        let defs = topic_config_defs();
        assert_eq!(defs.len(), 33);
        assert!(defs.is_sorted_by(|left, right| left.name < right.name));
        for def in defs {
            assert_eq!(validate_topic_config(def.name, def.default), Ok(()));
            assert!(def.documentation.ends_with('.'), "{}", def.name);
        }
    }

    #[test]
    fn the_defaults_agree_with_what_partitions_use() {
        let spelled_out = topic_config_defs().iter().map(|def| (def.name.to_owned(), def.default.to_owned())).collect();
        assert_eq!(TopicConfig::resolve(&spelled_out, &BTreeMap::new()), TopicConfig::default());
    }

    #[test]
    fn node_level_names_are_kafkas() {
        let broker_name = |name| topic_config_def(name).and_then(|def| def.broker_name);
        assert_eq!(broker_name("retention.ms"), Some("log.retention.ms"));
        assert_eq!(broker_name("max.message.bytes"), Some("message.max.bytes"));
        assert_eq!(broker_name("delete.retention.ms"), Some("log.cleaner.delete.retention.ms"));
        assert_eq!(broker_name("remote.storage.enable"), None);
    }

    #[test]
    fn refusals_name_the_key_the_value_and_what_is_allowed() {
        let refusal = |name, value| validate_topic_config(name, value).unwrap_err();
        let error = refusal("retention.ms", "-2");
        assert!(error.contains("'retention.ms'") && error.contains("'-2'") && error.contains("at least -1"), "{error}");
        assert!(refusal("cleanup.policy", "compost").contains("compact, delete"));
        assert!(refusal("cleanup.policy", "delete,delete").contains("twice"));
        assert!(refusal("segment.bytes", "4294967296").contains("2147483647"));
        assert!(refusal("min.cleanable.dirty.ratio", "NaN").contains("between 0 and 1"));
        assert!(refusal("preallocate", "yes").contains("true or false"));
        assert!(refusal("remote.storage.enable", "true").contains("iered storage"));
        assert!(refusal("compression.gzip.level", "10").contains("-1, or from 1 to 9"));
        assert!(refusal("leader.replication.throttled.replicas", "1").contains('*'));
        assert!(refusal("retention.msec", "1").contains("retention.msec"));
        assert!(refusal("compression.type", &"x".repeat(40_000)).contains("32767"));
    }

    #[test]
    fn legal_values_pass_as_in_kafka() {
        let legal = [
            ("cleanup.policy", "compact, delete"),
            ("cleanup.policy", ""),
            ("retention.bytes", "-5"),
            ("preallocate", "TRUE"),
            ("segment.ms", " +1 "),
            ("min.cleanable.dirty.ratio", "0.5"),
            ("compression.zstd.level", "-131072"),
            ("compression.gzip.level", "-1"),
            ("leader.replication.throttled.replicas", "0:1,12:3"),
            ("follower.replication.throttled.replicas", "*"),
            ("remote.storage.enable", "false"),
            ("internal.segment.bytes", "100"),
        ];
        for (name, value) in legal {
            assert_eq!(validate_topic_config(name, value), Ok(()), "{name}={value}");
        }
    }

    #[test]
    fn values_are_checked_together() {
        let own = BTreeMap::from([("max.compaction.lag.ms".to_owned(), "5".to_owned())]);
        assert_eq!(validate_topic_configs(&own, &BTreeMap::new()), Ok(()));
        let node_level = BTreeMap::from([("log.cleaner.min.compaction.lag.ms".to_owned(), "10".to_owned())]);
        assert!(validate_topic_configs(&own, &node_level).unwrap_err().contains("min.compaction.lag.ms"));
    }

    #[test]
    fn node_level_values_are_checked_as_what_they_become() {
        assert_eq!(validate_topic_default("log.retention.hours", "168"), Ok(()));
        assert!(validate_topic_default("log.retention.hours", "a week").is_err());
        assert!(validate_topic_default("log.segment.bytes", "1").unwrap_err().contains("log.segment.bytes"));
        assert!(validate_topic_default("log.dirs", "/tmp").is_err());
    }
}
