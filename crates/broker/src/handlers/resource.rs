//! The resources whose settings can be asked for or changed.

use std::collections::HashMap;
use std::time::Duration;

use caudal_coordinator::Coordinator;
use caudal_metadata::{
    AlterGroupConfigs, AlterResourceConfigs, AlterTopicConfigs, ClusterImage, ConfigOp, ConfigResource, Controller,
    MetadataError,
};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::StrBytes;
use caudal_types::NodeId;

use crate::error::Refusal;
use crate::log_levels::LogLevels;

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const BROKER_LOGGER: i8 = 8;
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

/// How long a change of settings may take; the requests carry no time-out of their own.
const WITHIN: Duration = Duration::from_secs(30);

/// A resource that has no settings here.
pub(crate) fn unsupported(resource_type: i8) -> Refusal {
    let text = match resource_type {
        BROKER_LOGGER => "AlterConfigs cannot change log levels; use IncrementalAlterConfigs".to_owned(),
        other => format!(
            "there is no resource type {other}; 2 is a topic, 4 a node, 8 its log levels, 16 a subscription to clients' metrics, 32 a consumer group"
        ),
    };
    Refusal::invalid_request(text)
}

/// Whether the name is that of the node: log levels are each node's own.
pub(crate) fn own_loggers(node: NodeId, name: &str) -> Result<(), Refusal> {
    match name.parse().map(NodeId) {
        Ok(named) if named == node => Ok(()),
        Ok(_) => Err(Refusal::invalid_request(format!("this is node {node}; ask node {name} for its own log levels"))),
        Err(_) => {
            Err(Refusal::invalid_request(format!("'{name}' is no number of a node; log levels are each node's own")))
        }
    }
}

/// A resource in a request for changes.
pub(crate) struct Changed {
    pub(crate) resource_type: i8,
    pub(crate) name: StrBytes,
    /// Whether the changes replace all settings or amend them.
    pub(crate) replace: bool,
    /// The changes, or why they cannot be.
    pub(crate) change: Result<Vec<ConfigOp>, Refusal>,
}

/// What became of a resource, as answers say it.
pub(crate) struct Altered {
    pub(crate) resource_type: i8,
    pub(crate) name: StrBytes,
    pub(crate) error_code: i16,
    pub(crate) error_message: Option<StrBytes>,
}

/// Changes settings of topics, consumer groups, nodes, and subscriptions to clients' metrics, and this node's log levels.
pub(crate) struct Alter {
    controller: Controller,
    coordinator: Coordinator,
    log_levels: LogLevels,
}

impl Alter {
    pub(crate) fn new(controller: Controller, coordinator: Coordinator, log_levels: LogLevels) -> Self {
        Self { controller, coordinator, log_levels }
    }

    /// Applies changes, each for itself; the results are in order. A resource that comes twice is refused twice.
    pub(crate) async fn all(&self, mut changes: Vec<Changed>, validate_only: bool) -> Vec<Altered> {
        refuse_repeated(&mut changes);
        self.loggers(&mut changes, validate_only);
        let mut topics = self.topics(&changes, validate_only).await.into_iter();
        let mut groups = self.groups(&mut changes, validate_only).await.into_iter();
        let mut resources = self.resources(&mut changes, validate_only).await.into_iter();
        let altered = |changed: Changed| {
            let outcome = |outcome: Option<Result<(), MetadataError>>| {
                let outcome =
                    outcome.ok_or_else(|| Refusal::invalid_request("the change had no outcome; try again"))?;
                outcome.map_err(|error| Refusal::from(&error))
            };
            let result = changed.change.and_then(|_| match changed.resource_type {
                TOPIC => outcome(topics.next()),
                GROUP => outcome(groups.next()),
                BROKER_LOGGER => Ok(()),
                _ => outcome(resources.next()),
            });
            let refusal = result.err();
            Altered {
                resource_type: changed.resource_type,
                name: changed.name,
                error_code: refusal.as_ref().map_or(0, |refusal| refusal.code().code()),
                error_message: refusal.and_then(|refusal| refusal.message()),
            }
        };
        changes.into_iter().map(altered).collect()
    }

    /// Changes the levels of this node's log lines; what cannot be becomes a refusal.
    fn loggers(&self, changes: &mut [Changed], validate_only: bool) {
        let node = self.controller.config().node_id;
        for changed in changes.iter_mut().filter(|changed| changed.resource_type == BROKER_LOGGER) {
            let Ok(ops) = &changed.change else { continue };
            let altered = own_loggers(node, &changed.name).and_then(|()| self.log_levels.alter(ops, validate_only));
            if let Err(refusal) = altered {
                changed.change = Err(refusal);
            }
        }
    }

    async fn topics(&self, changes: &[Changed], validate_only: bool) -> Vec<Result<(), MetadataError>> {
        let wished = changes.iter().filter(|changed| changed.resource_type == TOPIC).filter_map(|changed| {
            let ops = changed.change.as_ref().ok()?.clone();
            Some(AlterTopicConfigs { topic: changed.name.to_string(), replace: changed.replace, ops })
        });
        let wished: Vec<_> = wished.collect();
        if wished.is_empty() {
            return Vec::new();
        }
        self.controller.alter_topic_configs(wished, validate_only, WITHIN).await
    }

    /// Values beyond the bounds that the nodes are configured with are refused here: the controller does not know them.
    async fn groups(&self, changes: &mut [Changed], validate_only: bool) -> Vec<Result<(), MetadataError>> {
        let mut wished = Vec::new();
        for changed in changes.iter_mut().filter(|changed| changed.resource_type == GROUP) {
            if changed.name.is_empty() {
                changed.change = Err(Refusal::invalid_request("the group id is empty; name the group"));
            }
            let Ok(ops) = &changed.change else { continue };
            match check_bounds(&self.coordinator, ops) {
                Ok(()) => wished.push(AlterGroupConfigs {
                    group: changed.name.to_string(),
                    replace: changed.replace,
                    ops: ops.clone(),
                }),
                Err(reason) => changed.change = Err(Refusal::new(ErrorCode::INVALID_CONFIG, reason)),
            }
        }
        if wished.is_empty() {
            return Vec::new();
        }
        self.controller.alter_group_configs(wished, validate_only, WITHIN).await
    }

    async fn resources(&self, changes: &mut [Changed], validate_only: bool) -> Vec<Result<(), MetadataError>> {
        let image = self.controller.image();
        let mut wished = Vec::new();
        for changed in changes.iter_mut().filter(|changed| matches!(changed.resource_type, BROKER | CLIENT_METRICS)) {
            let Ok(ops) = changed.change.clone() else { continue };
            match resource(&image, changed) {
                Ok(resource) => wished.push(AlterResourceConfigs { resource, replace: changed.replace, ops }),
                Err(refusal) => changed.change = Err(refusal),
            }
        }
        if wished.is_empty() {
            return Vec::new();
        }
        self.controller.alter_resource_configs(wished, validate_only, WITHIN).await
    }
}

/// The resource that a node's or a subscription's name stands for; an empty name stands for all nodes.
fn resource(image: &ClusterImage, changed: &Changed) -> Result<ConfigResource, Refusal> {
    let name = changed.name.as_str();
    match (changed.resource_type, name.parse().map(NodeId)) {
        (CLIENT_METRICS, _) => Ok(ConfigResource::ClientMetrics(name.to_owned())),
        (_, _) if name.is_empty() => Ok(ConfigResource::AllNodes),
        (_, Ok(node)) if image.nodes.contains_key(&node) => Ok(ConfigResource::Node(node)),
        (_, _) => {
            Err(Refusal::invalid_request(format!("there is no node '{name}'; name one by its number, or none for all")))
        }
    }
}

fn check_bounds(coordinator: &Coordinator, ops: &[ConfigOp]) -> Result<(), String> {
    let config = coordinator.consumer_config();
    for op in ops {
        if let ConfigOp::Set(key, value) = op {
            config.check(key, value)?;
        }
    }
    Ok(())
}

fn refuse_repeated(changes: &mut [Changed]) {
    let mut counts: HashMap<(i8, StrBytes), usize> = HashMap::new();
    for changed in &*changes {
        *counts.entry((changed.resource_type, changed.name.clone())).or_default() += 1;
    }
    for changed in changes {
        if counts.get(&(changed.resource_type, changed.name.clone())).is_some_and(|count| *count > 1) {
            changed.change =
                Err(Refusal::invalid_request("the resource is named twice; name it once with all changes"));
        } else if !is_changeable(changed) {
            changed.change = Err(unsupported(changed.resource_type));
        }
    }
}

/// Log levels are only ever amended, as in Kafka.
fn is_changeable(changed: &Changed) -> bool {
    match changed.resource_type {
        TOPIC | GROUP | BROKER | CLIENT_METRICS => true,
        BROKER_LOGGER => !changed.replace,
        _ => false,
    }
}

/// Refuses keys that come twice, and keys without a value.
pub(crate) fn check_keys<'a>(keys: impl Iterator<Item = (&'a str, bool)>) -> Result<(), Refusal> {
    let mut seen = std::collections::HashSet::new();
    for (name, has_value) in keys {
        if !seen.insert(name) {
            return Err(Refusal::invalid_request(format!("the key '{name}' is named twice; name it once")));
        }
        if !has_value {
            return Err(Refusal::invalid_request(format!("the key '{name}' has no value; give it one or delete it")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_once_and_with_a_value() {
        assert!(check_keys([("a", true), ("b", true)].into_iter()).is_ok());
        assert!(check_keys([("a", true), ("a", true)].into_iter()).is_err());
        assert!(check_keys([("a", false)].into_iter()).is_err());
    }
}
