//! Accepts connections, up to `max.connections`, and no more from one address and no faster than allowed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal_types::Tasks;
use caudal_types::net::{self, Socket};
use socket2::{SockRef, TcpKeepalive};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::addresses::{AddressSlot, Addresses};
use crate::connection::{Connection, ConnectionParts};

/// How long to wait after a failed accept, which mostly means that the process has no file descriptors left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often the log speaks of refused connections, at most.
const REFUSED_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// After how much silence the system probes whether a client is still there.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// Accepts connections and runs each as a task.
pub(crate) struct Listener {
    pub(crate) socket: net::Listener,
    pub(crate) parts: ConnectionParts,
    pub(crate) addresses: Arc<Addresses>,
    /// How many connections are open.
    pub(crate) open: Arc<watch::Sender<usize>>,
    /// The connections' tasks.
    pub(crate) tasks: Tasks,
}

impl Listener {
    /// Accepts until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut refused_log = RefusedLog::default();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) if *self.open.borrow() >= self.addresses.max() => {
                    drop(stream);
                    self.parts.limits.counters.connections_refused.add(1);
                    refused_log.refused(peer, "max.connections", self.addresses.max());
                }
                Ok((stream, peer)) => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.wait_for_turn() => {}
                    }
                    self.consider(stream, peer, &mut refused_log);
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Waits when connections come faster than `max.connection.creation.rate`; those behind wait with this one, as in Kafka.
    async fn wait_for_turn(&self) {
        let Some(rate) = self.addresses.creation_rate() else { return };
        if let Some(wait) = self.parts.quotas.connect_from_anywhere(rate) {
            self.parts.limits.counters.connections_delayed.add(1);
            tokio::time::sleep(wait).await;
        }
    }

    /// Lets a connection in, unless there are too many from its address, or they come too fast.
    fn consider(&self, stream: Socket, peer: SocketAddr, refused_log: &mut RefusedLog) {
        let address = peer.ip().to_canonical();
        if let Some(held_for) = self.parts.quotas.connect(address) {
            if self.addresses.creation_rate().is_some() {
                self.parts.quotas.not_connected();
            }
            return self.hold(stream, held_for);
        }
        match self.addresses.admit(address) {
            Ok(slot) => self.admit(stream, peer, slot),
            Err(most) => {
                drop(stream);
                self.parts.limits.counters.connections_refused_per_ip.add(1);
                refused_log.refused(peer, "max.connections.per.ip", most);
            }
        }
    }

    /// Holds a connection that came too soon before it is closed (KIP-612): its client would come again at once.
    fn hold(&self, stream: Socket, held_for: Duration) {
        if let Some(leave) = self.addresses.hold() {
            self.tasks.spawn("held-connection", async move {
                tokio::time::sleep(held_for).await;
                drop((stream, leave));
            });
        }
    }

    fn admit(&self, stream: Socket, peer: SocketAddr, address_slot: AddressSlot) {
        if let Err(error) = prepare(&stream) {
            // The client is gone already, or will show it at the first read.
            tracing::debug!(%peer, %error, "a socket option could not be set");
        }
        let slot = Slot::take(&self.open);
        let connection = Connection::new(stream, peer, self.parts.clone());
        self.tasks.spawn("connection", async move {
            connection.run().await;
            drop((slot, address_slot));
        });
    }
}

fn prepare(stream: &Socket) -> std::io::Result<()> {
    let Some(stream) = stream.tcp() else { return Ok(()) };
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// A connection's place among `max.connections`.
struct Slot(Arc<watch::Sender<usize>>);

impl Slot {
    fn take(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// Speaks of refused connections, but not of each one.
#[derive(Default)]
struct RefusedLog {
    last: Option<Instant>,
    unspoken: u64,
}

impl RefusedLog {
    fn refused(&mut self, peer: SocketAddr, key: &'static str, max: usize) {
        self.unspoken += 1;
        if self.last.is_some_and(|last| last.elapsed() < REFUSED_LOG_INTERVAL) {
            return;
        }
        tracing::warn!(%peer, refused = self.unspoken, max, "connection refused: {key} is reached");
        self.last = Some(Instant::now());
        self.unspoken = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use caudal_metadata::ClusterImage;
    use caudal_metadata::quotas::QuotaWindows;
    use caudal_types::clock::ManualClock;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::ConnectionLimits;
    use crate::connection::ReaderLimits;
    use crate::memory::ByteBudget;
    use crate::quotas::Quotas;
    use crate::stats::Counters;
    use crate::table::ApiTable;

    /// The server has closed the connection, and sent nothing.
    async fn is_closed(stream: &mut TcpStream) -> bool {
        let end = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut [0; 8])).await;
        !matches!(end.expect("the server closes the connection"), Ok(1..))
    }

    struct Bench {
        address: SocketAddr,
        counters: Arc<Counters>,
        quotas: Arc<Quotas>,
        clock: ManualClock,
        open: Arc<watch::Sender<usize>>,
        tasks: Tasks,
    }

    impl Bench {
        async fn start(max_connections: usize, connections: ConnectionLimits) -> Self {
            let counters = Arc::new(Counters::new());
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let (open, tasks, clock) = (Arc::new(watch::Sender::new(0)), Tasks::new(), ManualClock::default());
            let limits = ReaderLimits {
                max_frame: 1000,
                idle: Duration::from_secs(600),
                memory: ByteBudget::new(1000),
                counters: Arc::clone(&counters),
            };
            let windows = QuotaWindows::default();
            let quotas = Arc::new(Quotas::new(windows, Arc::new(clock.clone()), Arc::clone(&counters)));
            let table = Arc::new(ApiTable::new(Vec::new(), Arc::clone(&counters)));
            let parts = ConnectionParts { table, limits, quotas: Arc::clone(&quotas), stop: CancellationToken::new() };
            let listener = Listener {
                socket: net::Listener::Tcp(socket),
                parts,
                addresses: Arc::new(Addresses::new(max_connections, &connections).await),
                open: Arc::clone(&open),
                tasks: tasks.clone(),
            };
            tasks.spawn("listener", Arc::new(listener).run(CancellationToken::new()));
            Self { address, counters, quotas, clock, open, tasks }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        async fn until_open(&self, count: usize) {
            let mut watched = self.open.subscribe();
            let waited = tokio::time::timeout(Duration::from_secs(30), watched.wait_for(|open| *open == count));
            waited.await.expect("in time").unwrap();
        }
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_until_others_leave() {
        let bench = Bench::start(2, ConnectionLimits::default()).await;
        let (first, _second) = (bench.connect().await, bench.connect().await);
        bench.until_open(2).await;
        assert!(is_closed(&mut bench.connect().await).await);
        assert_eq!(bench.counters.connections_refused.get(), 1);

        drop(first);
        bench.until_open(1).await;
        let _third = bench.connect().await;
        bench.until_open(2).await;
        assert!(is_closed(&mut bench.connect().await).await);
        assert_eq!(bench.counters.connections_refused.get(), 2);
        bench.tasks.shutdown().await;
        assert_eq!(*bench.open.borrow(), 0);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_of_an_address_are_closed() {
        let limits = ConnectionLimits { per_ip: Some(1), ..ConnectionLimits::default() };
        let bench = Bench::start(100, limits).await;
        let first = bench.connect().await;
        bench.until_open(1).await;
        assert!(is_closed(&mut bench.connect().await).await);
        assert_eq!(bench.counters.connections_refused_per_ip.get(), 1);
        drop(first);
        bench.until_open(0).await;
        let _second = bench.connect().await;
        bench.until_open(1).await;
        bench.tasks.shutdown().await;
    }

    #[tokio::test]
    async fn connections_that_come_too_fast_are_held_and_closed() {
        let bench = Bench::start(100, ConnectionLimits::default()).await;
        let image = ClusterImage { client_quotas: crate::quotas::tests::address_rate(1.0), ..ClusterImage::default() };
        let (images, followed) = watch::channel(Arc::new(image));
        let localhost: IpAddr = [127, 0, 0, 1].into();
        bench.tasks.spawn("quotas", Arc::clone(&bench.quotas).follow(followed));
        // Ten at once are a rate of one over the ten windows that have passed.
        let mut taken = 0;
        while bench.quotas.connect(localhost).is_none() {
            taken += 1;
            bench.clock.advance(i64::from(taken > 10) * 500);
            tokio::task::yield_now().await;
        }
        let mut refused = bench.connect().await;
        assert!(is_closed(&mut refused).await);
        assert_eq!(*bench.open.borrow(), 0);
        bench.clock.advance(60_000);
        let _later = bench.connect().await;
        bench.until_open(1).await;
        drop(images);
        bench.tasks.shutdown().await;
    }

    #[tokio::test]
    async fn connections_from_anywhere_wait_for_their_turn() {
        let limits = ConnectionLimits { creation_rate: Some(10), ..ConnectionLimits::default() };
        let bench = Bench::start(1000, limits).await;
        let mut open = Vec::new();
        for _ in 0..101 {
            open.push(bench.connect().await);
        }
        bench.until_open(101).await;
        assert_eq!(bench.counters.connections_delayed.get(), 1);
        bench.tasks.shutdown().await;
    }
}
