//! Connections that do nothing: each asks for the versions, as any client does first, and is then left alone.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

/// ApiVersions, version 0, correlation id 1, client id "idle", with its length before it.
const API_VERSIONS: &[u8] = &[0, 0, 0, 14, 0, 18, 0, 0, 0, 0, 0, 1, 0, 4, b'i', b'd', b'l', b'e'];
const TIMEOUT: Duration = Duration::from_secs(30);

/// Of the command `idle`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `bootstrap.servers`; the connections are spread over all of them
    #[arg(long)]
    bootstrap: String,
    /// How many
    #[arg(long)]
    connections: usize,
}

/// Opens the connections, says `ready`, holds them until the standard input ends, and tells how many are still there then.
///
/// # Errors
/// When a connection is refused, or not answered.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let servers: Vec<_> = args.bootstrap.split(',').collect();
    let open = (0..args.connections).map(|n| open(servers[n % servers.len()]));
    let mut connections = open.collect::<anyhow::Result<Vec<_>>>()?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    let left = connections.iter_mut().filter_map(|connection| ask(connection).ok()).count();
    println!("{}", json!({"connections": left}));
    Ok(())
}

fn open(server: &str) -> anyhow::Result<TcpStream> {
    let mut connection = TcpStream::connect(server).with_context(|| format!("cannot connect to {server}"))?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    ask(&mut connection).with_context(|| format!("{server} does not answer"))?;
    Ok(connection)
}

fn ask(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(API_VERSIONS)?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    connection.read_exact(&mut answer)?;
    match answer.get(..4) {
        Some([0, 0, 0, 1]) => Ok(()),
        _ => Err(io::Error::other("the answer is to another question")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_as_long_as_it_says() {
        assert_eq!(u32::from_be_bytes(*API_VERSIONS.first_chunk().unwrap()) as usize, API_VERSIONS.len() - 4);
    }
}
