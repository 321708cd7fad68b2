//! Frames from a socket: a length, then so many bytes. Memory for a frame is admitted before its body is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::memory::{ByteBudget, BytesTaken};
use crate::stats::Counters;

/// How much is read ahead at once when nothing is known of the next frame.
const READ_AHEAD: usize = 8 << 10;

/// How long a client may stall in the middle of a frame while the frame's memory is taken.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

const PREFIX: usize = size_of::<i32>();

/// Why no more frames can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFrameError {
    #[error("a request of {got} bytes was announced; the most is {max} (socket.request.max.bytes)")]
    TooLong { got: i32, max: usize },
    #[error("a request of negative length {0} was announced")]
    Negative(i32),
    #[error("the client closed the connection in the middle of a request")]
    Truncated,
    #[error("the client sent nothing for {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ReadFrameError {
    /// It is the client's fault, and worth a line in the log.
    pub(crate) fn is_violation(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Negative(_))
    }
}

/// A frame without its length prefix, and the memory that it occupies.
#[derive(Debug)]
pub(crate) struct InFrame {
    pub(crate) bytes: Bytes,
    pub(crate) memory: BytesTaken,
}

/// What all readers share.
#[derive(Clone, Debug)]
pub(crate) struct ReaderLimits {
    /// `socket.request.max.bytes`.
    pub(crate) max_frame: usize,
    /// `connections.max.idle.ms`.
    pub(crate) idle: Duration,
    /// The memory for requests.
    pub(crate) memory: ByteBudget,
    pub(crate) counters: Arc<Counters>,
}

/// Reads frames. Its state outlives a dropped [`next`](Self::next), which so can be raced against other events.
#[derive(Debug)]
pub(crate) struct FrameReader {
    limits: ReaderLimits,
    buffer: BytesMut,
    /// The frame that is being read: its length, and its memory once admitted.
    current: Option<(usize, Option<BytesTaken>)>,
}

impl FrameReader {
    pub(crate) fn new(limits: ReaderLimits) -> Self {
        Self { limits, buffer: BytesMut::new(), current: None }
    }

    /// The next frame; `None` when the client has closed the connection between two.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<InFrame>, ReadFrameError> {
        if self.current.is_none() {
            if !self.fill(stream, PREFIX).await? {
                return Ok(None);
            }
            let announced = self.buffer.get_i32();
            self.current = Some((self.checked(announced)?, None));
        }
        let len = self.current.as_ref().map_or(0, |(len, _)| *len);
        if matches!(self.current, Some((_, None))) {
            let memory = self.limits.memory.take(len).await;
            self.current = Some((len, Some(memory)));
        }
        if !self.fill(stream, len).await? {
            return Err(ReadFrameError::Truncated);
        }
        let Some((_, Some(memory))) = self.current.take() else {
            return Err(ReadFrameError::Truncated);
        };
        self.limits.counters.bytes_in.add_len(PREFIX + len);
        Ok(Some(InFrame { bytes: self.buffer.split_to(len).freeze(), memory }))
    }

    /// The next frame, unless the client is `muted`: then only a frame that is on its way in is taken, since its memory is, and otherwise this returns only
    /// when the client has closed the connection. What it sends meanwhile stays in its socket, but for what is read ahead to see the end.
    pub(crate) async fn next_unless(
        &mut self,
        muted: bool,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<InFrame>, ReadFrameError> {
        if !muted || matches!(self.current, Some((_, Some(_)))) {
            return self.next(stream).await;
        }
        while self.buffer.len() < READ_AHEAD {
            self.buffer.reserve(READ_AHEAD - self.buffer.len());
            if stream.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() && self.current.is_none() {
                    return Ok(None);
                }
                // What came before the end is served when the client is heard again.
                break;
            }
        }
        std::future::pending().await
    }

    fn checked(&self, announced: i32) -> Result<usize, ReadFrameError> {
        let len = usize::try_from(announced).map_err(|_| ReadFrameError::Negative(announced))?;
        if len > self.limits.max_frame {
            return Err(ReadFrameError::TooLong { got: announced, max: self.limits.max_frame });
        }
        Ok(len)
    }

    /// Reads until the buffer holds `wanted` bytes; `false` when the client has closed the connection and the buffer is empty.
    async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin), wanted: usize) -> Result<bool, ReadFrameError> {
        while self.buffer.len() < wanted {
            // A large frame gets a buffer of exactly its size, so that what is kept of it keeps nothing else.
            let missing = wanted - self.buffer.len();
            if missing > self.buffer.capacity() - self.buffer.len() || self.buffer.capacity() == self.buffer.len() {
                self.buffer.reserve(missing.max(READ_AHEAD.saturating_sub(self.buffer.len())));
            }
            let patience = self.patience();
            let read = timeout(patience, stream.read_buf(&mut self.buffer)).await;
            if read.map_err(|_elapsed| ReadFrameError::Idle(patience))?? == 0 {
                return if self.buffer.is_empty() && self.current.is_none() {
                    Ok(false)
                } else {
                    Err(ReadFrameError::Truncated)
                };
            }
        }
        Ok(true)
    }

    fn patience(&self) -> Duration {
        if self.current.is_some() { self.limits.idle.min(STALL_TIMEOUT) } else { self.limits.idle }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn reader(max_frame: usize, memory: usize) -> FrameReader {
        FrameReader::new(ReaderLimits {
            max_frame,
            idle: Duration::from_secs(600),
            memory: ByteBudget::new(memory),
            counters: Arc::new(Counters::new()),
        })
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        [&i32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    #[tokio::test]
    async fn frames_come_whole_however_the_bytes_arrive() {
        let bodies = [vec![1; 5], vec![], vec![2; 20_000], vec![3; 1]];
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        for step in [1, 3, 7, 4096, 100_000] {
            let (mut client, mut server) = tokio::io::duplex(1 << 20);
            let mut reader = reader(1 << 20, 1 << 20);
            let mut got = Vec::new();
            for chunk in stream.chunks(step) {
                client.write_all(chunk).await.unwrap();
                // Dropping an unfinished read loses nothing.
                while let Some(frame) = reader.next(&mut server).now_or_never() {
                    got.push(frame.unwrap().unwrap().bytes.to_vec());
                }
            }
            drop(client);
            assert!(reader.next(&mut server).await.unwrap().is_none());
            assert_eq!(got, bodies);
        }
    }

    #[tokio::test]
    async fn lengths_out_of_bounds_are_refused_before_anything_is_read() {
        for (announced, negative) in [(1001_i32, false), (i32::MAX, false), (-1, true), (i32::MIN, true)] {
            let mut server = &announced.to_be_bytes()[..];
            let error = reader(1000, 1000).next(&mut server).await.unwrap_err();
            assert!(error.is_violation());
            assert_eq!(matches!(error, ReadFrameError::Negative(_)), negative);
        }
    }

    #[tokio::test]
    async fn an_end_within_a_frame_is_told_from_an_end_between_frames() {
        for cut in [1, 3, 4, 6] {
            let bytes = framed(b"abcd");
            let error = reader(100, 100).next(&mut &bytes[..cut]).await.unwrap_err();
            assert!(matches!(error, ReadFrameError::Truncated), "cut at {cut}");
        }
        assert!(reader(100, 100).next(&mut &[][..]).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_frame_waits_for_memory() {
        let mut reader = reader(100, 10);
        let held = reader.limits.memory.take(8).await;
        let bytes = framed(b"abcd");
        let mut server = &bytes[..];
        assert!(reader.next(&mut server).now_or_never().is_none());
        drop(held);
        let frame = reader.next(&mut server).await.unwrap().unwrap();
        assert_eq!((&frame.bytes[..], frame.memory.len()), (&b"abcd"[..], 4));
    }

    #[tokio::test]
    async fn silence_ends_the_connection() {
        let (_client, mut server) = tokio::io::duplex(64);
        let mut reader = reader(100, 100);
        reader.limits.idle = Duration::from_millis(20);
        let error = reader.next(&mut server).await.unwrap_err();
        assert!(matches!(error, ReadFrameError::Idle(idle) if idle == reader.limits.idle));
    }
}
