//! A broker that acknowledges at once and throws records away. What a client reaches against it, no broker can exceed on this machine.
//!
//! It is a measuring instrument for the clients and nothing else: it speaks just enough of Kafka's protocol for a producer to be content,
//! keeps of each record only that there was one, and forgets it all when it ends. Who reads is given the
//! first batch of a partition again and again. It takes as little of the machine as it can, so that what is
//! measured is the client.
//!
//! With `--copies` it keeps the promise that Caudal makes, and nothing else: it answers a request to produce once two of three copies of it are
//! synced to the disk. Without replication, an index, or a second write: no system with three synced copies on this disk can exceed that.
//! With `--stores` the copies are in RocksDB, as a node keeps them.
//!
//! # Layout
//! - `topics`: how many records each partition was sent, and its first batch
//! - `answer`: a request's body, and what is answered
//! - `reading`: what is answered to consumers
//! - `answers`: when the answers leave, and in which order
//! - `copies`: the three copies on the disk, in plain files
//! - `stores`: the three copies in RocksDB
//! - `connection`: frames from and to a socket

mod answer;
mod answers;
mod connection;
mod copies;
mod reading;
mod stores;
mod topics;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use bytes::Bytes;

use answers::{Answers, Ticket};
use copies::Copies;
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
}

impl Args {
    fn keeper(&self) -> anyhow::Result<Option<Keeper>> {
        match (&self.copies, &self.stores) {
            (Some(folder), _) => Ok(Some(Keeper::Copies(Copies::open(folder)?))),
            (None, Some(folder)) => Ok(Some(Keeper::Stores(Stores::open(folder)?))),
            (None, None) => Ok(None),
        }
    }
}

/// What keeps requests to produce.
#[derive(Debug)]
enum Keeper {
    Copies(Copies<TcpStream>),
    Stores(Stores),
}

impl Keeper {
    /// Stores a request; its answer leaves once a majority of its copies is synced.
    fn store(&self, request: &Bytes, ticket: &Arc<Ticket>, answers: &Arc<Answers<TcpStream>>) {
        match self {
            Self::Copies(copies) => copies.store(request, ticket, answers),
            Self::Stores(stores) => stores.store(request, ticket, answers),
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
/// When a port is taken, or the copies cannot be kept.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let ports: Vec<_> = (args.port..).take(usize::from(args.nodes)).collect();
    let floor = Arc::new(Floor { topics: Topics::new(ports.clone()), keeper: args.keeper()? });
    for port in ports {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("cannot listen on port {port}"))?;
        let floor = Arc::clone(&floor);
        thread::Builder::new().name(format!("listener-{port}")).spawn(move || listen(&listener, &floor))?;
    }
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn listen(listener: &TcpListener, floor: &Arc<Floor>) {
    for socket in listener.incoming().filter_map(Result::ok) {
        let floor = Arc::clone(floor);
        let serve = move || {
            if let Err(error) = connection::serve(socket, &floor.topics, floor.keeper.as_ref()) {
                eprintln!("a connection ended: {error:#}");
            }
        };
        if let Err(error) = thread::Builder::new().name("connection".to_owned()).spawn(serve) {
            eprintln!("no thread for a connection: {error}");
        }
    }
}
