//! Frames on a socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use caudal_types::limits;
use caudal_types::net::{ReadHalf, Socket, WriteHalf};
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use crate::transport::stats::SentCounters;
use crate::wire::{self, InFrame, OutFrame, Response, WireError};

/// The slices handed to the socket in one call.
const SLICES: usize = 64;
/// The longest first frame of a connection, so that a stranger cannot make us allocate.
const HELLO_BYTES_MAX: usize = 64 << 10;
/// How long the other side may take for its part of the handshake.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(2);
/// Messages that may wait to be written.
pub(crate) const QUEUE_FRAMES: usize = 1024;

/// A message on its way to the socket.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) frame: OutFrame,
    /// Its share of the bytes that may wait.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Where the answer to one message goes.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) out: mpsc::Sender<Queued>,
    pub(crate) sent: Arc<SentCounters>,
}

impl Answer {
    /// Sends the answer; nobody hears it when the connection is gone.
    pub(crate) async fn send(&self, response: &Response, payload: Vec<Bytes>) {
        self.put(response, payload, false).await;
    }

    /// Sends an answer that is not the last one to this message.
    pub(crate) async fn send_part(&self, response: &Response) {
        self.put(response, Vec::new(), true).await;
    }

    async fn put(&self, response: &Response, payload: Vec<Bytes>, more: bool) {
        let frame = OutFrame::new(self.id, more, response, payload).or_else(|error| {
            let reason = error.to_string();
            OutFrame::new(self.id, false, &Response::Failed { reason }, Vec::new())
        });
        match frame {
            Ok(frame) => {
                self.sent.answer(response);
                drop(self.out.send(Queued { frame, room: None }).await);
            }
            Err(error) => tracing::error!(%error, "an answer could not be encoded"),
        }
    }
}

/// Received frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R>(FramedRead<R, LengthDelimitedCodec>);

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from a socket on which nobody has said hello yet.
    pub(crate) fn new(socket: R) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(HELLO_BYTES_MAX).new_codec();
        Self(FramedRead::new(socket, codec))
    }

    /// Allows long frames from now on.
    pub(crate) fn trust(&mut self) {
        self.0.decoder_mut().set_max_frame_length(limits::TRANSPORT_FRAME_BYTES);
    }

    /// The next frame; `None` when the other side has closed the connection. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<io::Result<InFrame>> {
        let frame = self.0.next().await?;
        Some(frame.and_then(|frame| InFrame::split(frame.freeze()).map_err(invalid)))
    }

    /// The first frame's header, within the time for a handshake.
    pub(crate) async fn first<T: bincode::Decode<()>>(&mut self) -> io::Result<T> {
        let frame = tokio::time::timeout(HANDSHAKE_WITHIN, self.next()).await?;
        let frame = frame.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
        wire::decode(&frame.header).map_err(invalid)
    }
}

impl FrameReader<ReadHalf> {
    /// The socket again, for whoever reads on; refused when the other side has sent more than it was asked for.
    pub(crate) fn reunite(self, write: WriteHalf) -> io::Result<Socket> {
        if !self.0.read_buffer().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is something behind the first frame"));
        }
        self.0.into_inner().reunite(write)
    }
}

/// Sends the first frame.
pub(crate) async fn send_first(
    socket: &mut (impl AsyncWrite + Unpin),
    header: &impl bincode::Encode,
) -> io::Result<()> {
    let frame = OutFrame::new(0, false, header, Vec::new()).map_err(invalid)?;
    socket.write_all(&frame.head).await
}

pub(crate) fn invalid(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Writes queued frames, many with one call, payloads uncopied, until the queue is closed or the socket breaks.
pub(crate) async fn write_frames(
    mut queue: mpsc::Receiver<Queued>,
    socket: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut slices = VecDeque::new();
    let mut room = Vec::new();
    while let Some(mut next) = queue.recv().await {
        loop {
            slices.push_back(next.frame.head);
            slices.extend(next.frame.payload.into_iter().filter(|slice| !slice.is_empty()));
            room.extend(next.room);
            if slices.len() >= SLICES {
                break;
            }
            match queue.try_recv() {
                Ok(more) => next = more,
                Err(_) => break,
            }
        }
        write_slices(socket, &mut slices).await?;
        room.clear();
    }
    Ok(())
}

async fn write_slices(socket: &mut (impl AsyncWrite + Unpin), slices: &mut VecDeque<Bytes>) -> io::Result<()> {
    while !slices.is_empty() {
        let parts: Vec<_> = slices.iter().take(SLICES).map(|slice| IoSlice::new(slice)).collect();
        let mut written = socket.write_vectored(&parts).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(first) = slices.front_mut().filter(|_| written > 0) {
            let part = first.len().min(written);
            first.advance(part);
            written -= part;
            if first.is_empty() {
                slices.pop_front();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::wire::Request;

    #[tokio::test]
    async fn many_frames_arrive_whole_through_a_narrow_socket() {
        let (mut near, far) = tokio::io::duplex(7);
        let (tx, rx) = mpsc::channel(QUEUE_FRAMES);
        for id in 0..200u64 {
            let payload = vec![Bytes::from(vec![1; 10]), Bytes::new(), Bytes::from(id.to_be_bytes().to_vec())];
            let frame = OutFrame::new(id, false, &Request::Ping, payload).unwrap();
            tx.send(Queued { frame, room: None }).await.unwrap();
        }
        drop(tx);
        let writing = async {
            write_frames(rx, &mut near).await.unwrap();
            drop(near);
        };
        let reading = async {
            let mut frames = FrameReader::new(far);
            let mut expected = 0u64;
            while let Some(frame) = frames.next().await {
                let frame = frame.unwrap();
                assert_eq!(frame.id, expected);
                assert_eq!(frame.payload[10..], expected.to_be_bytes());
                expected += 1;
            }
            assert_eq!(expected, 200);
        };
        tokio::join!(writing, reading);
    }

    #[tokio::test]
    async fn a_stranger_cannot_announce_a_long_frame() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        assert!(FrameReader::new(far).next().await.unwrap().is_err());
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
    }
}
