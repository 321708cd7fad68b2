//! Settings as answers show them: value, source, synonyms.

use std::collections::BTreeMap;

use caudal_metadata::Resources;
use caudal_metadata::config_defs::{
    CLIENT_METRICS_CONFIG_DEFS, ClientMetricsConfigDef, ConfigType, GROUP_CONFIG_DEFS, GroupConfigDef, TopicConfigDef,
    topic_config_defs,
};
use caudal_types::NodeId;

use crate::config::NodeSetting;

/// Where a value comes from, as the wire numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Source {
    /// The topic's own setting.
    Topic = 1,
    /// Set for the node while it runs.
    DynamicNode = 2,
    /// Set for all nodes while they run.
    DynamicAllNodes = 3,
    /// The node's configuration.
    Node = 4,
    /// Nobody set it.
    Default = 5,
    /// The level of log lines.
    NodeLogger = 6,
    /// The own setting of a subscription to clients' metrics.
    ClientMetrics = 7,
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
    /// `None` when nothing gives one.
    pub(crate) fn value(&self) -> Option<&str> {
        self.synonyms.first().map(|synonym| synonym.value.as_str())
    }

    /// Whether the value must not be seen.
    pub(crate) fn is_secret(&self) -> bool {
        self.kind == ConfigType::Password
    }

    pub(crate) fn source(&self) -> Source {
        self.synonyms.first().map_or(Source::Default, |synonym| synonym.source)
    }
}

/// The node-level values of topic settings, by where they come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeLevel<'a> {
    /// What was set while nodes run.
    pub(crate) dynamic: &'a Resources,
    /// Whose values.
    pub(crate) node: NodeId,
    /// What the node was started with.
    pub(crate) fixed: &'a BTreeMap<String, String>,
}

impl<'a> NodeLevel<'a> {
    /// The places that set a key, the strongest first.
    fn find(self, name: &'static str) -> impl Iterator<Item = Synonym> + 'a {
        let own = self.dynamic.nodes.get(&self.node).and_then(|own| own.get(name));
        let (all, fixed) = (self.dynamic.all_nodes.get(name), self.fixed.get(name));
        let found = [(own, Source::DynamicNode), (all, Source::DynamicAllNodes), (fixed, Source::Node)];
        found.into_iter().filter_map(move |(value, source)| Some(Synonym { name, value: value?.clone(), source }))
    }
}

/// A topic's settings: its own values over the node's over the defaults.
pub(crate) fn of_topic(own: &BTreeMap<String, String>, node: NodeLevel<'_>) -> Vec<Setting> {
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

/// A group's settings: its own values over the node's over the defaults.
pub(crate) fn of_group(
    own: Option<&BTreeMap<String, String>>,
    shown: &[NodeSetting],
    node: NodeLevel<'_>,
) -> Vec<Setting> {
    let setting = |def: &'static GroupConfigDef| {
        let own = own.and_then(|own| own.get(def.name));
        let own = own.map(|value| Synonym { name: def.name, value: value.clone(), source: Source::Group });
        let of_node = shown.iter().find(|shown| def.broker_name == Some(shown.name));
        let of_node = of_node.map(|shown| values_of(shown, node)).unwrap_or_default();
        let default = of_node.is_empty().then(|| Synonym {
            name: def.broker_name.unwrap_or(def.name),
            value: def.default.to_owned(),
            source: Source::Default,
        });
        let synonyms = own.into_iter().chain(of_node).chain(default).collect();
        Setting { name: def.name, kind: def.kind, documentation: def.documentation, synonyms }
    };
    GROUP_CONFIG_DEFS.iter().map(setting).collect()
}

/// A subscription's settings: its own values or the defaults.
pub(crate) fn of_client_metrics(own: Option<&BTreeMap<String, String>>) -> Vec<Setting> {
    let setting = |def: &'static ClientMetricsConfigDef| {
        let own = own.and_then(|own| own.get(def.name));
        let own = own.map(|value| Synonym { name: def.name, value: value.clone(), source: Source::ClientMetrics });
        let default = Synonym { name: def.name, value: def.default.to_owned(), source: Source::Default };
        let synonyms = vec![own.unwrap_or(default)];
        Setting { name: def.name, kind: def.kind, documentation: def.documentation, synonyms }
    };
    CLIENT_METRICS_CONFIG_DEFS.iter().map(setting).collect()
}

/// What was set for all nodes while they run.
pub(crate) fn of_all_nodes(dynamic: &Resources, shown: &[NodeSetting]) -> Vec<Setting> {
    let described = |asked: &str| {
        let of_topics = topic_config_defs().iter().find(|def| def.broker_name == Some(asked));
        let of_topics = of_topics.and_then(|def| Some((def.broker_name?, def.kind, def.documentation)));
        let of_node = || shown.iter().find(|shown| shown.name == asked);
        of_topics.or_else(|| of_node().map(|shown| (shown.name, shown.kind, shown.documentation)))
    };
    let setting = |(name, value): (&String, &String)| {
        let (name, kind, documentation) = described(name)?;
        let synonyms = vec![Synonym { name, value: value.clone(), source: Source::DynamicAllNodes }];
        Some(Setting { name, kind, documentation, synonyms })
    };
    dynamic.all_nodes.iter().filter_map(setting).collect()
}

/// The node's own settings; those that are internal only where they are set.
pub(crate) fn of_node(shown: &[NodeSetting], node: NodeLevel<'_>) -> Vec<Setting> {
    let setting = |shown: &NodeSetting| {
        let synonyms = values_of(shown, node);
        let is_shown = !shown.internal || synonyms.iter().any(|synonym| synonym.source != Source::Default);
        is_shown.then_some(Setting { name: shown.name, kind: shown.kind, documentation: shown.documentation, synonyms })
    };
    shown.iter().filter_map(setting).collect()
}

/// The places that give one of a node's settings a value, the strongest first.
fn values_of(shown: &NodeSetting, node: NodeLevel<'_>) -> Vec<Synonym> {
    let synonym =
        |value: &Option<String>, source| value.clone().map(|value| Synonym { name: shown.name, value, source });
    let started_with = [synonym(&shown.given, Source::Node), synonym(&shown.default, Source::Default)];
    node.find(shown.name).chain(started_with.into_iter().flatten()).collect()
}

/// The node's settings that are defaults of topics, by their names as a node's.
pub(crate) fn topic_defaults_of_node(node: NodeLevel<'_>) -> Vec<Setting> {
    let setting = |def: &'static TopicConfigDef| {
        let name = def.broker_name?;
        let synonyms = node_synonyms(def, node).collect();
        Some(Setting { name, kind: def.kind, documentation: def.documentation, synonyms })
    };
    topic_config_defs().iter().filter_map(setting).collect()
}

fn node_synonyms<'a>(def: &'static TopicConfigDef, node: NodeLevel<'a>) -> impl Iterator<Item = Synonym> + 'a {
    let set = def.broker_name.into_iter().flat_map(move |name| node.find(name));
    let default =
        Synonym { name: def.broker_name.unwrap_or(def.name), value: def.default.to_owned(), source: Source::Default };
    set.chain([default])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const OF_NODE: &str = "group.consumer.assignment.interval.ms";

    fn shown(given: Option<&str>) -> NodeSetting {
        NodeSetting {
            name: OF_NODE,
            kind: ConfigType::Int,
            documentation: "Without effect.",
            given: given.map(str::to_owned),
            default: Some("1000".to_owned()),
            internal: false,
        }
    }

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    /// The value and its source that a group without its own settings, or with some, is shown with.
    fn of(own: Option<&BTreeMap<String, String>>, shown: &[NodeSetting], dynamic: &Resources) -> (String, Source) {
        let node = NodeLevel { dynamic, node: NodeId(1), fixed: &BTreeMap::new() };
        let settings = of_group(own, shown, node);
        let setting = settings.iter().find(|setting| setting.name == "consumer.assignment.interval.ms").unwrap();
        (setting.value().unwrap_or_default().to_owned(), setting.source())
    }

    #[test]
    fn groups_without_a_value_of_their_own_have_that_of_the_node() {
        let told = |value: &str, source| (value.to_owned(), source);
        let mut dynamic = Resources::default();
        assert_eq!(of(None, &[], &dynamic), told("1000", Source::Default));
        assert_eq!(of(None, &[shown(Some("2"))], &dynamic), told("2", Source::Node));
        dynamic.all_nodes = Arc::new(one(OF_NODE, "3"));
        assert_eq!(of(None, &[shown(Some("2"))], &dynamic), told("3", Source::DynamicAllNodes));
        dynamic.nodes = Arc::new([(NodeId(1), one(OF_NODE, "4"))].into());
        assert_eq!(of(None, &[shown(None)], &dynamic), told("4", Source::DynamicNode));
        let own = one("consumer.assignment.interval.ms", "5");
        assert_eq!(of(Some(&own), &[shown(None)], &dynamic), told("5", Source::Group));
    }
}
