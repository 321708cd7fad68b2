//! Settings as answers show them: value, source, synonyms.

use std::collections::BTreeMap;

use caudal_metadata::Resources;
use caudal_metadata::config_defs::{
    CLIENT_METRICS_CONFIG_DEFS, ClientMetricsConfigDef, ConfigType, GROUP_CONFIG_DEFS, GroupConfigDef, TopicConfigDef,
    topic_config_defs,
};
use caudal_types::NodeId;
use caudal_types::topic_config::node_synonyms;

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
    /// The value that holds where no place that is shown gives one.
    pub(crate) unset: Option<String>,
    /// The strongest first; it gives the value.
    pub(crate) synonyms: Vec<Synonym>,
}

impl Setting {
    /// `None` when nothing gives one.
    pub(crate) fn value(&self) -> Option<&str> {
        self.synonyms.first().map(|synonym| &synonym.value).or(self.unset.as_ref()).map(String::as_str)
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
        let own = own.get(def.name).cloned().map(|value| Synonym { name: def.name, value, source: Source::Topic });
        let (name, synonyms) = (def.name, own.into_iter().chain(topic_default(def, node)).collect());
        Setting {
            name,
            kind: def.kind,
            documentation: def.documentation,
            unset: Some(def.default.to_owned()),
            synonyms,
        }
    };
    topic_config_defs().iter().map(setting).collect()
}

/// A group's settings: its own values over the node's.
pub(crate) fn of_group(
    own: Option<&BTreeMap<String, String>>,
    shown: &[NodeSetting],
    node: NodeLevel<'_>,
) -> Vec<Setting> {
    let setting = |def: &'static GroupConfigDef| {
        let own = own.and_then(|own| own.get(def.name)).cloned();
        let own = own.map(|value| Synonym { name: def.name, value, source: Source::Group });
        let of_node = shown.iter().find(|shown| def.broker_name == Some(shown.name));
        let default = || vec![Synonym { name: def.name, value: def.default.to_owned(), source: Source::Default }];
        let of_node = of_node.map_or_else(default, |of_node| places(of_node, node));
        let synonyms = own.into_iter().chain(of_node).collect();
        Setting { name: def.name, kind: def.kind, documentation: def.documentation, unset: None, synonyms }
    };
    GROUP_CONFIG_DEFS.iter().map(setting).collect()
}

/// A subscription's settings: its own values or the defaults, which are in no place that could be named.
pub(crate) fn of_client_metrics(own: Option<&BTreeMap<String, String>>) -> Vec<Setting> {
    let setting = |def: &'static ClientMetricsConfigDef| {
        let own = own.and_then(|own| own.get(def.name)).cloned();
        let own = own.map(|value| Synonym { name: def.name, value, source: Source::ClientMetrics });
        let (unset, synonyms) = (Some(def.default.to_owned()), own.into_iter().collect());
        Setting { name: def.name, kind: def.kind, documentation: def.documentation, unset, synonyms }
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
        Some(Setting { name, kind, documentation, unset: None, synonyms })
    };
    dynamic.all_nodes.iter().filter_map(setting).collect()
}

/// The node's own settings; those that are internal only where they are set.
pub(crate) fn of_node(shown: &[NodeSetting], node: NodeLevel<'_>) -> Vec<Setting> {
    let setting = |shown: &NodeSetting| {
        let synonyms = places(shown, node);
        let is_set = synonyms.iter().any(|synonym| synonym.source != Source::Default);
        let (name, kind, documentation) = (shown.name, shown.kind, shown.documentation);
        (!shown.internal || is_set).then_some(Setting { name, kind, documentation, unset: None, synonyms })
    };
    shown.iter().filter_map(setting).collect()
}

/// The places that give one of the node's own settings a value, the strongest first.
fn places(shown: &NodeSetting, node: NodeLevel<'_>) -> Vec<Synonym> {
    let synonym =
        |value: &Option<String>, source| value.clone().map(|value| Synonym { name: shown.name, value, source });
    let set = node.find(shown.name).chain(synonym(&shown.given, Source::Node));
    set.chain(synonym(&shown.default, Source::Default)).collect()
}

/// The node's settings that are defaults of topics, by their names as a node's.
pub(crate) fn topic_defaults_of_node(node: NodeLevel<'_>) -> Vec<Setting> {
    let setting = |def: &'static TopicConfigDef| {
        let (name, unset) = (def.broker_name?, Some(def.default.to_owned()));
        let synonyms = topic_default(def, node);
        Some(Setting { name, kind: def.kind, documentation: def.documentation, unset, synonyms })
    };
    topic_config_defs().iter().filter_map(setting).collect()
}

/// The node-level places of a topic setting, the strongest first. As in Kafka the default belongs to the weakest of the node-level names, and is told of only behind
/// the strongest one: `log.retention.hours=168` where `log.retention.ms` is set.
fn topic_default(def: &'static TopicConfigDef, node: NodeLevel<'_>) -> Vec<Synonym> {
    let names = node_synonyms(def.name);
    let (Some(strongest), Some(weakest)) = (names.first(), names.last()) else { return Vec::new() };
    let set: Vec<_> = node.find(strongest.name).collect();
    if set.is_empty() && strongest.name != weakest.name {
        return set;
    }
    let default = Synonym { name: weakest.name, value: weakest.invert(def.default), source: Source::Default };
    set.into_iter().chain([default]).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Sources and names of the places of one setting, with its value.
    fn of<'a>(settings: &'a [Setting], name: &str) -> (Option<&'a str>, Vec<(Source, &'static str)>) {
        let setting = settings.iter().find(|setting| setting.name == name).expect("a setting");
        (setting.value(), setting.synonyms.iter().map(|synonym| (synonym.source, synonym.name)).collect())
    }

    fn map(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn defaults_of_topics_are_told_as_kafka_does() {
        let (dynamic, fixed) = (Resources::default(), BTreeMap::new());
        let settings = of_topic(&BTreeMap::new(), NodeLevel { dynamic: &dynamic, node: NodeId(1), fixed: &fixed });
        assert_eq!(of(&settings, "segment.bytes").1, [(Source::Default, "log.segment.bytes")]);
        assert_eq!(of(&settings, "retention.ms"), (Some("604800000"), vec![]));
        assert_eq!(of(&settings, "remote.storage.enable"), (Some("false"), vec![]));

        let fixed = map("log.retention.ms", "5");
        let node = NodeLevel { dynamic: &dynamic, node: NodeId(1), fixed: &fixed };
        let settings = of_topic(&map("retention.ms", "4"), node);
        let places = vec![
            (Source::Topic, "retention.ms"),
            (Source::Node, "log.retention.ms"),
            (Source::Default, "log.retention.hours"),
        ];
        assert_eq!(of(&settings, "retention.ms"), (Some("4"), places));
        let retention = settings.iter().find(|setting| setting.name == "retention.ms").expect("it is there");
        assert_eq!(retention.synonyms.last().expect("a default").value, "168");
        assert_eq!(of(&topic_defaults_of_node(node), "log.retention.ms").0, Some("5"));
    }

    #[test]
    fn groups_have_the_nodes_values_behind_their_own() {
        let session = NodeSetting {
            name: "group.consumer.session.timeout.ms",
            kind: ConfigType::Int,
            documentation: "",
            given: Some("50000".to_owned()),
            default: Some("45000".to_owned()),
            internal: false,
        };
        let (dynamic, fixed) = (Resources::default(), BTreeMap::new());
        let node = NodeLevel { dynamic: &dynamic, node: NodeId(1), fixed: &fixed };
        let own = map("consumer.session.timeout.ms", "60000");
        let settings = of_group(Some(&own), &[session], node);
        let name = "group.consumer.session.timeout.ms";
        let places =
            vec![(Source::Group, "consumer.session.timeout.ms"), (Source::Node, name), (Source::Default, name)];
        assert_eq!(of(&settings, "consumer.session.timeout.ms"), (Some("60000"), places));
        let own_name = vec![(Source::Default, "share.isolation.level")];
        assert_eq!(of(&settings, "share.isolation.level"), (Some("read_uncommitted"), own_name));
    }

    #[test]
    fn subscriptions_show_only_their_own() {
        let settings = of_client_metrics(Some(&map("interval.ms", "1000")));
        assert_eq!(of(&settings, "interval.ms"), (Some("1000"), vec![(Source::ClientMetrics, "interval.ms")]));
        assert_eq!(of(&settings, "match"), (Some(""), vec![]));
    }

    const OF_NODE: &str = "group.consumer.assignment.interval.ms";

    fn interval(given: Option<&str>) -> NodeSetting {
        NodeSetting {
            name: OF_NODE,
            kind: ConfigType::Int,
            documentation: "Without effect.",
            given: given.map(str::to_owned),
            default: Some("1000".to_owned()),
            internal: false,
        }
    }

    /// The value and its source that a group without its own settings, or with some, is shown with.
    fn of_interval(
        own: Option<&BTreeMap<String, String>>,
        shown: &[NodeSetting],
        dynamic: &Resources,
    ) -> (String, Source) {
        let node = NodeLevel { dynamic, node: NodeId(1), fixed: &BTreeMap::new() };
        let settings = of_group(own, shown, node);
        let setting = settings.iter().find(|setting| setting.name == "consumer.assignment.interval.ms").unwrap();
        (setting.value().unwrap_or_default().to_owned(), setting.source())
    }

    #[test]
    fn groups_without_a_value_of_their_own_have_that_of_the_node() {
        let told = |value: &str, source| (value.to_owned(), source);
        let mut dynamic = Resources::default();
        assert_eq!(of_interval(None, &[], &dynamic), told("1000", Source::Default));
        assert_eq!(of_interval(None, &[interval(Some("2"))], &dynamic), told("2", Source::Node));
        dynamic.all_nodes = Arc::new(map(OF_NODE, "3"));
        assert_eq!(of_interval(None, &[interval(Some("2"))], &dynamic), told("3", Source::DynamicAllNodes));
        dynamic.nodes = Arc::new([(NodeId(1), map(OF_NODE, "4"))].into());
        assert_eq!(of_interval(None, &[interval(None)], &dynamic), told("4", Source::DynamicNode));
        let own = map("consumer.assignment.interval.ms", "5");
        assert_eq!(of_interval(Some(&own), &[interval(None)], &dynamic), told("5", Source::Group));
    }
}
