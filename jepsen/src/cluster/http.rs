//! What a node says of itself, over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Asks for a page: its status code and its body.
///
/// # Errors
/// When the node does not answer.
pub fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address.parse::<SocketAddr>()?, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status of HTTP")?;
    Ok((status, body.trim().to_owned()))
}

const WITHIN: Duration = Duration::from_secs(2);
