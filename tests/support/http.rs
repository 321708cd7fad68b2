//! Requests to services on this machine that speak HTTP: Kafka Connect's workers in JSON, nodes' metrics in text.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long a service may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Sends one request on a connection of its own: the status and the body, which is `Null` where there is none or where it is not JSON.
///
/// # Errors
/// When the service does not answer in time, or not with HTTP.
pub fn call(address: &str, method: &str, path: &str, body: Option<&Value>) -> io::Result<(u16, Value)> {
    let (status, body) = exchange(address, method, path, body)?;
    Ok((status, serde_json::from_str(&body).unwrap_or_default()))
}

/// Asks for a text on a connection of its own: the status and the body.
///
/// # Errors
/// When the service does not answer in time, or not with HTTP.
pub fn text(address: &str, path: &str) -> io::Result<(u16, String)> {
    exchange(address, "GET", path, None)
}

fn exchange(address: &str, method: &str, path: &str, body: Option<&Value>) -> io::Result<(u16, String)> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    // Of version 1.0, so that the answer comes in one piece and ends with the connection.
    let head = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {answer:?}")))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let parts = |status, body: &str| Some((status, body.to_owned()));
        assert_eq!(parse("HTTP/1.1 200 OK\r\nserver: x\r\n\r\n[1]"), parts(200, "[1]"));
        assert_eq!(parse("HTTP/1.1 404 Not Found\r\n\r\n<html>"), parts(404, "<html>"));
        assert_eq!(parse("HTTP/1.1 204 No Content\r\n\r\n"), parts(204, ""));
        assert_eq!(parse(""), None);
    }
}
