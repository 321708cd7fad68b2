//! The own settings of what is neither topic nor group: of nodes, and of the subscriptions to clients' metrics (KIP-714).

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_types::NodeId;

use crate::ConfigOp;
use crate::command::tagged;
use crate::layout::{Layout, Malformed, Reader, layout};

/// Settings by name.
pub type Configs = BTreeMap<String, String>;

/// What has the settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// Every node that has none of its own.
    AllNodes,
    /// One node.
    Node(NodeId),
    /// A subscription to clients' metrics, by its name.
    ClientMetrics(String),
}

/// The kinds are persisted: keep them stable.
impl Layout for ConfigResource {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::AllNodes => tagged(1, &(), to),
            Self::Node(node) => tagged(2, node, to),
            Self::ClientMetrics(name) => tagged(3, name, to),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            1 => Ok(Self::AllNodes),
            2 => Layout::get(from).map(Self::Node),
            3 => Layout::get(from).map(Self::ClientMetrics),
            other => Err(Malformed::Kind(other, "resource with settings")),
        }
    }
}

/// Changes of the own settings of a node, of all nodes, or of a subscription to clients' metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterResourceConfigs {
    /// Whose settings.
    pub resource: ConfigResource,
    /// Whether the changes replace all of its own settings or amend them.
    pub replace: bool,
    /// The changes, in order; each key once.
    pub ops: Vec<ConfigOp>,
}
layout!(AlterResourceConfigs { resource, replace, ops });

/// All own settings of a resource; one without any is not named further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceConfigs {
    pub(crate) resource: ConfigResource,
    pub(crate) configs: Configs,
}
layout!(ResourceConfigs { resource, configs });

/// Who has settings of its own, and which. A part that does not change stays the same `Arc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// What holds on every node.
    pub all_nodes: Arc<Configs>,
    /// What holds on single nodes, over what holds on all.
    pub nodes: Arc<BTreeMap<NodeId, Configs>>,
    /// The subscriptions to clients' metrics, by name.
    pub client_metrics: Arc<BTreeMap<String, Configs>>,
}

impl Resources {
    /// A resource's own settings, if it has any.
    pub fn get(&self, resource: &ConfigResource) -> Option<&Configs> {
        match resource {
            ConfigResource::AllNodes => Some(&*self.all_nodes).filter(|configs| !configs.is_empty()),
            ConfigResource::Node(node) => self.nodes.get(node),
            ConfigResource::ClientMetrics(name) => self.client_metrics.get(name),
        }
    }

    pub(crate) fn set(&mut self, resource: ConfigResource, configs: Configs) {
        match resource {
            ConfigResource::AllNodes => self.all_nodes = Arc::new(configs),
            ConfigResource::Node(node) => keep(Arc::make_mut(&mut self.nodes), node, configs),
            ConfigResource::ClientMetrics(name) => keep(Arc::make_mut(&mut self.client_metrics), name, configs),
        }
    }

    /// Everyone who has settings of its own.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ConfigResource, &Configs)> {
        let all_nodes = self.get(&ConfigResource::AllNodes).map(|configs| (ConfigResource::AllNodes, configs));
        let nodes = self.nodes.iter().map(|(node, configs)| (ConfigResource::Node(*node), configs));
        let metrics = self.client_metrics.iter();
        let metrics = metrics.map(|(name, configs)| (ConfigResource::ClientMetrics(name.clone()), configs));
        all_nodes.into_iter().chain(nodes).chain(metrics)
    }
}

fn keep<K: Ord>(map: &mut BTreeMap<K, Configs>, key: K, configs: Configs) {
    if configs.is_empty() {
        map.remove(&key);
    } else {
        map.insert(key, configs);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn resource() -> impl Strategy<Value = ConfigResource> {
        prop_oneof![
            Just(ConfigResource::AllNodes),
            (0..3_u32).prop_map(|node| ConfigResource::Node(NodeId(node))),
            "[a-c]".prop_map(ConfigResource::ClientMetrics),
        ]
    }

    pub(crate) fn resource_configs() -> impl Strategy<Value = ResourceConfigs> {
        (resource(), btree_map("[k-m]", ".{0,8}", 0..3))
            .prop_map(|(resource, configs)| ResourceConfigs { resource, configs })
    }

    #[test]
    fn a_resource_without_settings_is_forgotten() {
        let mut resources = Resources::default();
        let own = Configs::from([("k".to_owned(), "v".to_owned())]);
        let asked =
            [ConfigResource::AllNodes, ConfigResource::Node(NodeId(7)), ConfigResource::ClientMetrics("m".to_owned())];
        for resource in &asked {
            resources.set(resource.clone(), own.clone());
            assert_eq!(resources.get(resource), Some(&own));
        }
        assert_eq!(resources.all().count(), 3);
        for resource in asked {
            resources.set(resource.clone(), Configs::new());
            assert_eq!(resources.get(&resource), None);
        }
        assert_eq!(resources, Resources::default());
    }
}
