//! All quotas that are set.

use std::collections::BTreeMap;

use super::entity::QuotaEntity;
use super::key::{QuotaKey, QuotaValue};

/// The quotas of one entity.
pub type QuotaValues = BTreeMap<QuotaKey, QuotaValue>;

/// The quotas of all entities that have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientQuotas {
    entities: BTreeMap<QuotaEntity, QuotaValues>,
}

impl FromIterator<(QuotaEntity, QuotaValues)> for ClientQuotas {
    fn from_iter<I: IntoIterator<Item = (QuotaEntity, QuotaValues)>>(entities: I) -> Self {
        let mut quotas = Self::default();
        entities.into_iter().for_each(|(entity, values)| quotas.set(entity, values));
        quotas
    }
}

impl ClientQuotas {
    /// All entities with their quotas.
    pub fn iter(&self) -> impl Iterator<Item = (&QuotaEntity, &QuotaValues)> {
        self.entities.iter()
    }

    /// The quotas of one entity.
    pub fn of(&self, entity: &QuotaEntity) -> Option<&QuotaValues> {
        self.entities.get(entity)
    }

    /// Whether a quota of this kind is set for anyone.
    pub fn has(&self, key: QuotaKey) -> bool {
        self.entities.values().any(|values| values.contains_key(&key))
    }

    /// Sets all quotas of an entity; without any, it is not named further.
    pub(crate) fn set(&mut self, entity: QuotaEntity, values: QuotaValues) {
        if values.is_empty() {
            self.entities.remove(&entity);
        } else {
            self.entities.insert(entity, values);
        }
    }
}
