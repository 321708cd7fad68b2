//! The simulated network: hosts, links that are slow, lossy or cut, and connections that behave as TCP's.
//!
//! # Layout
//! - [`pipe`]: one direction of a connection

pub mod pipe;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use caudal_types::net::{Pending, SimulatedListener, SimulatedNetwork, SimulatedSocket};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use self::pipe::{Pipe, Reader, Writer};
use crate::trace::{Event, Trace};

/// A machine on the network; its address is 10.0.0.N.
pub type Host = u8;

/// What becomes of a host's connections when its process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The system closes them, and refuses new ones.
    Closed,
    /// The machine is gone: nobody answers, until it is there again and knows of no connection.
    Gone,
}

/// The network; clones are the same.
#[derive(Clone)]
pub struct Net(Arc<Shared>);

struct Shared {
    trace: Trace,
    chance: Mutex<StdRng>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<Host, HostState>,
    listeners: BTreeMap<SocketAddr, mpsc::UnboundedSender<SimulatedSocket>>,
    /// Whatever is not as it should be, by direction.
    links: BTreeMap<(Host, Host), Link>,
    pipes: Vec<Weak<Pipe>>,
    connections: u64,
}

/// A host; it is up unless it is said otherwise.
#[derive(Default)]
struct HostState {
    /// Counts its processes.
    process: u64,
    down: Option<Silence>,
}

/// One direction between two hosts.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    cut: bool,
    /// Added to the time that everything takes.
    delay: Duration,
    /// How many of a thousand packets are lost, and sent once more.
    loss: u32,
}

/// How long a packet takes, at least and at most.
const LATENCY_MICROS: std::ops::Range<u64> = 100..1500;
/// After how long a lost packet is sent once more, at least and at most.
const RETRANSMISSION_MS: std::ops::Range<u64> = 200..800;
/// How often somebody who waits for an answer to his first packet sends another.
const SYN_AGAIN: Duration = Duration::from_secs(1);

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

impl Net {
    /// A network in good order.
    pub fn new(chance: StdRng, trace: Trace) -> Self {
        Self(Arc::new(Shared { trace, chance: Mutex::new(chance), state: Mutex::default() }))
    }

    /// The network as a new process on `host` sees it.
    pub fn attach(&self, host: Host) -> Arc<Attached> {
        let mut state = self.0.state.lock();
        let known = state.hosts.entry(host).or_default();
        Arc::new(Attached { net: self.clone(), host, process: known.process })
    }

    /// The process on `host` is gone.
    pub fn take_down(&self, host: Host, silence: Silence) {
        let mut state = self.0.state.lock();
        let known = state.hosts.entry(host).or_default();
        known.process += 1;
        known.down = Some(silence);
        state.listeners.retain(|address, _| host_of(address) != host);
        for pipe in state.pipes_of(|from, to| from == host || to == host) {
            match silence {
                Silence::Closed => pipe.reset(),
                Silence::Gone => pipe.orphan(),
            }
        }
    }

    /// The machine of `host` is up again: it answers to what it does not know with a reset.
    pub fn bring_up(&self, host: Host) {
        let mut state = self.0.state.lock();
        state.hosts.entry(host).or_default().down = None;
        state.pipes_of(|from, to| from == host || to == host).iter().for_each(|pipe| pipe.reset_orphan());
    }

    /// Nothing gets from `from` to `to` any more.
    pub fn cut(&self, from: Host, to: Host) {
        self.0.state.lock().links.entry((from, to)).or_default().cut = true;
    }

    /// From `from` to `to` everything takes so much longer.
    pub fn slow_down(&self, from: Host, to: Host, by: Duration) {
        self.0.state.lock().links.entry((from, to)).or_default().delay = by;
    }

    /// From `from` to `to` so many of a thousand packets are lost.
    pub fn lose(&self, from: Host, to: Host, of_thousand: u32) {
        self.0.state.lock().links.entry((from, to)).or_default().loss = of_thousand;
    }

    /// Breaks all connections between two hosts.
    pub fn reset(&self, one: Host, other: Host) {
        let pipes = self.0.state.lock().pipes_of(|from, to| (from, to) == (one, other) || (from, to) == (other, one));
        pipes.iter().for_each(|pipe| pipe.reset());
    }

    /// Mends the direction between two hosts; what was held up arrives.
    pub fn mend(&self, from: Host, to: Host) {
        let pipes = {
            let mut state = self.0.state.lock();
            state.links.remove(&(from, to));
            state.pipes_of(|a, b| (a, b) == (from, to))
        };
        for pipe in pipes {
            pipe.mended(Instant::now() + self.millis(RETRANSMISSION_MS));
        }
    }

    /// Mends everything.
    pub fn mend_all(&self) {
        let broken: Vec<_> = self.0.state.lock().links.keys().copied().collect();
        broken.into_iter().for_each(|(from, to)| self.mend(from, to));
    }

    pub(crate) fn is_cut(&self, from: Host, to: Host) -> bool {
        self.0.state.lock().links.get(&(from, to)).is_some_and(|link| link.cut)
    }

    /// When a packet that sets out now arrives.
    pub(crate) fn arrival(&self, from: Host, to: Host) -> Instant {
        let link = self.0.state.lock().links.get(&(from, to)).copied().unwrap_or_default();
        let mut chance = self.0.chance.lock();
        let mut takes = Duration::from_micros(chance.random_range(LATENCY_MICROS)) + link.delay;
        if link.loss > 0 && chance.random_range(0..1000) < link.loss {
            takes += Duration::from_millis(chance.random_range(RETRANSMISSION_MS));
        }
        Instant::now() + takes
    }

    pub(crate) fn note_sent(&self, place: u64, bytes: &[u8]) {
        self.0.trace.add(Event::Sent, place, bytes);
    }

    fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.0.chance.lock().random_range(range))
    }

    fn is_current(&self, host: Host, process: u64) -> bool {
        let state = self.0.state.lock();
        state.hosts.get(&host).is_some_and(|known| known.process == process)
    }

    /// A connection between two hosts: the ends of the one that asked and of the one that listens.
    fn connection(&self, near: Host, far: &SocketAddr) -> (SimulatedSocket, SimulatedSocket) {
        let mut state = self.0.state.lock();
        state.connections += 1;
        let number = state.connections;
        let there = Pipe::new(self, near, host_of(far), number * 2);
        let back = Pipe::new(self, host_of(far), near, number * 2 + 1);
        if state.pipes.len() > 256 {
            state.pipes.retain(|pipe| pipe.strong_count() > 0);
        }
        state.pipes.extend([Arc::downgrade(&there), Arc::downgrade(&back)]);
        let port = u16::try_from(number % 30_000).unwrap_or_default() + 32_768;
        let end = |read: &Arc<Pipe>, write: &Arc<Pipe>, peer| SimulatedSocket {
            read: Box::new(Reader::new(Arc::clone(read))),
            write: Box::new(Writer::new(Arc::clone(write))),
            peer,
        };
        (end(&back, &there, *far), end(&there, &back, address(near, port)))
    }
}

impl State {
    fn pipes_of(&self, wanted: impl Fn(Host, Host) -> bool) -> Vec<Arc<Pipe>> {
        let there = self.pipes.iter().filter_map(Weak::upgrade);
        there.filter(|pipe| wanted(pipe.from, pipe.to)).collect()
    }
}

/// The network as a process on a host sees it, for as long as the process is there.
#[derive(Debug)]
pub struct Attached {
    net: Net,
    host: Host,
    process: u64,
}

impl SimulatedNetwork for Attached {
    fn bind(&self, address: &str) -> io::Result<Box<dyn SimulatedListener>> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        if !self.net.is_current(self.host, self.process) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let (sender, arrivals) = mpsc::unbounded_channel();
        self.net.0.state.lock().listeners.insert(address, sender);
        Ok(Box::new(Listening { address, arrivals: tokio::sync::Mutex::new(arrivals) }))
    }

    fn connect<'a>(&'a self, address: &'a str) -> Pending<'a, SimulatedSocket> {
        Box::pin(async move {
            let far: SocketAddr = address.parse().map_err(io::Error::other)?;
            let (net, near, there) = (&self.net, self.host, host_of(&far));
            loop {
                sleep(net.arrival(near, there).duration_since(Instant::now()) * 2).await;
                if !net.is_current(near, self.process) {
                    return std::future::pending().await;
                }
                let gone = net.0.state.lock().hosts.get(&there).and_then(|host| host.down) == Some(Silence::Gone);
                if !gone && !net.is_cut(near, there) && !net.is_cut(there, near) {
                    break;
                }
                sleep(SYN_AGAIN).await;
            }
            let listener = net.0.state.lock().listeners.get(&far).cloned();
            let listener = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = net.connection(near, &far);
            listener.send(theirs).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(ours)
        })
    }
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<SimulatedSocket>>,
}

impl SimulatedListener for Listening {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> Pending<'_, SimulatedSocket> {
        Box::pin(async {
            match self.arrivals.lock().await.recv().await {
                Some(socket) => Ok(socket),
                // The host went down: nobody comes any more.
                None => std::future::pending().await,
            }
        })
    }
}

/// Where a port of a host is.
pub fn address(host: Host, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), port))
}

fn host_of(address: &SocketAddr) -> Host {
    match address {
        SocketAddr::V4(address) => address.ip().octets()[3],
        SocketAddr::V6(_) => 0,
    }
}
