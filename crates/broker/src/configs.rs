//! Settings as answers show them: value, source, synonyms.

use std::collections::BTreeMap;

use caudal_coordinator::ConsumerGroupConfig;
use caudal_metadata::config_defs::{ConfigType, GROUP_CONFIG_DEFS, GroupConfigDef, TopicConfigDef, topic_config_defs};

use crate::config::NodeSetting;

/// Where a value comes from, as the wire numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Source {
    /// The topic's own setting.
    Topic = 1,
    /// The node's configuration.
    Node = 4,
    /// Nobody set it.
    Default = 5,
    /// The consumer group's own setting.
    Group = 8,
}

impl Source {
    pub(crate) const fn code(self) -> i8 {
        // Lossless: the enum is represented so.
        self as i8
    }
}

/// A place where a setting's value may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synonym {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: Source,
}

/// A setting with all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigType,
    pub(crate) documentation: &'static str,
    /// The strongest first; it gives the value.
    pub(crate) synonyms: Vec<Synonym>,
}

impl Setting {
    pub(crate) fn value(&self) -> &str {
        self.synonyms.first().map_or("", |synonym| &synonym.value)
    }

    pub(crate) fn source(&self) -> Source {
        self.synonyms.first().map_or(Source::Default, |synonym| synonym.source)
    }
}

/// A topic's settings: its own values over the node's over the defaults.
pub(crate) fn of_topic(own: &BTreeMap<String, String>, node: &BTreeMap<String, String>) -> Vec<Setting> {
    let setting = |def: &'static TopicConfigDef| {
        let mut synonyms = Vec::with_capacity(3);
        if let Some(value) = own.get(def.name) {
            synonyms.push(Synonym { name: def.name, value: value.clone(), source: Source::Topic });
        }
        synonyms.extend(node_synonyms(def, node));
        Setting { name: def.name, kind: def.kind, documentation: def.documentation, synonyms }
    };
    topic_config_defs().iter().map(setting).collect()
}

/// A consumer group's settings: its own values over the node's.
pub(crate) fn of_group(own: Option<&BTreeMap<String, String>>, node: &ConsumerGroupConfig) -> Vec<Setting> {
    let setting = |def: &'static GroupConfigDef| {
        let own = own.and_then(|own| own.get(def.name));
        let own = own.map(|value| Synonym { name: def.name, value: value.clone(), source: Source::Group });
        let node = node.default_of(def.name).map(|value| Synonym {
            name: def.broker_name,
            value: value.to_string(),
            source: Source::Node,
        });
        let synonyms = own.into_iter().chain(node).collect();
        Setting { name: def.name, kind: def.kind, documentation: def.documentation, synonyms }
    };
    GROUP_CONFIG_DEFS.iter().map(setting).collect()
}

/// The node's own settings.
pub(crate) fn of_node(shown: &[NodeSetting]) -> Vec<Setting> {
    let setting = |shown: &NodeSetting| {
        let synonym =
            |value: &Option<String>, source| value.clone().map(|value| Synonym { name: shown.name, value, source });
        let synonyms = [synonym(&shown.given, Source::Node), synonym(&shown.default, Source::Default)];
        Setting {
            name: shown.name,
            kind: shown.kind,
            documentation: shown.documentation,
            synonyms: synonyms.into_iter().flatten().collect(),
        }
    };
    shown.iter().map(setting).collect()
}

/// The node's settings that are defaults of topics, by their names as a node's.
pub(crate) fn topic_defaults_of_node(node: &BTreeMap<String, String>) -> Vec<Setting> {
    let setting = |def: &'static TopicConfigDef| {
        let name = def.broker_name?;
        let synonyms = node_synonyms(def, node).collect();
        Some(Setting { name, kind: def.kind, documentation: def.documentation, synonyms })
    };
    topic_config_defs().iter().filter_map(setting).collect()
}

fn node_synonyms<'a>(
    def: &'static TopicConfigDef,
    node: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = Synonym> + 'a {
    let set = def.broker_name.and_then(|name| Some((name, node.get(name)?)));
    let set = set.map(|(name, value)| Synonym { name, value: value.clone(), source: Source::Node });
    let default =
        Synonym { name: def.broker_name.unwrap_or(def.name), value: def.default.to_owned(), source: Source::Default };
    set.into_iter().chain([default])
}
