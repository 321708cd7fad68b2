//! The resources whose settings can be asked for or changed.

use std::collections::HashMap;
use std::time::Duration;

use caudal_metadata::{AlterTopicConfigs, Controller};
use caudal_protocol::messages::StrBytes;

use crate::error::Refusal;

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// How long a change of settings may take; the requests carry no time-out of their own.
const WITHIN: Duration = Duration::from_secs(30);

/// A resource that has no settings here.
pub(crate) fn unsupported(resource_type: i8) -> Refusal {
    let text = match resource_type {
        BROKER_LOGGER => "log levels are set in the node's configuration, not through the protocol".to_owned(),
        CLIENT_METRICS => "client metrics are not served".to_owned(),
        GROUP => "consumer groups have no settings of their own; set them in the consumers".to_owned(),
        other => format!("there is no resource type {other}; 2 is a topic, 4 a node"),
    };
    Refusal::invalid_request(text)
}

/// A resource in a request for changes.
pub(crate) struct Changed {
    pub(crate) resource_type: i8,
    pub(crate) name: StrBytes,
    /// The changes, or why they cannot be.
    pub(crate) change: Result<AlterTopicConfigs, Refusal>,
}

/// What became of a resource, as answers say it.
pub(crate) struct Altered {
    pub(crate) resource_type: i8,
    pub(crate) name: StrBytes,
    pub(crate) error_code: i16,
    pub(crate) error_message: Option<StrBytes>,
}

/// Applies changes, each for itself; the results are in order. A resource that comes twice is refused twice.
pub(crate) async fn alter(controller: &Controller, mut changes: Vec<Changed>, validate_only: bool) -> Vec<Altered> {
    let mut counts: HashMap<(i8, StrBytes), usize> = HashMap::new();
    for changed in &changes {
        *counts.entry((changed.resource_type, changed.name.clone())).or_default() += 1;
    }
    for changed in &mut changes {
        if counts.get(&(changed.resource_type, changed.name.clone())).is_some_and(|count| *count > 1) {
            changed.change =
                Err(Refusal::invalid_request("the resource is named twice; name it once with all changes"));
        } else if changed.resource_type != TOPIC {
            changed.change = Err(unchangeable(changed.resource_type));
        }
    }
    let wished: Vec<AlterTopicConfigs> = changes.iter().filter_map(|c| c.change.as_ref().ok().cloned()).collect();
    let mut altered = if wished.is_empty() {
        Vec::new().into_iter()
    } else {
        controller.alter_topic_configs(wished, validate_only, WITHIN).await.into_iter()
    };
    let mut result = |change: Result<AlterTopicConfigs, Refusal>| {
        change?;
        let outcome = altered.next().ok_or_else(|| Refusal::invalid_request("the change had no outcome; try again"))?;
        outcome.map_err(|error| Refusal::from(&error))
    };
    let altered = |changed: Changed| {
        let refusal = result(changed.change).err();
        Altered {
            resource_type: changed.resource_type,
            name: changed.name,
            error_code: refusal.as_ref().map_or(0, |refusal| refusal.code().code()),
            error_message: refusal.and_then(|refusal| refusal.message()),
        }
    };
    changes.into_iter().map(altered).collect()
}

fn unchangeable(resource_type: i8) -> Refusal {
    match resource_type {
        BROKER => Refusal::invalid_request("a node's settings are changed in its configuration; restart it then"),
        other => unsupported(other),
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
