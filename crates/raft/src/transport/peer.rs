//! Another node: the lanes to it, and the pings that tell whether it lives.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::NodeId;
use caudal_types::net::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep, timeout};

use crate::PeerAddress;
use crate::transport::Inner;
use crate::transport::lane::{Answered, LaneHandle};
use crate::transport::liveness::LivenessTable;
use crate::transport::socket::{self, FrameReader, HANDSHAKE_WITHIN};
use crate::transport::stats::SentCounters;
use crate::wire::{Hello, Lane, MAGIC, PROTOCOL_VERSION, Request, Response, Welcome};

/// The first and the longest pause between attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Another node.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: PeerAddress,
    control: LaneHandle,
    append: LaneHandle,
    bulk: LaneHandle,
    /// Ends pauses between attempts to connect: the other node has just shown up.
    pub(crate) awake: [Notify; 3],
    /// The control connection has just been made.
    connected: Notify,
    /// Breaks all connections when it changes.
    reset: watch::Sender<u64>,
}

type Socket = (FrameReader<ReadHalf>, WriteHalf);

impl Peer {
    pub(crate) fn new(address: PeerAddress, sent: &Arc<SentCounters>) -> Self {
        let lane = || LaneHandle::new(sent.clone());
        let reset = watch::Sender::new(0);
        Self {
            address,
            control: lane(),
            append: lane(),
            bulk: lane(),
            awake: Default::default(),
            connected: Notify::new(),
            reset,
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.address.node
    }

    pub(crate) fn lane(&self, lane: Lane) -> &LaneHandle {
        match lane {
            Lane::Control => &self.control,
            Lane::Append => &self.append,
            Lane::Bulk => &self.bulk,
        }
    }

    /// Connects at once where there is no connection.
    pub(crate) fn wake(&self) {
        self.awake.iter().for_each(Notify::notify_one);
    }

    /// Breaks the connections: whoever waits for an answer learns that none will come.
    fn reset(&self) {
        self.reset.send_modify(|count| *count += 1);
    }
}

/// Begins to connect to a peer, and to ping it.
pub(crate) fn start(inner: &Arc<Inner>, peer: &Arc<Peer>) {
    let pulse = inner.pulse.handle();
    for (lane, runtime) in [(Lane::Control, pulse), (Lane::Append, &inner.workers), (Lane::Bulk, &inner.workers)] {
        let (shared, to) = (inner.clone(), peer.clone());
        let keeping = move || keep_connected(shared.clone(), to.clone(), lane);
        inner.tasks.supervise_on(runtime, "transport lane", keeping);
    }
    let (shared, to) = (inner.clone(), peer.clone());
    inner.tasks.supervise_on(pulse, "transport pings", move || ping(shared.clone(), to.clone()));
}

/// Connects, serves the connection until it breaks, and connects again.
async fn keep_connected(inner: Arc<Inner>, peer: Arc<Peer>, lane: Lane) {
    let mut pause = BACKOFF.0;
    let mut last_error = String::new();
    let mut reset = peer.reset.subscribe();
    loop {
        reset.borrow_and_update();
        match connect(&inner, &peer, lane).await {
            Ok((frames, socket)) => {
                pause = BACKOFF.0;
                last_error.clear();
                // The lane is connected as soon as it runs, which is before the pings' task gets to see this.
                if lane == Lane::Control {
                    peer.connected.notify_one();
                }
                tokio::select! {
                    ended = peer.lane(lane).run(frames, socket) => {
                        tracing::debug!(node = %peer.node(), ?lane, ?ended, "a connection ended");
                    }
                    _ = reset.changed() => {}
                }
                continue;
            }
            Err(error) => note_failure(&inner, &peer, lane, &error, &mut last_error),
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(BACKOFF.1),
            () = peer.awake[lane as usize].notified() => pause = BACKOFF.0,
        }
    }
}

/// Says once why a node cannot be reached. A refused connection means that its process is gone.
fn note_failure(inner: &Inner, peer: &Peer, lane: Lane, error: &io::Error, last: &mut String) {
    let text = error.to_string();
    if *last != text {
        tracing::info!(node = %peer.node(), address = peer.address.address, ?lane, error = text, "cannot connect");
        *last = text;
    }
    if lane == Lane::Control && error.kind() == io::ErrorKind::ConnectionRefused {
        inner.liveness.suspect(peer.node(), "its connection was refused");
    }
}

async fn connect(inner: &Inner, peer: &Peer, lane: Lane) -> io::Result<Socket> {
    let socket = timeout(HANDSHAKE_WITHIN, inner.config.network.connect(&peer.address.address)).await??;
    socket.set_nodelay()?;
    let (read, mut write) = socket.into_split();
    let mut frames = FrameReader::new(read);
    let hello = Hello {
        magic: MAGIC,
        version: PROTOCOL_VERSION,
        cluster_id: inner.config.cluster_id.clone(),
        node: inner.config.node_id.0,
        to: peer.node().0,
        incarnation: inner.incarnation,
        lane,
    };
    socket::send_first(&mut write, &hello).await?;
    match frames.first().await? {
        Welcome::Accepted { incarnation } => {
            frames.trust();
            if lane == Lane::Control {
                inner.liveness.met(peer.node(), incarnation);
            }
            Ok((frames, write))
        }
        Welcome::Refused { reason } => Err(io::Error::other(format!("the node refuses: {reason}"))),
    }
}

/// How long a peer has been silent, not counting times in which this process itself stood still: what it did not hear then says
/// nothing of the others.
#[derive(Debug)]
struct Silence {
    interval: Duration,
    patience: Duration,
    heard: Instant,
    awake: Instant,
}

impl Silence {
    fn new(interval: Duration, patience: Duration) -> Self {
        let now = Instant::now();
        Self { interval, patience, heard: now, awake: now }
    }

    /// To be called whenever the pings' task runs, which is every interval.
    fn woke(&mut self, now: Instant) {
        if now.duration_since(self.awake) > self.interval + self.patience / 2 {
            self.heard = now;
        }
        self.awake = now;
    }

    /// Whether the peer was silent for too long; if so, it gets as much time again.
    fn exhausted(&mut self, now: Instant) -> bool {
        let exhausted = now.duration_since(self.heard) > self.patience;
        if exhausted {
            self.heard = now;
        }
        exhausted
    }
}

/// Pings a peer for ever, one ping at a time.
async fn ping(inner: Arc<Inner>, peer: Arc<Peer>) {
    let interval = inner.config.ping_interval;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silence = Silence::new(interval, inner.config.suspect_after);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = peer.connected.notified() => {}
        }
        silence.woke(Instant::now());
        let mut pong = pin!(pong(&peer));
        let answer = loop {
            tokio::select! {
                answer = &mut pong => break answer,
                _ = ticks.tick() => {}
            }
            silence.woke(Instant::now());
            if silence.exhausted(Instant::now()) {
                inner.liveness.suspect(peer.node(), SILENT);
                peer.reset();
            }
        };
        silence.woke(Instant::now());
        if heard_of(&inner, &peer, answer) {
            silence.heard = Instant::now();
        } else if silence.exhausted(Instant::now()) {
            inner.liveness.suspect(peer.node(), SILENT);
        }
    }
}

const SILENT: &str = "it does not answer pings";

async fn pong(peer: &Peer) -> Option<Answered> {
    peer.lane(Lane::Control).request(&Request::Ping, Vec::new()).await.ok()?.await.ok()
}

/// Waits until the peer has answered a ping, or is suspect.
pub(crate) async fn probe(liveness: &LivenessTable, peer: Arc<Peer>) {
    let mut shown = liveness.shown();
    let answered = async {
        if pong(&peer).await.is_none() {
            // The connection broke: it is mended, or the peer becomes suspect.
            std::future::pending().await
        }
    };
    tokio::select! {
        () = answered => {}
        _ = shown.wait_for(|_| !liveness.is_alive(peer.node())) => {}
    }
}

/// Takes a pong down; whether it was one.
fn heard_of(inner: &Inner, peer: &Peer, answer: Option<Answered>) -> bool {
    match answer {
        Some((Response::Pong { fit: true, keen }, _)) => {
            inner.liveness.alive(peer.node(), keen);
            true
        }
        Some((Response::Pong { fit: false, .. }, _)) => {
            inner.liveness.suspect(peer.node(), "it says that its disk has failed or hangs");
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_still_oneself_is_not_the_others_silence() {
        let (interval, patience) = (Duration::from_millis(100), Duration::from_millis(600));
        let mut silence = Silence::new(interval, patience);
        let mut now = Instant::now();
        for _ in 0..7 {
            now += interval;
            silence.woke(now);
        }
        assert!(silence.exhausted(now + Duration::from_millis(1)), "seven intervals without a pong");
        now += Duration::from_secs(60);
        silence.woke(now);
        assert!(!silence.exhausted(now), "this process was stopped for a minute");
    }
}
