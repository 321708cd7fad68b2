//! Frames from and to a socket: one thread per connection, which reads, answers, and sends answers once nothing more waits to be read.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

use super::Keeper;
use super::answer;
use super::answers::{Answers, Ticket};
use super::fetch;
use super::output::Output;
use super::topics::Topics;

/// How much is read at once: about a batch.
const READ: usize = 64 * 1024;
/// How much is read before other memory is needed: many requests, which are stored from where they were read to.
const MEMORY: usize = 16 * READ;
/// The longest request that is believed.
const LONGEST: usize = 256 * 1024 * 1024;

/// Serves a client of a node until it leaves. With a `keeper`, its requests to produce are stored there before they are answered; it is read on meanwhile.
pub(super) fn serve(
    mut socket: TcpStream,
    node: usize,
    topics: &Topics,
    keeper: Option<&Keeper>,
) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let answers = Arc::new(Answers::new(socket.try_clone()?));
    let (mut input, mut output) = (BytesMut::with_capacity(MEMORY), Output::default());
    loop {
        while let Some(frame) = take_frame(&mut input)? {
            let key = answer::answer(frame.clone(), topics, &mut output)?;
            let keeper = keeper.filter(|_| key == ApiKey::Produce);
            let ticket = keeper.map(|_| Arc::new(Ticket::default()));
            answers.push(ticket.clone(), output.take());
            if let (Some(keeper), Some(ticket)) = (keeper, ticket) {
                keeper.store(node, &frame, &ticket, &answers);
            }
        }
        if let Some(keeper) = keeper {
            keeper.flush(node);
        }
        answers.settle();
        fetch::read_on(&mut output)?;
        match read(&mut socket, &mut input) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return Ok(()),
            Err(error) => return Err(error).context("reading failed"),
        }
    }
}

/// Reads what there is to the end of `input`, whose memory is used again and again.
pub(super) fn read(socket: &mut TcpStream, input: &mut BytesMut) -> std::io::Result<usize> {
    let length = input.len();
    if !input.try_reclaim(READ) {
        // Requests that are still being stored lie in it.
        let mut fresh = BytesMut::with_capacity(MEMORY.max(2 * length));
        fresh.put_slice(input);
        *input = fresh;
    }
    input.put_bytes(0, READ);
    let outcome = socket.read(&mut input[length..]);
    input.truncate(length + outcome.as_ref().copied().unwrap_or(0));
    outcome
}

/// The next frame, without its length, once it is whole.
pub(super) fn take_frame(input: &mut BytesMut) -> anyhow::Result<Option<Bytes>> {
    let Some(length) = input.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    anyhow::ensure!(length <= LONGEST, "a request of {length} bytes");
    if input.len() < 4 + length {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(length).freeze()))
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
