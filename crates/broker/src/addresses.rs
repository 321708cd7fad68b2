//! How many connections are open from each address (`max.connections.per.ip`), and how fast new ones may come (`max.connection.creation.rate`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use caudal_types::limits::HELD_CONNECTIONS_MAX;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::ConnectionLimits;
use crate::quotas::address_of;

/// The addresses that connections come from.
#[derive(Debug)]
pub(crate) struct Addresses {
    most: Option<usize>,
    overrides: HashMap<IpAddr, usize>,
    creation_rate: Option<f64>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    held: Arc<Semaphore>,
}

/// A connection's place among those from its address.
#[derive(Debug)]
pub(crate) struct AddressSlot {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Addresses {
    /// Nothing is open yet. An override for a name that has no address counts for nobody.
    pub(crate) async fn new(limits: &ConnectionLimits) -> Self {
        let mut overrides = HashMap::new();
        for (name, most) in &limits.per_ip_overrides {
            match address_of(name).await {
                Some(address) => {
                    overrides.insert(address, *most);
                }
                None => tracing::warn!(%name, "max.connections.per.ip.overrides is not kept: the name has no address"),
            }
        }
        Self {
            most: limits.per_ip,
            overrides,
            creation_rate: limits.creation_rate.map(f64::from),
            open: Arc::default(),
            held: Arc::new(Semaphore::new(HELD_CONNECTIONS_MAX)),
        }
    }

    /// How many connections a second may come from anywhere.
    pub(crate) fn creation_rate(&self) -> Option<f64> {
        self.creation_rate
    }

    /// A place for a connection from an address.
    ///
    /// # Errors
    /// How many places there are, when all are taken.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<AddressSlot, usize> {
        let most = self.overrides.get(&address).copied().or(self.most).unwrap_or(usize::MAX);
        let mut open = self.open.lock();
        let count = open.get(&address).copied().unwrap_or(0);
        if count >= most {
            return Err(most);
        }
        open.insert(address, count + 1);
        Ok(AddressSlot { address, open: Arc::clone(&self.open) })
    }

    /// Leave to hold a connection that is refused open for a while; `None` when too many are held.
    pub(crate) fn hold(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.held).try_acquire_owned().ok()
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        match open.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_by_address_and_given_back() {
        let limits = ConnectionLimits {
            per_ip: Some(1),
            per_ip_overrides: vec![("10.0.0.2".to_owned(), 2), ("::ffff:10.0.0.3".to_owned(), 0)],
            creation_rate: None,
        };
        let addresses = Addresses::new(&limits).await;
        let admit = |text: &str| addresses.admit(text.parse().unwrap());
        let first = admit("10.0.0.1").unwrap();
        assert_eq!(admit("10.0.0.1").unwrap_err(), 1);
        let _others = (admit("10.0.0.2").unwrap(), admit("10.0.0.2").unwrap());
        assert_eq!((admit("10.0.0.2").unwrap_err(), admit("10.0.0.3").unwrap_err()), (2, 0));
        drop(first);
        drop(admit("10.0.0.1").unwrap());
        assert_eq!(addresses.open.lock().len(), 1);
        let unlimited = Addresses::new(&ConnectionLimits::default()).await;
        let many: Vec<_> = (0..100).map(|_| unlimited.admit([127, 0, 0, 1].into()).unwrap()).collect();
        assert_eq!(many.len(), 100);
    }

    #[tokio::test]
    async fn held_connections_are_bounded() {
        let addresses = Addresses::new(&ConnectionLimits::default()).await;
        let held: Vec<_> = std::iter::from_fn(|| addresses.hold()).collect();
        assert_eq!(held.len(), HELD_CONNECTIONS_MAX);
        drop(held);
        assert!(addresses.hold().is_some());
    }
}
