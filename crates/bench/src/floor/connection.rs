//! Frames from and to a socket: one thread per connection, which reads, answers, and writes once nothing more waits to be read.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::Context;
use bytes::{Buf, BufMut, BytesMut};

use super::answer;
use super::topics::Topics;

/// How much is read at once: about a batch.
const READ: usize = 64 * 1024;
/// The longest request that is believed.
const LONGEST: usize = 256 * 1024 * 1024;

/// Serves a client until it leaves.
pub(super) fn serve(mut socket: TcpStream, topics: &Topics) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let (mut input, mut output) = (BytesMut::with_capacity(16 * READ), BytesMut::new());
    loop {
        while let Some(frame) = take_frame(&mut input)? {
            answer::answer(frame, topics, &mut output)?;
        }
        if !output.is_empty() {
            socket.write_all(&output)?;
            output.clear();
        }
        match read(&mut socket, &mut input) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return Ok(()),
            Err(error) => return Err(error).context("reading failed"),
        }
    }
}

/// Reads what there is to the end of `input`, whose memory is used again and again.
fn read(socket: &mut TcpStream, input: &mut BytesMut) -> std::io::Result<usize> {
    let length = input.len();
    input.reserve(READ);
    input.put_bytes(0, READ);
    let outcome = socket.read(&mut input[length..]);
    input.truncate(length + outcome.as_ref().copied().unwrap_or(0));
    outcome
}

fn take_frame(input: &mut BytesMut) -> anyhow::Result<Option<BytesMut>> {
    let Some(length) = input.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    anyhow::ensure!(length <= LONGEST, "a request of {length} bytes");
    if input.len() < 4 + length {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        let mut input = BytesMut::new();
        for (byte, whole) in [(0, false), (0, false), (0, false), (2, false), (7, false), (8, true)] {
            input.put_u8(byte);
            assert_eq!(take_frame(&mut input).unwrap().is_some(), whole);
        }
        assert!(input.is_empty());
        input.put_slice(&[255; 4]);
        assert!(take_frame(&mut input).is_err());
    }
}
