//! How many connections may be open (`max.connections`) and from each address (`max.connections.per.ip`), and how fast new ones may come
//! (`max.connection.creation.rate`). All of it can be changed while the node runs; connections that are open stay.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use caudal_metadata::ClusterImage;
use caudal_metadata::config_defs::{DynamicNodeConfigs, address_counts};
use caudal_types::NodeId;
use caudal_types::limits::HELD_CONNECTIONS_MAX;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config::ConnectionLimits;
use crate::quotas::address_of;

/// The addresses that connections come from.
#[derive(Debug)]
pub(crate) struct Addresses {
    started_with: Wished,
    limits: ArcSwap<Limits>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    held: Arc<Semaphore>,
}

/// The limits as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wished {
    max: usize,
    connections: ConnectionLimits,
}

/// The limits as connections are measured by them.
#[derive(Debug)]
struct Limits {
    max: usize,
    most: Option<usize>,
    overrides: HashMap<IpAddr, usize>,
    creation_rate: Option<f64>,
}

impl Wished {
    /// The same with what was `set` while the node runs.
    fn over(&self, set: DynamicNodeConfigs<'_>) -> Self {
        // Kafka's word for "no limit" is the largest number.
        let unlimited = i32::MAX.unsigned_abs();
        let own = &self.connections;
        let per_ip = set.number::<usize>("max.connections.per.ip");
        let overrides = set.get("max.connections.per.ip.overrides").and_then(|value| address_counts(value).ok());
        let rate = set.number::<u32>("max.connection.creation.rate");
        Self {
            max: set.number("max.connections").unwrap_or(self.max),
            connections: ConnectionLimits {
                per_ip: per_ip.map_or(own.per_ip, |most| Some(most).filter(|most| *most < unlimited as usize)),
                per_ip_overrides: overrides.unwrap_or_else(|| own.per_ip_overrides.clone()),
                creation_rate: rate.map_or(own.creation_rate, |rate| Some(rate).filter(|rate| *rate < unlimited)),
            },
        }
    }
}

impl Limits {
    /// An override for a name that has no address counts for nobody.
    async fn of(wished: &Wished) -> Self {
        let mut overrides = HashMap::new();
        for (name, most) in &wished.connections.per_ip_overrides {
            match address_of(name).await {
                Some(address) => {
                    overrides.insert(address, *most);
                }
                None => tracing::warn!(%name, "max.connections.per.ip.overrides is not kept: the name has no address"),
            }
        }
        Self {
            max: wished.max,
            most: wished.connections.per_ip,
            overrides,
            creation_rate: wished.connections.creation_rate.map(f64::from),
        }
    }
}

/// A connection's place among those from its address.
#[derive(Debug)]
pub(crate) struct AddressSlot {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Addresses {
    /// Nothing is open yet.
    pub(crate) async fn new(max: usize, limits: &ConnectionLimits) -> Self {
        let started_with = Wished { max, connections: limits.clone() };
        Self {
            limits: ArcSwap::from_pointee(Limits::of(&started_with).await),
            started_with,
            open: Arc::default(),
            held: Arc::new(Semaphore::new(HELD_CONNECTIONS_MAX)),
        }
    }

    /// Goes by what is set for this node, or for all, from now on.
    pub(crate) async fn follow(self: Arc<Self>, node: NodeId, mut images: watch::Receiver<Arc<ClusterImage>>) {
        // Nothing is known at first: when this is started anew, other limits are in force than at the start of the node.
        let mut known: Option<Wished> = None;
        loop {
            let wished = {
                let image = images.borrow_and_update();
                self.started_with.over(DynamicNodeConfigs::of(&image.resources, node))
            };
            if known.as_ref() != Some(&wished) {
                self.limits.store(Arc::new(Limits::of(&wished).await));
                if known.is_some() || wished != self.started_with {
                    tracing::info!(limits = ?wished, "connections are limited otherwise");
                }
                known = Some(wished);
            }
            if images.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many connections may be open.
    pub(crate) fn max(&self) -> usize {
        self.limits.load().max
    }

    /// How many connections a second may come from anywhere.
    pub(crate) fn creation_rate(&self) -> Option<f64> {
        self.limits.load().creation_rate
    }

    /// A place for a connection from an address.
    ///
    /// # Errors
    /// How many places there are, when all are taken.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<AddressSlot, usize> {
        let limits = self.limits.load();
        let most = limits.overrides.get(&address).copied().or(limits.most).unwrap_or(usize::MAX);
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
        let addresses = Addresses::new(9, &limits).await;
        let admit = |text: &str| addresses.admit(text.parse().unwrap());
        let first = admit("10.0.0.1").unwrap();
        assert_eq!(admit("10.0.0.1").unwrap_err(), 1);
        let _others = (admit("10.0.0.2").unwrap(), admit("10.0.0.2").unwrap());
        assert_eq!((admit("10.0.0.2").unwrap_err(), admit("10.0.0.3").unwrap_err()), (2, 0));
        drop(first);
        drop(admit("10.0.0.1").unwrap());
        assert_eq!(addresses.open.lock().len(), 1);
        let unlimited = Addresses::new(9, &ConnectionLimits::default()).await;
        let many: Vec<_> = (0..100).map(|_| unlimited.admit([127, 0, 0, 1].into()).unwrap()).collect();
        assert_eq!(many.len(), 100);
    }

    #[tokio::test]
    async fn held_connections_are_bounded() {
        let addresses = Addresses::new(9, &ConnectionLimits::default()).await;
        let held: Vec<_> = std::iter::from_fn(|| addresses.hold()).collect();
        assert_eq!(held.len(), HELD_CONNECTIONS_MAX);
        drop(held);
        assert!(addresses.hold().is_some());
    }

    #[tokio::test]
    async fn who_follows_anew_finds_what_was_taken_back_meanwhile() {
        let addresses = Arc::new(Addresses::new(9, &ConnectionLimits::default()).await);
        let mut with_limit = ClusterImage::default();
        let set = [("max.connections".to_owned(), "7".to_owned())].into();
        with_limit.resources.nodes = Arc::new([(NodeId(1), set)].into());
        for (image, max) in [(with_limit, 7), (ClusterImage::default(), 9)] {
            // Without a source of images it looks once, and ends.
            let (_, followed) = watch::channel(Arc::new(image));
            Arc::clone(&addresses).follow(NodeId(1), followed).await;
            assert_eq!(addresses.max(), max);
        }
    }

    #[tokio::test]
    async fn limits_change_while_connections_are_open() {
        let image = |set: &[(&str, &str)]| {
            let mut image = ClusterImage::default();
            let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            image.resources.nodes = Arc::new([(NodeId(1), set.collect())].into());
            Arc::new(image)
        };
        let started_with = ConnectionLimits { per_ip: Some(5), ..ConnectionLimits::default() };
        let addresses = Arc::new(Addresses::new(9, &started_with).await);
        let (images, followed) = watch::channel(image(&[]));
        let tasks = caudal_types::Tasks::new();
        tasks.spawn("limits", Arc::clone(&addresses).follow(NodeId(1), followed));
        let until_max = async |max: usize| {
            let reached = async {
                while addresses.max() != max {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(30), reached).await.expect("in time");
        };
        let admit = || addresses.admit([10, 0, 0, 1].into());
        let _open = admit().unwrap();
        images.send_replace(image(&[
            ("max.connections", "7"),
            ("max.connections.per.ip", "2147483647"),
            ("max.connections.per.ip.overrides", "10.0.0.1:1"),
            ("max.connection.creation.rate", "3"),
        ]));
        until_max(7).await;
        assert_eq!((addresses.creation_rate(), admit().unwrap_err()), (Some(3.0), 1));
        assert!(addresses.limits.load().most.is_none());
        images.send_replace(image(&[]));
        until_max(9).await;
        assert_eq!((addresses.creation_rate(), addresses.limits.load().most), (None, Some(5)));
        drop(images);
        tasks.shutdown().await;
    }
}
