//! The door to the network, passed in so that a test can be the network.

use std::fmt::Debug;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

/// How many new connections may wait to be taken; the system may have a lower bound (`net.core.somaxconn`). When a node dies, all of its clients come to
/// another one at the same moment, and who finds no room there tries again only after a second.
const BACKLOG: u32 = 4096;

/// A future of a simulated network.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Where connections come from and go to.
#[derive(Clone, Debug, Default)]
pub enum Network {
    /// The system's.
    #[default]
    Tcp,
    /// A test's.
    Simulated(Arc<dyn SimulatedNetwork>),
}

/// A host's view of a network that a test makes.
pub trait SimulatedNetwork: Debug + Send + Sync + 'static {
    /// Listens on `address`, host and port.
    ///
    /// # Errors
    /// As of a socket.
    fn bind(&self, address: &str) -> io::Result<Box<dyn SimulatedListener>>;

    /// Connects to `address`, host and port.
    fn connect<'a>(&'a self, address: &'a str) -> Pending<'a, SimulatedSocket>;
}

/// Takes a simulated network's connections.
pub trait SimulatedListener: Debug + Send + Sync {
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;

    /// Waits for the next connection; cancel-safe.
    fn accept(&self) -> Pending<'_, SimulatedSocket>;
}

/// One way of a simulated connection, to read from.
pub trait SimulatedRead: AsyncRead + Debug + Send + Unpin {}

impl<T: AsyncRead + Debug + Send + Unpin> SimulatedRead for T {}

/// One way of a simulated connection, to write to.
pub trait SimulatedWrite: AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncWrite + Debug + Send + Unpin> SimulatedWrite for T {}

/// A simulated connection.
#[derive(Debug)]
pub struct SimulatedSocket {
    /// What the other side sends.
    pub read: Box<dyn SimulatedRead>,
    /// To the other side.
    pub write: Box<dyn SimulatedWrite>,
    /// The other side.
    pub peer: SocketAddr,
}

impl Network {
    /// Listens on `address`, host and port.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn bind(&self, address: &str) -> io::Result<Listener> {
        match self {
            Self::Tcp => listen(address).await.map(Listener::Tcp),
            Self::Simulated(network) => network.bind(address).map(Listener::Simulated),
        }
    }

    /// Connects to `address`, host and port.
    ///
    /// # Errors
    /// When nobody listens there, or nobody answers.
    pub async fn connect(&self, address: &str) -> io::Result<Socket> {
        match self {
            Self::Tcp => TcpStream::connect(address).await.map(Socket::Tcp),
            Self::Simulated(network) => network.connect(address).await.map(Socket::Simulated),
        }
    }

    /// Whether it is a test's, whose sockets belong to no runtime.
    pub fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }
}

/// Listens on the first of the addresses that `address` stands for and that is free.
async fn listen(address: &str) -> io::Result<TcpListener> {
    let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "the host has no address");
    for address in lookup_host(address).await? {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As of any server: connections of the last run that linger do not keep the port from it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections.
#[derive(Debug)]
pub enum Listener {
    /// The system's.
    Tcp(TcpListener),
    /// A test's.
    Simulated(Box<dyn SimulatedListener>),
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    /// Waits for the next connection; cancel-safe.
    ///
    /// # Errors
    /// When the system cannot take one.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(socket, peer)| (Socket::Tcp(socket), peer)),
            Self::Simulated(listener) => {
                let socket = listener.accept().await?;
                let peer = socket.peer;
                Ok((Socket::Simulated(socket), peer))
            }
        }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Socket {
    /// The system's.
    Tcp(TcpStream),
    /// A test's.
    Simulated(SimulatedSocket),
}

impl Socket {
    /// The other side.
    ///
    /// # Errors
    /// When it has gone already.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.peer_addr(),
            Self::Simulated(socket) => Ok(socket.peer),
        }
    }

    /// Sends what is written at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_nodelay(&self) -> io::Result<()> {
        self.tcp().map_or(Ok(()), |socket| socket.set_nodelay(true))
    }

    /// The system's socket, if it is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Simulated(_) => None,
        }
    }

    /// The two directions, to be used by themselves.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Tcp(socket) => {
                let (read, write) = socket.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Simulated(socket) => {
                (ReadHalf::Simulated(socket.read, socket.peer), WriteHalf::Simulated(socket.write))
            }
        }
    }

    /// Takes the socket out of its runtime; to be called there. [`Detached::attach`] puts it into another one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(socket) => socket.into_std().map(Detached::Tcp),
            Self::Simulated(socket) => Ok(Detached::Simulated(socket)),
        }
    }
}

/// A connection between two runtimes.
#[derive(Debug)]
pub enum Detached {
    /// The system's.
    Tcp(std::net::TcpStream),
    /// A test's.
    Simulated(SimulatedSocket),
}

impl Detached {
    /// Puts the socket into the runtime of the caller.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn attach(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(socket) => TcpStream::from_std(socket).map(Socket::Tcp),
            Self::Simulated(socket) => Ok(Socket::Simulated(socket)),
        }
    }
}

/// The direction of a connection that is read.
#[derive(Debug)]
pub enum ReadHalf {
    /// The system's.
    Tcp(OwnedReadHalf),
    /// A test's, with the address of the other side.
    Simulated(Box<dyn SimulatedRead>, SocketAddr),
}

impl ReadHalf {
    /// The whole connection again.
    ///
    /// # Errors
    /// When the halves are not of one connection.
    pub fn reunite(self, write: WriteHalf) -> io::Result<Socket> {
        match (self, write) {
            (Self::Tcp(read), WriteHalf::Tcp(write)) => read.reunite(write).map(Socket::Tcp).map_err(io::Error::other),
            (Self::Simulated(read, peer), WriteHalf::Simulated(write)) => {
                Ok(Socket::Simulated(SimulatedSocket { read, write, peer }))
            }
            _ => Err(io::Error::other("these are halves of different connections")),
        }
    }
}

/// The direction of a connection that is written.
#[derive(Debug)]
pub enum WriteHalf {
    /// The system's.
    Tcp(OwnedWriteHalf),
    /// A test's.
    Simulated(Box<dyn SimulatedWrite>),
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(read) => Pin::new(read).poll_read(cx, buf),
            Self::Simulated(read, _) => Pin::new(read).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Simulated(socket) => Pin::new(&mut socket.read).poll_read(cx, buf),
        }
    }
}

/// Hands every call on to the `Tcp` or the `Simulated` side of an enum.
macro_rules! write_through {
    ($kind:ty, $simulated:ident => $write:expr) => {
        impl AsyncWrite for $kind {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
                    Self::Simulated($simulated) => Pin::new($write).poll_write(cx, buf),
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
                    Self::Simulated($simulated) => Pin::new($write).poll_write_vectored(cx, slices),
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    Self::Tcp(tcp) => tcp.is_write_vectored(),
                    Self::Simulated(_) => false,
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
                    Self::Simulated($simulated) => Pin::new($write).poll_flush(cx),
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
                    Self::Simulated($simulated) => Pin::new($write).poll_shutdown(cx),
                }
            }
        }
    };
}

write_through!(WriteHalf, write => write);
write_through!(Socket, socket => &mut socket.write);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::try_join_all;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn many_clients_that_come_at_once_find_room() {
        let listener = Network::Tcp.bind("localhost:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let clients = (0..300).map(|_| Network::Tcp.connect(&address));
        // Nobody takes them meanwhile. Who finds no room comes again after a second.
        timeout(Duration::from_millis(900), try_join_all(clients)).await.unwrap().unwrap();
    }
}
