//! One direction of a connection: what is written on one side arrives on the other in order, later, or not at all.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Host, Net};

/// The most bytes under way in one direction; a writer waits above.
const WINDOW: usize = 1 << 20;

/// One direction.
pub struct Pipe {
    pub(super) from: Host,
    pub(super) to: Host,
    net: Net,
    place: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// Nothing that is sent may arrive before this.
    last: Option<Instant>,
    end: Option<End>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The writer has said all.
    Closed(Instant),
    /// The connection broke.
    Reset,
    /// One of the machines is gone, and nobody has noticed.
    Orphaned,
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl State {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Pipe {
    pub(super) fn new(net: &Net, from: Host, to: Host, place: u64) -> Arc<Self> {
        Arc::new(Self { from, to, net: net.clone(), place, state: Mutex::default() })
    }

    /// Breaks the connection: both sides learn of it at once.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        state.end = Some(End::Reset);
        state.under_way.clear();
        state.wake();
    }

    /// One side is gone without a word.
    pub(super) fn orphan(&self) {
        let mut state = self.state.lock();
        if state.end != Some(End::Reset) {
            state.end = Some(End::Orphaned);
            state.under_way.clear();
        }
    }

    /// The side that was gone is there again and does not know the connection.
    pub(super) fn reset_orphan(&self) {
        if self.state.lock().end == Some(End::Orphaned) {
            self.reset();
        }
    }

    /// What was held up arrives at `then`.
    pub(super) fn mended(&self, then: Instant) {
        let mut state = self.state.lock();
        state.under_way.iter_mut().for_each(|(at, _)| *at = (*at).max(then));
        if let Some(End::Closed(at)) = &mut state.end {
            *at = (*at).max(then);
        }
        state.last = state.last.max(Some(then));
        state.wake();
    }

    /// When what is sent now arrives.
    fn arrival(&self, state: &mut State) -> Instant {
        let at = state.last.unwrap_or_else(Instant::now).max(self.net.arrival(self.from, self.to));
        state.last = Some(at);
        at
    }

    fn write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        match state.end {
            Some(End::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(End::Closed(_)) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(End::Orphaned) | None if state.bytes >= WINDOW => {
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Some(End::Orphaned) | None => {}
        }
        let taken = &bytes[..bytes.len().min(WINDOW - state.bytes)];
        state.bytes += taken.len();
        if state.end.is_none() {
            self.net.note_sent(self.place, taken);
            let at = self.arrival(&mut state);
            state.under_way.push_back((at, Bytes::copy_from_slice(taken)));
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(taken.len()))
    }

    /// Takes what has arrived; else says when to look again, if that is known.
    fn read(&self, cx: &Context<'_>, into: &mut ReadBuf<'_>) -> Result<bool, Option<Instant>> {
        let mut state = self.state.lock();
        if state.end == Some(End::Reset) {
            return Ok(false);
        }
        let next = state.under_way.front().map(|(at, _)| *at);
        let closed = match state.end {
            Some(End::Closed(at)) => Some(at),
            _ => None,
        };
        let due = next.or(closed).filter(|_| !self.net.is_cut(self.from, self.to));
        state.reader = Some(cx.waker().clone());
        match due {
            Some(at) if at <= Instant::now() => {}
            other => return Err(other),
        }
        let mut taken = 0;
        while let Some((at, bytes)) = state.under_way.front_mut()
            && *at <= Instant::now()
            && into.remaining() > 0
        {
            let count = bytes.len().min(into.remaining());
            into.put_slice(&bytes[..count]);
            bytes.advance(count);
            taken += count;
            if bytes.is_empty() {
                state.under_way.pop_front();
            }
        }
        state.bytes -= taken;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
        Ok(true)
    }

    /// The writer is gone.
    fn close(&self) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            let at = self.arrival(&mut state);
            state.end = Some(End::Closed(at));
            state.wake();
        }
    }

    /// The reader is gone: whoever writes learns of it.
    fn abandon(&self) {
        let mut state = self.state.lock();
        if !matches!(state.end, Some(End::Orphaned)) {
            state.end = Some(End::Reset);
            state.under_way.clear();
            state.wake();
        }
    }
}

/// The side that reads.
#[derive(Debug)]
pub struct Reader {
    pipe: Arc<Pipe>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    pub(super) fn new(pipe: Arc<Pipe>) -> Self {
        Self { pipe, alarm: None }
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let look_at = match this.pipe.read(cx, into) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Err(None) => return Poll::Pending,
                Err(Some(at)) => at,
            };
            let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(look_at)));
            if alarm.deadline() != look_at {
                alarm.as_mut().reset(look_at);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The timer is not finer than a millisecond, and never early; a new one for the next time.
            this.alarm = None;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.pipe.abandon();
    }
}

/// The side that writes.
#[derive(Debug)]
pub struct Writer(Arc<Pipe>);

impl Writer {
    pub(super) fn new(pipe: Arc<Pipe>) -> Self {
        Self(pipe)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.close();
    }
}
