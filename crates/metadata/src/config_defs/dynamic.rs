//! The node-level settings that can be set while nodes run: the defaults of topic settings, what a node reads anew, and those of Apache Kafka's that have no
//! effect here.

use std::collections::BTreeMap;

use caudal_types::NodeId;
use caudal_types::limits::COMPACTION_KEYS_MAX_BYTES;
use caudal_types::topic_config::topic_key_of;

use super::rule::Rule;
use super::{
    ConfigType, KafkaNodeConfig, OF_LISTENER, OF_LISTENER_REFUSED, kafka_node_config, topic_config_def,
    topic_config_defs, validate_topic_default,
};
use crate::resources::{Configs, Resources};

const INT_MAX: i64 = i32::MAX as i64;

/// What a node reads anew while it runs. Their documentation, and what holds when nobody sets them, is in the list of a node's keys.
const READ_ANEW: [(&str, ConfigType, Rule); 9] = [
    ("log.cleaner.backoff.ms", ConfigType::Long, Rule::Whole(1, 86_400_000)),
    // Lossless: the constant is far below.
    ("log.cleaner.dedupe.buffer.size", ConfigType::Long, Rule::Whole(1 << 20, COMPACTION_KEYS_MAX_BYTES as i64)),
    ("log.cleaner.io.max.bytes.per.second", ConfigType::Double, Rule::AtLeast(1024)),
    ("log.cleaner.threads", ConfigType::Int, Rule::Whole(1, 64)),
    ("max.connection.creation.rate", ConfigType::Int, Rule::Whole(0, INT_MAX)),
    ("max.connections", ConfigType::Int, Rule::Whole(1, INT_MAX)),
    ("max.connections.per.ip", ConfigType::Int, Rule::Whole(0, INT_MAX)),
    ("max.connections.per.ip.overrides", ConfigType::String, Rule::AddressCounts),
    ("producer.id.expiration.ms", ConfigType::Int, Rule::Whole(1, i64::MAX)),
];

/// What Kafka changes while nodes run, and what is read here at a node's start only, with what happens then.
const AT_START: [(&str, &str); 2] =
    [("listeners", "the node's one listener is opened"), ("num.io.threads", "the node's threads are made")];

/// The type of a node-level setting that can be set while nodes run; `None` for all others. Of the node-level names of a topic setting only the strongest can be,
/// as in Kafka: `log.retention.ms`, but not `log.retention.hours`.
pub fn dynamic_node_config_kind(name: &str) -> Option<ConfigType> {
    let of_topics = topic_config_defs().iter().find(|def| def.broker_name == Some(name)).map(|def| def.kind);
    let read_anew = || READ_ANEW.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind);
    let no_effect = || kafka_node_config(name).filter(|config| config.is_dynamic()).map(|config| config.kind);
    of_topics.or_else(read_anew).or_else(no_effect)
}

/// The value of a node-level setting that can be set while nodes run, where nobody has set it; `None` when only the node knows.
pub(crate) fn dynamic_node_config_default(name: &str) -> Option<&'static str> {
    let of_topics = topic_config_defs().iter().find(|def| def.broker_name == Some(name)).map(|def| def.default);
    of_topics.or_else(|| kafka_node_config(name)?.default)
}

/// Checks a node-level value that is set for all nodes while they run.
///
/// # Errors
/// What is wrong and what to do; also when it can only be set for single nodes, or at a node's start.
pub fn validate_dynamic_config_of_all_nodes(name: &str, value: &str) -> Result<(), String> {
    validate_dynamic_node_config(name, value)?;
    if kafka_node_config(name).is_some_and(KafkaNodeConfig::is_per_node) {
        return Err(format!("The configuration '{name}' cannot be set for all nodes at once; set it for each of them"));
    }
    Ok(())
}

/// Checks a node-level value that is set for one node while it runs.
///
/// # Errors
/// What is wrong and what to do; also when it can only be set at a node's start.
pub fn validate_dynamic_node_config(name: &str, value: &str) -> Result<(), String> {
    let value = value.trim();
    if topic_config_defs().iter().any(|def| def.broker_name == Some(name)) {
        return validate_topic_default(name, value);
    }
    let checked = match READ_ANEW.iter().find(|(known, ..)| *known == name) {
        Some((_, _, rule)) => rule.check(value),
        None => match kafka_node_config(name) {
            Some(config) if config.is_dynamic() => config.check(value),
            Some(config) => {
                return Err(format!("Cannot update these configs dynamically: {name}. {}", config.documentation));
            }
            None => return Err(not_dynamic(name)),
        },
    };
    checked.map_err(|allowed| format!("Invalid value '{value}' for configuration '{name}': {allowed}"))
}

fn not_dynamic(name: &str) -> String {
    let at_start = AT_START.iter().find(|(known, _)| *known == name);
    let strongest = || topic_key_of(name).and_then(|(topic_name, _)| topic_config_def(topic_name)?.broker_name);
    let why = if let Some((_, what)) = at_start {
        format!("it is read at a node's start, when {what}")
    } else if name.starts_with(OF_LISTENER) {
        OF_LISTENER_REFUSED.to_owned()
    } else if let Some(strongest) = strongest() {
        format!("it is read at a node's start, '{strongest}' can be changed while nodes run")
    } else {
        "it is read at a node's start or does not exist".to_owned()
    };
    format!("Cannot update these configs dynamically: {name}; {why}")
}

/// What was set for a node while it runs: its own values over those of all nodes.
#[derive(Clone, Copy, Debug)]
pub struct DynamicNodeConfigs<'a> {
    own: Option<&'a Configs>,
    all: &'a BTreeMap<String, String>,
}

impl<'a> DynamicNodeConfigs<'a> {
    /// Those of a node.
    pub fn of(resources: &'a Resources, node: NodeId) -> Self {
        Self { own: resources.nodes.get(&node), all: &resources.all_nodes }
    }

    /// The value of a setting, if it was set.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.own.and_then(|own| own.get(name)).or_else(|| self.all.get(name)).map(String::as_str)
    }

    /// The value of a setting that is a number, if it was set.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::ConfigResource;

    #[test]
    fn the_strongest_node_level_names_of_topic_settings_can_be_set_while_nodes_run() {
        assert_eq!(validate_dynamic_node_config("log.retention.ms", "5"), Ok(()));
        assert!(validate_dynamic_node_config("log.retention.ms", "-2").is_err());
        assert!(validate_dynamic_node_config("log.retention.hours", "5").unwrap_err().contains("'log.retention.ms'"));
        assert!(validate_dynamic_node_config("log.dirs", "/data").unwrap_err().contains("at a node's start"));
        assert!(validate_dynamic_node_config("num.io.threads", "4").unwrap_err().contains("threads are made"));
        let of_listener = validate_dynamic_node_config("listener.name.plaintext.max.connections", "5");
        assert!(of_listener.unwrap_err().contains("one listener"));
        assert_eq!(dynamic_node_config_kind("log.cleanup.policy"), Some(ConfigType::List));
        assert_eq!(dynamic_node_config_kind("retention.ms"), None);
    }

    #[test]
    fn what_nodes_read_anew_is_checked() {
        for (name, legal, illegal) in [
            ("log.cleaner.threads", "2", "0"),
            ("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308", "10"),
            ("max.connections.per.ip.overrides", "10.0.0.7:3,gateway:1", "10.0.0.7"),
            ("producer.id.expiration.ms", "1", "soon"),
            ("num.replica.fetchers", "4", "four"),
            ("transaction.partition.verification.enable", "true", "false"),
        ] {
            assert_eq!(validate_dynamic_node_config(name, legal), Ok(()), "{name}");
            assert!(validate_dynamic_node_config(name, illegal).unwrap_err().contains(name), "{name}");
            assert!(dynamic_node_config_kind(name).is_some(), "{name}");
        }
        let refused = validate_dynamic_node_config("ssl.keystore.location", "/keys").unwrap_err();
        assert!(refused.contains("dynamically: ssl.keystore.location. Refused"), "{refused}");
        assert_eq!(dynamic_node_config_kind("ssl.keystore.location"), None);
    }

    #[test]
    fn what_is_set_node_by_node_cannot_be_set_for_all() {
        let (name, map) = ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT");
        assert_eq!(validate_dynamic_node_config(name, map), Ok(()));
        assert!(validate_dynamic_node_config(name, "PLAINTEXT:SSL").is_err());
        assert!(validate_dynamic_config_of_all_nodes(name, map).unwrap_err().contains("for each of them"));
        assert_eq!(validate_dynamic_config_of_all_nodes("max.connections", "5"), Ok(()));
        assert!(validate_dynamic_config_of_all_nodes("max.connections", "0").is_err());
    }

    #[test]
    fn a_nodes_own_value_counts_more_than_that_of_all() {
        let mut resources = Resources::default();
        let set = |value: &str| Configs::from([("max.connections".to_owned(), value.to_owned())]);
        resources.set(ConfigResource::AllNodes, set("5"));
        resources.set(ConfigResource::Node(NodeId(2)), set("6"));
        let number = |node| DynamicNodeConfigs::of(&resources, NodeId(node)).number::<usize>("max.connections");
        assert_eq!((number(1), number(2)), (Some(5), Some(6)));
        assert_eq!(DynamicNodeConfigs::of(&resources, NodeId(1)).get("log.cleaner.threads"), None);
    }
}
