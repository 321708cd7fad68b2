//! Three nodes that replicate to each other and do nothing else: who leads a partition stores a request as [`super::stores`] does, sends it to
//! the two others over TCP, and they store it and say so.
//!
//! There is no consensus in it, no index, no state of producers, and a request is not looked into. What the clients reach against it is what a
//! system can reach on this machine that has a leader for each partition and keeps its log in RocksDB on each node, and what it spends is the least
//! that such a system spends: to wake a node for each message, and to wait for three disks.

use std::collections::VecDeque;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use caudal_storage::{ColumnFamily, LogWriter, WriteBatch};
use caudal_types::RaftGroupId;

use super::answers::{Answers, Due, Ticket};
use super::connection;
use super::stores;
use super::vectored;

/// How many requests are sent to a peer with one call at most: the system takes 1,024 pieces, and each request has two.
const TOGETHER: usize = 512;

/// The nodes, by their place among the ports.
#[derive(Debug)]
pub(super) struct Replicas<W>(Vec<Node<W>>);

/// What the leader of a partition has.
#[derive(Debug)]
struct Node<W> {
    writer: LogWriter,
    /// All that a node leads is one log.
    log: RaftGroupId,
    entries: AtomicU64,
    peers: Vec<Peer<W>>,
}

/// The way to another node; it ends with this.
#[derive(Debug)]
struct Peer<W> {
    outgoing: Mutex<Outgoing>,
    unacknowledged: Arc<Unacknowledged<W>>,
}

/// What was sent to another node and is not stored there yet, oldest first.
#[derive(Debug)]
struct Unacknowledged<W>(Mutex<VecDeque<Due<W>>>);

/// What leaves with the next call: each request behind its length.
#[derive(Debug)]
struct Outgoing {
    socket: TcpStream,
    requests: Vec<([u8; 4], Bytes)>,
}

impl<W: Write + Send + 'static> Replicas<W> {
    /// Makes `nodes` empty stores, and connects each node with each other one.
    pub(super) fn open(folder: &Path, nodes: usize) -> anyhow::Result<Self> {
        let writers = stores::writers(folder, nodes)?;
        let leads = |(number, writer): (usize, &LogWriter)| {
            let log = RaftGroupId(number as u64 + 1);
            let followers = writers.iter().enumerate().filter(|(other, _)| *other != number);
            let peers = followers.map(|(_, follower)| Peer::connect(follower.clone(), log));
            let peers = peers.collect::<io::Result<_>>().context("nodes cannot reach each other")?;
            Ok(Node { writer: writer.clone(), log, entries: AtomicU64::new(0), peers })
        };
        Ok(Self(writers.iter().enumerate().map(leads).collect::<anyhow::Result<_>>()?))
    }

    /// Hands a request to a node that leads; its answer leaves once a majority has synced it. The others are sent it by [`Self::flush`].
    pub(super) fn store(&self, node: usize, request: &Bytes, ticket: &Arc<Ticket>, answers: &Arc<Answers<W>>) {
        let Node { writer, log, entries, peers } = &self.0[node];
        let mut batch = WriteBatch::new();
        put(&mut batch, *log, entries.fetch_add(1, Ordering::Relaxed), request);
        let own = Due::new(ticket, answers);
        stores::append(writer, batch, move || Due::settle([own]));
        peers.iter().for_each(|peer| peer.push(request, Due::new(ticket, answers)));
    }

    /// Sends the others what a node has stored.
    pub(super) fn flush(&self, node: usize) {
        self.0[node].peers.iter().for_each(|peer| peer.flush());
    }
}

impl<W: Write + Send + 'static> Peer<W> {
    /// The way to a follower that stores what it is sent.
    fn connect(follower: LogWriter, log: RaftGroupId) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let socket = TcpStream::connect(listener.local_addr()?)?;
        let (theirs, _) = listener.accept()?;
        for end in [&socket, &theirs] {
            end.set_nodelay(true)?;
        }
        let outgoing = Mutex::new(Outgoing { socket: socket.try_clone()?, requests: Vec::new() });
        let unacknowledged = Arc::new(Unacknowledged(Mutex::new(VecDeque::new())));
        let heard = Arc::clone(&unacknowledged);
        start("follower", move || {
            if let Err(error) = follow(theirs, &follower, log) {
                eprintln!("a follower failed: {error:#}");
            }
        })?;
        start("acknowledgements", move || heard.hear(socket))?;
        Ok(Self { outgoing, unacknowledged })
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, request: &Bytes, due: Due<W>) {
        let mut outgoing = self.outgoing();
        outgoing.requests.push(((request.len() as u32).to_be_bytes(), request.clone()));
        self.unacknowledged.all().push_back(due);
        if outgoing.requests.len() >= TOGETHER {
            outgoing.send();
        }
    }

    fn flush(&self) {
        self.outgoing().send();
    }
}

impl<W> Drop for Peer<W> {
    fn drop(&mut self) {
        let outgoing = self.outgoing.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may be gone already.
        let _ = outgoing.socket.shutdown(Shutdown::Both);
    }
}

impl<W: Write> Unacknowledged<W> {
    fn all(&self) -> MutexGuard<'_, VecDeque<Due<W>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what the follower says it has stored, until it is gone.
    fn hear(&self, socket: TcpStream) {
        let mut reader = BufReader::new(socket);
        while let Ok(mut stored) = read_count(&mut reader) {
            while reader.buffer().len() >= size_of::<u32>() {
                stored += read_count(&mut reader).unwrap_or(0);
            }
            let synced: Vec<_> = self.all().drain(..stored).collect();
            Due::settle(synced);
        }
    }
}

impl Outgoing {
    fn send(&mut self) {
        let pieces = self.requests.iter().flat_map(|(length, request)| [IoSlice::new(length), IoSlice::new(request)]);
        // A follower that is gone has said why.
        let _ = vectored::write_all(&mut self.socket, &mut pieces.collect::<Vec<_>>());
        self.requests.clear();
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Stores what comes, all that was read together with one write, and says how many requests that were.
fn follow(mut socket: TcpStream, writer: &LogWriter, log: RaftGroupId) -> anyhow::Result<()> {
    let back = Arc::new(socket.try_clone()?);
    let mut input = BytesMut::new();
    let mut index = 0;
    while connection::read(&mut socket, &mut input)? > 0 {
        let (mut batch, before) = (WriteBatch::new(), index);
        while let Some(request) = connection::take_frame(&mut input)? {
            put(&mut batch, log, index, &request);
            index += 1;
        }
        let stored = (index - before) as u32;
        if stored > 0 {
            let back = Arc::clone(&back);
            // A leader that is gone hears nothing.
            stores::append(writer, batch, move || drop((&*back).write_all(&stored.to_be_bytes())));
        }
    }
    Ok(())
}

fn put(batch: &mut WriteBatch, log: RaftGroupId, index: u64, request: &Bytes) {
    let (key, head) = stores::around(log, index, request);
    batch.put_parts(ColumnFamily::Log, key, head, request.clone());
}

fn read_count(reader: &mut impl Read) -> io::Result<usize> {
    let mut count = [0; 4];
    reader.read_exact(&mut count)?;
    Ok(u32::from_be_bytes(count) as usize)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use caudal_storage::wait_until_closed;

    use super::super::answers::testing::assert_answered_in_order;
    use super::*;

    #[test]
    fn answers_come_in_order_once_two_nodes_have_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let replicas = Replicas::open(folder.path(), 3).unwrap();
        for node in 0..3 {
            assert_answered_in_order(|request, ticket, answers| {
                replicas.store(node, request, ticket, answers);
                replicas.flush(node);
            });
        }
        drop(replicas);
        wait_until_closed(Duration::from_secs(30));
    }
}
