//! Changes of the own settings of nodes and of subscriptions to clients' metrics.

use std::collections::BTreeSet;

use super::{Decision, Draft, Facts};
use crate::command::Command;
use crate::config_defs::{
    CLIENT_METRICS_CONFIG_DEFS, ConfigType, dynamic_node_config_default, dynamic_node_config_kind, list_items,
    validate_client_metrics_configs, validate_dynamic_config_of_all_nodes, validate_dynamic_node_config,
};
use crate::controller::wish::{AlterResources, Results};
use crate::resources::{AlterResourceConfigs, ConfigResource, Configs, ResourceConfigs};
use crate::{ClusterImage, ConfigOp, MetadataError};

pub(super) fn decide(wish: AlterResources, facts: &Facts<'_>) -> Decision {
    let mut draft = Draft::default();
    for alter in wish.resources {
        draft.add(new_configs(alter, facts.image).map(|part| ((), Some(part))));
    }
    draft.into_decision(Results::Each, Command::AlterResourceConfigs, wish.validate_only)
}

fn new_configs(alter: AlterResourceConfigs, image: &ClusterImage) -> Result<ResourceConfigs, MetadataError> {
    let known = image.resources.get(&alter.resource).filter(|_| !alter.replace);
    let mut configs: Configs = known.cloned().unwrap_or_default();
    let mut changed = BTreeSet::new();
    for op in &alter.ops {
        if !changed.insert(op.key()) {
            return Err(MetadataError::InvalidRequest(format!(
                "The setting '{}' is changed twice in one request; change each once",
                op.key()
            )));
        }
        change(op, &alter.resource, &mut configs)?;
    }
    let checked = match &alter.resource {
        ConfigResource::ClientMetrics(name) if name.is_empty() => {
            return Err(MetadataError::InvalidRequest("The name of the subscription is empty; name it".to_owned()));
        }
        ConfigResource::ClientMetrics(_) => {
            validate_client_metrics_configs(&configs).map_err(MetadataError::InvalidConfig)
        }
        ConfigResource::AllNodes => check_changed(&configs, &changed, validate_dynamic_config_of_all_nodes),
        ConfigResource::Node(_) => check_changed(&configs, &changed, validate_dynamic_node_config),
    };
    checked?;
    Ok(ResourceConfigs { resource: alter.resource, configs })
}

/// Checks of a node's settings those that were changed. Kafka, too, has another code for nodes than for all else.
fn check_changed(
    configs: &Configs,
    changed: &BTreeSet<&str>,
    check: fn(&str, &str) -> Result<(), String>,
) -> Result<(), MetadataError> {
    let mut changed = configs.iter().filter(|(name, _)| changed.contains(name.as_str()));
    changed.try_for_each(|(name, value)| check(name, value)).map_err(MetadataError::InvalidRequest)
}

fn change(op: &ConfigOp, resource: &ConfigResource, configs: &mut Configs) -> Result<(), MetadataError> {
    match op {
        ConfigOp::Set(key, value) => {
            configs.insert(key.clone(), value.trim().to_owned());
        }
        ConfigOp::Delete(key) => {
            configs.remove(key);
        }
        ConfigOp::Append(key, value) => {
            let mut items = current_list(key, resource, configs)?;
            let more: Vec<_> =
                list_items(value).into_iter().filter(|item| !items.iter().any(|had| had == item)).collect();
            items.extend(more.into_iter().map(str::to_owned));
            configs.insert(key.clone(), items.join(","));
        }
        ConfigOp::Subtract(key, value) => {
            let mut items = current_list(key, resource, configs)?;
            let gone = list_items(value);
            items.retain(|item| !gone.contains(&item.as_str()));
            configs.insert(key.clone(), items.join(","));
        }
    }
    Ok(())
}

fn current_list(key: &str, resource: &ConfigResource, configs: &Configs) -> Result<Vec<String>, MetadataError> {
    let is_list = match resource {
        ConfigResource::ClientMetrics(_) => {
            CLIENT_METRICS_CONFIG_DEFS.iter().any(|def| def.name == key && def.kind == ConfigType::List)
        }
        ConfigResource::AllNodes | ConfigResource::Node(_) => dynamic_node_config_kind(key) == Some(ConfigType::List),
    };
    if !is_list {
        return Err(MetadataError::InvalidConfig(format!("The setting '{key}' is not a list; set it instead")));
    }
    // As in Kafka, where a node's list that nobody set begins with the default.
    let default = match resource {
        ConfigResource::ClientMetrics(_) => None,
        ConfigResource::AllNodes | ConfigResource::Node(_) => dynamic_node_config_default(key),
    };
    let current = configs.get(key).map(String::as_str).or(default).unwrap_or_default();
    Ok(list_items(current).into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use caudal_types::NodeId;

    use super::*;
    use crate::resources::Resources;

    fn set(key: &str, value: &str) -> ConfigOp {
        ConfigOp::Set(key.to_owned(), value.to_owned())
    }

    /// What a resource has after changes to what it `had`.
    fn after(resource: ConfigResource, had: &[(&str, &str)], ops: Vec<ConfigOp>) -> Result<Configs, MetadataError> {
        let mut resources = Resources::default();
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        resources.set(resource.clone(), had.iter().map(pair).collect());
        let image = ClusterImage { resources, ..ClusterImage::default() };
        new_configs(AlterResourceConfigs { resource, replace: false, ops }, &image).map(|new| new.configs)
    }

    fn metrics() -> ConfigResource {
        ConfigResource::ClientMetrics("m".to_owned())
    }

    #[test]
    fn subscriptions_are_changed_key_by_key() {
        let had = [("interval.ms", "1000"), ("metrics", "a.,b.")];
        let ops = vec![
            ConfigOp::Delete("interval.ms".to_owned()),
            ConfigOp::Append("metrics".to_owned(), "b.,c.".to_owned()),
            set("match", "client_id=x"),
        ];
        let now = after(metrics(), &had, ops).unwrap();
        assert_eq!(
            now.into_iter().collect::<Vec<_>>(),
            [("match".to_owned(), "client_id=x".to_owned()), ("metrics".to_owned(), "a.,b.,c.".to_owned())]
        );
        let ops = vec![ConfigOp::Subtract("metrics".to_owned(), "a.".to_owned())];
        assert_eq!(after(metrics(), &had, ops).unwrap()["metrics"], "b.");
    }

    #[test]
    fn lists_of_nodes_begin_with_the_default() {
        let append = ConfigOp::Append("log.cleanup.policy".to_owned(), "compact".to_owned());
        let now = after(ConfigResource::AllNodes, &[], vec![append]).unwrap();
        assert_eq!(now["log.cleanup.policy"], "delete,compact");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |resource, op| after(resource, &[], vec![op]).unwrap_err();
        assert!(matches!(refused(metrics(), set("interval.ms", "1")), MetadataError::InvalidConfig(_)));
        let nameless = ConfigResource::ClientMetrics(String::new());
        assert!(matches!(refused(nameless, set("interval.ms", "1000")), MetadataError::InvalidRequest(_)));
        let append = ConfigOp::Append("interval.ms".to_owned(), "1".to_owned());
        assert!(matches!(refused(metrics(), append), MetadataError::InvalidConfig(_)));
        for key in ["log.dirs", "log.retention.hours", "retention.ms"] {
            assert!(
                matches!(refused(ConfigResource::AllNodes, set(key, "1")), MetadataError::InvalidRequest(_)),
                "{key}"
            );
        }
        let threads = set("log.cleaner.threads", "0");
        assert!(matches!(refused(ConfigResource::Node(NodeId(1)), threads), MetadataError::InvalidRequest(_)));
        let map = || set("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT");
        assert!(matches!(refused(ConfigResource::AllNodes, map()), MetadataError::InvalidRequest(_)));
        assert!(after(ConfigResource::Node(NodeId(1)), &[], vec![map()]).is_ok());
        let twice = after(metrics(), &[], vec![set("metrics", "a"), set("metrics", "b")]).unwrap_err();
        assert!(matches!(twice, MetadataError::InvalidRequest(_)));
    }

    #[test]
    fn node_level_values_are_laid_over_each_other() {
        let message_max = |value: &str| Configs::from([("message.max.bytes".to_owned(), value.to_owned())]);
        let mut image = ClusterImage::default();
        let node = NodeId(2);
        assert_eq!(*image.topic_defaults(node, &message_max("1")), message_max("1"));
        image.resources.set(ConfigResource::AllNodes, message_max("2"));
        assert_eq!(*image.topic_defaults(node, &message_max("1")), message_max("2"));
        image.resources.set(ConfigResource::Node(node), message_max("3"));
        assert_eq!(*image.topic_defaults(node, &message_max("1")), message_max("3"));
        assert_eq!(*image.topic_defaults(NodeId(1), &message_max("1")), message_max("2"));
        let ops = vec![set("message.max.bytes", " 5000 ")];
        assert_eq!(after(ConfigResource::Node(node), &[], ops).unwrap(), message_max("5000"));
    }
}
