//! A broker that acknowledges at once and throws records away. What a client reaches against it, no broker can exceed on this machine.
//!
//! It is a measuring instrument for the clients and nothing else: it speaks just enough of Kafka's protocol for a producer to be content,
//! keeps of each record only that there was one, and forgets it all when it ends. It takes as little of the machine as it can, so that what is
//! measured is the client.
//!
//! # Layout
//! - `topics`: how many records each partition was sent
//! - `answer`: a request's body, and what is answered
//! - `connection`: frames from and to a socket

mod answer;
mod connection;
mod topics;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use anyhow::Context;

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
}

/// Listens, says `ready`, and serves until the standard input ends.
///
/// # Errors
/// When a port is taken.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let ports: Vec<_> = (args.port..).take(usize::from(args.nodes)).collect();
    let topics = Arc::new(Topics::new(ports.clone()));
    for port in ports {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("cannot listen on port {port}"))?;
        let topics = Arc::clone(&topics);
        thread::Builder::new().name(format!("listener-{port}")).spawn(move || listen(&listener, &topics))?;
    }
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn listen(listener: &TcpListener, topics: &Arc<Topics>) {
    for socket in listener.incoming().filter_map(Result::ok) {
        let topics = Arc::clone(topics);
        let serve = move || {
            if let Err(error) = connection::serve(socket, &topics) {
                eprintln!("a connection ended: {error:#}");
            }
        };
        if let Err(error) = thread::Builder::new().name("connection".to_owned()).spawn(serve) {
            eprintln!("no thread for a connection: {error}");
        }
    }
}
