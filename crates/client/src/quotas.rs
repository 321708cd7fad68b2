//! Client quotas: what users, client ids and addresses may use (KIP-546).

use std::collections::BTreeMap;
use std::fmt;

use caudal_protocol::messages::alter_client_quotas_request::{EntityData as AlteredPart, EntryData as Altered, OpData};
use caudal_protocol::messages::describe_client_quotas_request::ComponentData;
use caudal_protocol::messages::describe_client_quotas_response::EntryData;
use caudal_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};

use crate::admin::text;
use crate::{Client, ClientError};

const MATCH_EXACT: i8 = 0;
const MATCH_DEFAULT: i8 = 1;

/// One of a kind, or all of it that have no quota of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaName {
    /// All that have none of their own.
    Default,
    /// This one.
    Named(String),
}

impl QuotaName {
    /// The name; none for the default.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// Whom a quota is for: a user, a client id, both together, or an address. What is `None` plays no part.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity {
    /// The user.
    pub user: Option<QuotaName>,
    /// The client id.
    pub client_id: Option<QuotaName>,
    /// The address that connections come from.
    pub ip: Option<QuotaName>,
}

impl QuotaEntity {
    /// Its parts by Kafka's names of their kinds.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &QuotaName)> {
        let parts = [("user", &self.user), ("client-id", &self.client_id), ("ip", &self.ip)];
        parts.into_iter().filter_map(|(kind, name)| Some((kind, name.as_ref()?)))
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (kind, name)) in self.parts().enumerate() {
            let with = if position > 0 { " with " } else { "" };
            match name.name() {
                Some(name) => write!(f, "{with}{kind} '{name}'")?,
                None => write!(f, "{with}the default {kind}")?,
            }
        }
        Ok(())
    }
}

/// The quotas of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityQuotas {
    /// Whose.
    pub entity: QuotaEntity,
    /// The values by Kafka's keys, such as `producer_byte_rate`.
    pub values: BTreeMap<String, f64>,
}

/// A change of a quota.
#[derive(Clone, Debug, PartialEq)]
pub enum QuotaChange {
    /// Gives it a value.
    Set(String, f64),
    /// Takes it away.
    Remove(String),
}

impl Client {
    /// The quotas of all entities that have the parts of this one, by entity: of one without parts, all that there are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn describe_quotas(&self, of: &QuotaEntity) -> Result<Vec<EntityQuotas>, ClientError> {
        let request = DescribeClientQuotasRequest::default()
            .with_components(of.parts().map(component).collect())
            .with_strict(false);
        let mut retry = self.retry();
        let response = loop {
            match self.call_any(&request).await {
                Ok(response) => break response,
                Err(error) => retry.after(error).await?,
            }
        };
        ClientError::check(response.error_code, response.error_message.as_deref(), || "asking for quotas".to_owned())?;
        let mut found: Vec<_> = response.entries.unwrap_or_default().iter().map(quotas).collect();
        found.sort_by(|a, b| a.entity.cmp(&b.entity));
        Ok(found)
    }

    /// Changes quotas of an entity, all or none. To take away one that is not there is no error.
    ///
    /// # Errors
    /// See [`ClientError`]; INVALID_REQUEST for a quota that there is not, or not for such an entity.
    pub async fn alter_quotas(&self, of: &QuotaEntity, changes: &[QuotaChange]) -> Result<(), ClientError> {
        let part = |(kind, name): (&'static str, &QuotaName)| {
            AlteredPart::default().with_entity_type(text(kind)).with_entity_name(name.name().map(text))
        };
        let altered = Altered::default()
            .with_entity(of.parts().map(part).collect())
            .with_ops(changes.iter().map(operation).collect());
        let request = AlterClientQuotasRequest::default().with_entries(vec![altered]);
        let response = self.call_any(&request).await?;
        let result = response.entries.first().ok_or_else(|| ClientError::Missing(of.to_string()))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || {
            format!("changing the quotas of {of}")
        })
    }
}

fn component((kind, name): (&'static str, &QuotaName)) -> ComponentData {
    let kind = ComponentData::default().with_entity_type(text(kind));
    match name {
        QuotaName::Named(name) => kind.with_match_type(MATCH_EXACT).with_match(Some(text(name))),
        QuotaName::Default => kind.with_match_type(MATCH_DEFAULT).with_match(None),
    }
}

fn operation(change: &QuotaChange) -> OpData {
    match change {
        QuotaChange::Set(key, value) => OpData::default().with_key(text(key)).with_value(*value).with_remove(false),
        QuotaChange::Remove(key) => OpData::default().with_key(text(key)).with_value(0.0).with_remove(true),
    }
}

fn quotas(entry: &EntryData) -> EntityQuotas {
    let mut entity = QuotaEntity::default();
    for part in &entry.entity {
        let name = part.entity_name.as_ref().map_or(QuotaName::Default, |name| QuotaName::Named(name.to_string()));
        match part.entity_type.as_str() {
            "user" => entity.user = Some(name),
            "client-id" => entity.client_id = Some(name),
            "ip" => entity.ip = Some(name),
            // Of a kind that nobody could ask for here.
            _ => {}
        }
    }
    let values = entry.values.iter().map(|value| (value.key.to_string(), value.value));
    EntityQuotas { entity, values: values.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<QuotaName> {
        Some(QuotaName::Named(name.to_owned()))
    }

    #[test]
    fn entities_are_told_by_their_parts() {
        let both = QuotaEntity { user: named("ana"), client_id: Some(QuotaName::Default), ip: None };
        assert_eq!(both.to_string(), "user 'ana' with the default client-id");
        let kinds: Vec<_> = both.parts().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["user", "client-id"]);
        let address = QuotaEntity { ip: named("10.0.0.1"), ..QuotaEntity::default() };
        assert_eq!(address.to_string(), "ip '10.0.0.1'");
    }

    #[test]
    fn the_default_is_matched_without_a_name() {
        let exact = component(("user", &QuotaName::Named("ana".to_owned())));
        assert_eq!((exact.match_type, exact._match.as_deref()), (MATCH_EXACT, Some("ana")));
        let default = component(("ip", &QuotaName::Default));
        assert_eq!((default.match_type, default._match), (MATCH_DEFAULT, None));
    }
}
