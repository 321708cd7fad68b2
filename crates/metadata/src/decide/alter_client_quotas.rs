//! Changes of client quotas, by Kafka's rules.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decision, Draft, Facts};
use crate::command::{Command, NewQuotas};
use crate::controller::wish::{AlterQuotas, Results};
use crate::quotas::{CLIENT_ID, EntityName, IP, QuotaEntity, QuotaKey, QuotaValue, USER};
use crate::{AlterClientQuotas, MetadataError};

pub(super) fn decide(wish: AlterQuotas, facts: &Facts<'_>) -> Decision {
    let mut draft = Draft::default();
    let mut counts: BTreeMap<QuotaEntity, usize> = BTreeMap::new();
    let entities: Vec<_> = wish.entities.iter().map(|alter| entity(&alter.entity)).collect();
    for entity in entities.iter().flatten() {
        *counts.entry(entity.clone()).or_default() += 1;
    }
    for (alter, entity) in wish.entities.into_iter().zip(entities) {
        let decided = entity.and_then(|entity| match counts.get(&entity) {
            Some(2..) => {
                Err(invalid(format!("The quotas of {entity} are changed twice in one request; change them once")))
            }
            _ => new_quotas(entity, alter, facts),
        });
        draft.add(decided.map(|part| ((), part)));
    }
    draft.into_decision(Results::Each, Command::AlterClientQuotas, wish.validate_only)
}

fn invalid(text: String) -> MetadataError {
    MetadataError::InvalidRequest(text)
}

/// The entity that a request names by its parts.
fn entity(parts: &[(String, Option<String>)]) -> Result<QuotaEntity, MetadataError> {
    let mut entity = QuotaEntity::default();
    for (kind, name) in parts {
        let Some(part) = entity.part_mut(kind) else {
            return Err(invalid(format!(
                "There are no quotas for the type '{kind}'; the types are {USER}, {CLIENT_ID} and {IP}"
            )));
        };
        if part.is_some() {
            return Err(invalid(format!("The {kind} is named twice; name it once")));
        }
        if name.as_deref() == Some("") {
            return Err(invalid(format!("The name of the {kind} is empty; give one, or leave it out for the default")));
        }
        *part = Some(EntityName::new(name.clone()));
    }
    match entity {
        QuotaEntity { user: None, client_id: None, ip: None } => {
            Err(invalid(format!("The quotas are for nobody; name a {USER}, a {CLIENT_ID} or an {IP}")))
        }
        QuotaEntity { ip: Some(_), user, client_id } if user.is_some() || client_id.is_some() => {
            Err(invalid(format!("An {IP} cannot be combined with a {USER} or a {CLIENT_ID}; set its quota apart")))
        }
        entity => Ok(entity),
    }
}

/// All quotas that the entity has then; `None` when nothing changes.
fn new_quotas(
    entity: QuotaEntity,
    alter: AlterClientQuotas,
    facts: &Facts<'_>,
) -> Result<Option<NewQuotas>, MetadataError> {
    let known = facts.image.client_quotas.of(&entity).cloned().unwrap_or_default();
    let mut values = known.clone();
    let mut changed = BTreeSet::new();
    for (name, value) in &alter.ops {
        if !changed.insert(name) {
            return Err(invalid(format!(
                "The quota {name} of {entity} is changed twice in one request; change it once"
            )));
        }
        let key = QuotaKey::of_name(name).filter(|key| key.is_for_addresses() == entity.ip.is_some());
        match (key, value) {
            (Some(key), Some(value)) => {
                key.check(value.get()).map_err(invalid)?;
                values.insert(key, QuotaValue::new(value.get()));
            }
            (Some(key), None) => {
                values.remove(&key);
            }
            (None, Some(_)) => return Err(invalid(unknown(name, &entity))),
            // There is nothing to take away.
            (None, None) => {}
        }
    }
    Ok((values != known).then_some(NewQuotas { entity, values }))
}

fn unknown(name: &str, entity: &QuotaEntity) -> String {
    let fits = |key: &QuotaKey| key.is_for_addresses() == entity.ip.is_some();
    let known: Vec<&str> = QuotaKey::ALL.iter().filter(|key| fits(key)).map(|key| key.name()).collect();
    format!("There is no quota '{name}' for {entity}; there is {}", known.join(", "))
}
