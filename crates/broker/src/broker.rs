//! The handle: start, statistics, shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::Tasks;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::{BrokerConfig, BrokerParts};
use crate::connection::{ConnectionParts, ReaderLimits};
use crate::handlers;
use crate::listener::Listener;
use crate::memory::ByteBudget;
use crate::quotas::Quotas;
use crate::stats::{BrokerStats, Counters};
use crate::table::ApiTable;
use crate::telemetry::Telemetry;

/// The listener with its connections; a cheap handle.
#[derive(Clone, Debug)]
pub struct Broker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local_addr: SocketAddr,
    parts: BrokerParts,
    counters: Arc<Counters>,
    telemetry: Arc<Telemetry>,
    open: Arc<watch::Sender<usize>>,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Broker {
    /// Listens for clients.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(config: BrokerConfig, parts: BrokerParts) -> std::io::Result<Self> {
        let socket = config.network.bind(&config.listen).await?;
        let local_addr = socket.local_addr()?;
        let (counters, tasks, stop) = (Arc::new(Counters::new()), Tasks::new(), CancellationToken::new());
        let open = Arc::new(watch::Sender::new(0));
        let quotas = Quotas::new(config.quota_windows, Arc::clone(&parts.clock), Arc::clone(&counters));
        let quotas = Arc::new(quotas);
        let telemetry = Arc::new(Telemetry::new(config.telemetry_max_bytes, Arc::clone(&parts.clock)));
        let serving = handlers::all(&config, &parts, &counters, &quotas, &telemetry, &stop);
        let connections = ConnectionParts {
            table: Arc::new(ApiTable::new(serving, Arc::clone(&counters))),
            limits: ReaderLimits {
                max_frame: config.request_max_bytes,
                idle: config.idle_timeout,
                memory: ByteBudget::new(config.request_memory_bytes),
                counters: Arc::clone(&counters),
            },
            quotas: Arc::clone(&quotas),
            stop: stop.clone(),
        };
        let addresses = Arc::new(Addresses::new(config.max_connections, &config.connections).await);
        let listener = Arc::new(Listener {
            socket,
            parts: connections,
            addresses: Arc::clone(&addresses),
            open: Arc::clone(&open),
            tasks: tasks.clone(),
        });
        let (node_id, images, stopped) = (config.node_id, parts.controller.images(), stop.clone());
        let quota_images = images.clone();
        tasks.supervise("connection limits", move || Arc::clone(&addresses).follow(node_id, images.clone()));
        tasks.supervise("quotas", move || Arc::clone(&quotas).follow(quota_images.clone()));
        tasks.supervise("listener", move || Arc::clone(&listener).run(stopped.clone()));
        Ok(Self { inner: Arc::new(Inner { local_addr, parts, counters, telemetry, open, stop, tasks }) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// Counters for metrics.
    pub fn stats(&self) -> BrokerStats {
        let image = self.inner.parts.controller.image();
        self.inner.counters.topics.retain(|name| image.topic(name).is_some());
        let connections = u64::try_from(*self.inner.open.borrow()).unwrap_or(u64::MAX);
        BrokerStats { telemetry: self.inner.telemetry.stats(), ..self.inner.counters.snapshot(connections) }
    }

    /// Takes no more connections and requests, answers what is under way (at most `within`), and closes.
    pub async fn shutdown(&self, within: Duration) {
        self.inner.stop.cancel();
        let mut open = self.inner.open.subscribe();
        if tokio::time::timeout(within, open.wait_for(|open| *open == 0)).await.is_err() {
            tracing::warn!(connections = *self.inner.open.borrow(), "closing connections with requests under way");
        }
        self.inner.tasks.shutdown().await;
    }
}
