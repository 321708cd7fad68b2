//! A broker that acknowledges at once and throws records away. What a client reaches against it, no broker can exceed on this machine.
//!
//! It is a measuring instrument for the clients and nothing else: it speaks just enough of Kafka's protocol for a producer to be content,
//! keeps of each record only that there was one, and forgets it all when it ends. Who reads is given the
//! first batch of a partition again and again. It takes as little of the machine as it can, so that what is
//! measured is the client.
//!
//! With `--copies` it keeps the promise that Caudal makes, and nothing else: it answers a request to produce once two of three copies of it are
//! synced to the disk. Without replication, an index, or a second write: no system with three synced copies on this disk can exceed that.
//! With `--stores` the copies are in RocksDB, as a node keeps them. With `--replicas` they get there as a node's do: over a connection from who leads.
//!
//! With `--readable` it keeps what is produced only once and syncs nothing, but gives consumers the real batches: with `--copies` from plain files,
//! with `--stores` from RocksDB. No system that keeps its log there, and reads it to memory, can exceed what is read so.
//!
//! # Layout
//! - `topics`: how many records each partition was sent, and its first batch
//! - `batches`: how long record batches are, and how many records they have
//! - `answer`: a request's body, and what is answered
//! - `fetch`: records for consumers
//! - `reading`: what else is answered to consumers
//! - `kept`: what is produced, so that it can be read
//! - `output`: an answer that is being made
//! - `answers`: when the answers leave, and in which order
//! - `vectored`: several pieces with one call
//! - `copies`: the three copies on the disk, in plain files
//! - `stores`: the three copies in RocksDB
//! - `replicas`: the same on nodes that replicate to each other
//! - `connection`: frames from and to a socket

mod answer;
mod answers;
mod batches;
mod connection;
mod copies;
mod fetch;
mod kept;
mod output;
mod reading;
mod replicas;
mod stores;
mod topics;
mod vectored;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};
use bytes::Bytes;

use answers::{Answers, Ticket};
use copies::Copies;
use kept::Kept;
use replicas::Replicas;
use stores::Stores;
use topics::Topics;

/// Of the command `floor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first node's port; the others have the next ones
    #[arg(long)]
    port: u16,
    /// How many nodes it pretends to be
    #[arg(long, default_value_t = 3)]
    nodes: u16,
    /// Acknowledge once two of three copies in this folder are synced, instead of at once
    #[arg(long)]
    copies: Option<PathBuf>,
    /// The same, with the copies in three RocksDB databases in this folder
    #[arg(long, conflicts_with = "copies")]
    stores: Option<PathBuf>,
    /// The same, with each request sent from the node that got it to two others, each of which has a database in this folder
    #[arg(long, conflicts_with_all = ["copies", "stores", "readable"])]
    replicas: Option<PathBuf>,
    /// Keep what is produced once and unsynced instead, and give it to consumers: from plain files with --copies, from RocksDB with --stores
    #[arg(long)]
    readable: bool,
}

impl Args {
    fn keeper(&self) -> anyhow::Result<Option<Keeper>> {
        match (&self.copies, &self.stores, &self.replicas) {
            _ if self.readable => Ok(None),
            (Some(folder), ..) => Ok(Some(Keeper::Copies(Copies::open(folder)?))),
            (_, Some(folder), _) => Ok(Some(Keeper::Stores(Stores::open(folder)?))),
            (.., Some(folder)) => Ok(Some(Keeper::Replicas(Replicas::open(folder, usize::from(self.nodes))?))),
            (None, None, None) => Ok(None),
        }
    }

    fn kept(&self) -> anyhow::Result<Option<Kept>> {
        match (&self.copies, &self.stores) {
            _ if !self.readable => Ok(None),
            (Some(folder), _) => Ok(Some(Kept::in_files(folder)?)),
            (None, Some(folder)) => Ok(Some(Kept::in_stores(folder, usize::from(self.nodes))?)),
            (None, None) => {
                bail!("--readable needs a folder, and how to keep records there: give --copies or --stores, too")
            }
        }
    }
}

/// What keeps requests to produce.
#[derive(Debug)]
enum Keeper {
    Copies(Copies<TcpStream>),
    Stores(Stores),
    Replicas(Replicas<TcpStream>),
}

impl Keeper {
    /// Stores a request that a node got; its answer leaves once a majority of its copies is synced, which may need a [`Self::flush`].
    fn store(&self, node: usize, request: &Bytes, ticket: &Arc<Ticket>, answers: &Arc<Answers<TcpStream>>) {
        match self {
            Self::Copies(copies) => copies.store(request, ticket, answers),
            Self::Stores(stores) => stores.store(request, ticket, answers),
            Self::Replicas(replicas) => replicas.store(node, request, ticket, answers),
        }
    }

    /// No more requests are there for now: what was stored is sent to who else has to have it.
    fn flush(&self, node: usize) {
        if let Self::Replicas(replicas) = self {
            replicas.flush(node);
        }
    }
}

/// What all connections share.
struct Floor {
    topics: Topics,
    keeper: Option<Keeper>,
}

/// Listens, says `ready`, and serves until the standard input ends.
///
/// # Errors
/// When a port is taken, or what is produced cannot be kept, or `--readable` comes without a folder.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let ports: Vec<_> = (args.port..).take(usize::from(args.nodes)).collect();
    let floor = Arc::new(Floor { topics: Topics::new(ports.clone()).keeping(args.kept()?), keeper: args.keeper()? });
    for (node, port) in ports.into_iter().enumerate() {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("cannot listen on port {port}"))?;
        let floor = Arc::clone(&floor);
        thread::Builder::new().name(format!("listener-{port}")).spawn(move || listen(&listener, node, &floor))?;
    }
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn listen(listener: &TcpListener, node: usize, floor: &Arc<Floor>) {
    for socket in listener.incoming().filter_map(Result::ok) {
        let floor = Arc::clone(floor);
        let serve = move || {
            if let Err(error) = connection::serve(socket, node, &floor.topics, floor.keeper.as_ref()) {
                eprintln!("a connection ended: {error:#}");
            }
        };
        if let Err(error) = thread::Builder::new().name("connection".to_owned()).spawn(serve) {
            eprintln!("no thread for a connection: {error}");
        }
    }
}
