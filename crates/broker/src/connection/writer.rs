//! Frames to a socket, written vectored: the pieces of many answers in one system call, none of them copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::memory::BytesTaken;
use crate::reply::OutFrame;
use crate::stats::Counters;

/// How long a client may take to accept the next bytes of an answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How many pieces one system call takes.
const SLICES: usize = 256;

/// Writes frames.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    pieces: VecDeque<Bytes>,
    held: Vec<BytesTaken>,
    patience: Duration,
    counters: Arc<Counters>,
}

impl FrameWriter {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { pieces: VecDeque::new(), held: Vec::new(), patience: STALL_TIMEOUT, counters }
    }

    /// Puts a frame behind those that wait.
    pub(crate) fn push(&mut self, frame: OutFrame) {
        self.pieces.extend(frame.pieces.into_iter().filter(|piece| !piece.is_empty()));
        self.held.extend(frame.held);
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// When the socket is broken, or the client does not take the bytes.
    pub(crate) async fn flush(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while !self.pieces.is_empty() {
            let written = timeout(self.patience, self.write_some(stream)).await.map_err(|_elapsed| {
                io::Error::new(io::ErrorKind::TimedOut, format!("the client took no bytes for {:?}", self.patience))
            })??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.counters.bytes_out.add_len(written);
            self.advance(written);
        }
        self.held.clear();
        stream.flush().await
    }

    async fn write_some(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        stream.write_vectored(&slices[..count]).await
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.pieces.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_however_little_the_socket_takes() {
        let (mut server, mut client) = tokio::io::duplex(3);
        let counters = Arc::new(Counters::new());
        let mut writer = FrameWriter::new(Arc::clone(&counters));
        let mut expected = Vec::new();
        for i in 0..200_u8 {
            let piece = vec![i; usize::from(i % 5)];
            expected.extend_from_slice(&piece);
            writer.push(OutFrame { pieces: vec![Bytes::from(piece)], held: None });
        }
        let (written, read) = tokio::join!(
            async {
                let result = writer.flush(&mut server).await;
                drop(server);
                result
            },
            async {
                let mut got = Vec::new();
                client.read_to_end(&mut got).await.map(|_| got)
            }
        );
        written.unwrap();
        assert_eq!(read.unwrap(), expected);
        assert_eq!(counters.bytes_out.get(), u64::try_from(expected.len()).unwrap());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up() {
        let (mut server, _client) = tokio::io::duplex(3);
        let mut writer = FrameWriter::new(Arc::new(Counters::new()));
        writer.patience = Duration::from_millis(20);
        writer.push(Bytes::from_static(b"more than three bytes").into());
        assert_eq!(writer.flush(&mut server).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
