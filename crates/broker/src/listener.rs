//! Accepts connections, up to `max.connections`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal_types::Tasks;
use caudal_types::net::{self, Socket};
use socket2::{SockRef, TcpKeepalive};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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
    pub(crate) max_connections: usize,
    /// How many connections are open.
    pub(crate) open: Arc<watch::Sender<usize>>,
    /// The connections' tasks.
    pub(crate) tasks: Tasks,
}

impl Listener {
    /// Accepts until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut refused_log = RefusedLog::default();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) if *self.open.borrow() >= self.max_connections => {
                    drop(stream);
                    self.parts.limits.counters.connections_refused.add(1);
                    refused_log.refused(peer, self.max_connections);
                }
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn admit(&self, stream: Socket, peer: std::net::SocketAddr) {
        if let Err(error) = prepare(&stream) {
            // The client is gone already, or will show it at the first read.
            tracing::debug!(%peer, %error, "a socket option could not be set");
        }
        let slot = Slot::take(&self.open);
        let connection = Connection::new(stream, peer, self.parts.clone());
        self.tasks.spawn("connection", async move {
            connection.run().await;
            drop(slot);
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
    fn refused(&mut self, peer: std::net::SocketAddr, max: usize) {
        self.unspoken += 1;
        if self.last.is_some_and(|last| last.elapsed() < REFUSED_LOG_INTERVAL) {
            return;
        }
        tracing::warn!(%peer, refused = self.unspoken, max, "connection refused: max.connections is reached");
        self.last = Some(Instant::now());
        self.unspoken = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::connection::ReaderLimits;
    use crate::memory::ByteBudget;
    use crate::stats::Counters;
    use crate::table::ApiTable;

    /// The server has closed the connection, and sent nothing.
    async fn is_closed(stream: &mut TcpStream) -> bool {
        let end = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut [0; 8])).await;
        !matches!(end.expect("the server closes the connection"), Ok(1..))
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_until_others_leave() {
        let counters = Arc::new(Counters::new());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let socket = net::Listener::Tcp(socket);
        let (open, tasks) = (Arc::new(watch::Sender::new(0)), Tasks::new());
        let limits = ReaderLimits {
            max_frame: 1000,
            idle: Duration::from_secs(600),
            memory: ByteBudget::new(1000),
            counters: Arc::clone(&counters),
        };
        let table = Arc::new(ApiTable::new(Vec::new(), Arc::clone(&counters)));
        let parts = ConnectionParts { table, limits, stop: CancellationToken::new() };
        let listener = Listener { socket, parts, max_connections: 2, open: Arc::clone(&open), tasks: tasks.clone() };
        tasks.spawn("listener", listener.run(CancellationToken::new()));

        let connect = || async { TcpStream::connect(address).await.unwrap() };
        let (first, _second) = (connect().await, connect().await);
        let mut watched = open.subscribe();
        watched.wait_for(|open| *open == 2).await.unwrap();
        assert!(is_closed(&mut connect().await).await);
        assert_eq!(counters.connections_refused.get(), 1);

        drop(first);
        watched.wait_for(|open| *open == 1).await.unwrap();
        let _third = connect().await;
        watched.wait_for(|open| *open == 2).await.unwrap();
        assert!(is_closed(&mut connect().await).await);
        assert_eq!(counters.connections_refused.get(), 2);
        tasks.shutdown().await;
        assert_eq!(*open.borrow(), 0);
    }
}
