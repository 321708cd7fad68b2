//! The quotas in force, as they follow from the cluster's metadata.

use std::collections::HashMap;
use std::net::IpAddr;

use caudal_metadata::quotas::{ClientLimit, ClientQuotas, EntityName, QuotaKey, QuotaLevels};

use super::Client;

/// Those for users and client ids.
#[derive(Debug)]
pub(super) struct Limits {
    by_key: HashMap<QuotaKey, QuotaLevels>,
}

impl Limits {
    /// What is set; `None` when it is nothing. Changes of the cluster are the controller's to limit.
    pub(super) fn of(quotas: &ClientQuotas) -> Option<Self> {
        let keys = [QuotaKey::ProducerByteRate, QuotaKey::ConsumerByteRate, QuotaKey::RequestPercentage];
        let levels = keys.into_iter().filter_map(|key| QuotaLevels::of(quotas, key).map(|levels| (key, levels)));
        let by_key: HashMap<_, _> = levels.collect();
        (!by_key.is_empty()).then_some(Self { by_key })
    }

    pub(super) fn has(&self, key: QuotaKey) -> bool {
        self.by_key.contains_key(&key)
    }

    pub(super) fn find(&self, key: QuotaKey, client: Client<'_>) -> Option<ClientLimit> {
        self.by_key.get(&key)?.find(client.user, client.client_id)
    }
}

/// How many connections a second each address may make.
#[derive(Debug, Default)]
pub(crate) struct AddressRates {
    named: HashMap<IpAddr, f64>,
    default: Option<f64>,
}

impl AddressRates {
    /// What is set; `None` when it is nothing. A name that has no address now counts for nobody.
    pub(super) async fn of(quotas: &ClientQuotas) -> Option<Self> {
        let mut rates = None;
        for (entity, values) in quotas.iter() {
            let Some(name) = &entity.ip else { continue };
            let Some(bound) = values.get(&QuotaKey::ConnectionCreationRate).map(|value| value.get()) else { continue };
            let rates = rates.get_or_insert_with(Self::default);
            match name {
                EntityName::Default => rates.default = Some(bound),
                EntityName::Named(name) => match address_of(name).await {
                    Some(address) => {
                        rates.named.insert(address, bound);
                    }
                    None => tracing::warn!(%name, "the quota of an address is not kept: the name has no address"),
                },
            }
        }
        rates
    }

    pub(super) fn find(&self, address: IpAddr) -> Option<f64> {
        self.named.get(&address).copied().or(self.default)
    }
}

/// The address that a text is or names.
pub(crate) async fn address_of(name: &str) -> Option<IpAddr> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let mut found = tokio::net::lookup_host((name, 0)).await.ok()?;
    found.next().map(|address| address.ip().to_canonical())
}
