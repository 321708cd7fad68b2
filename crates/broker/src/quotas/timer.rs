//! The time of the node's threads that a request takes: the time within the polls of its future and of the writing of its answer. What it causes elsewhere (on
//! the disk, in replication) is no part of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use caudal_protocol::messages::StrBytes;

use super::{Client, Quotas};

/// Measures one request, for the quota of its client.
#[derive(Debug)]
pub(crate) struct RequestTimer {
    quotas: Arc<Quotas>,
    user: Arc<str>,
    client_id: StrBytes,
    /// When the request was taken.
    since: Instant,
    /// The start of the poll that is under way, in nanoseconds from then on; 0 when none is.
    polled_at: AtomicU64,
    /// Within polls that have ended, in nanoseconds, and not yet taken down.
    busy: AtomicU64,
}

impl RequestTimer {
    pub(crate) fn new(quotas: Arc<Quotas>, user: Arc<str>, client_id: StrBytes) -> Self {
        let (polled_at, busy) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { quotas, user, client_id, since: Instant::now(), polled_at, busy }
    }

    /// Takes down the time so far, and tells how long the client has to wait, in milliseconds.
    pub(crate) fn throttle_ms(&self) -> i32 {
        let busy = self.take();
        self.quotas.request(self.client(), busy)
    }

    /// Takes down the time since.
    pub(crate) fn settle(&self) {
        let busy = self.take();
        if !busy.is_zero() {
            self.quotas.request_remainder(self.client(), busy);
        }
    }

    /// Measures `work`.
    pub(crate) fn time<F: Future>(self: &Arc<Self>, work: F) -> Timed<F> {
        Timed { timer: Arc::clone(self), work: Box::pin(work) }
    }

    fn client(&self) -> Client<'_> {
        Client { user: &self.user, client_id: &self.client_id }
    }

    /// The time so far that was not taken yet, that of the poll under way included.
    fn take(&self) -> Duration {
        let now = self.nanos();
        let current = match self.polled_at.load(Ordering::Relaxed) {
            0 => 0,
            started => {
                self.polled_at.store(now, Ordering::Relaxed);
                now.saturating_sub(started)
            }
        };
        Duration::from_nanos(self.busy.swap(0, Ordering::Relaxed) + current)
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// A future whose polls are measured.
pub(crate) struct Timed<F> {
    timer: Arc<RequestTimer>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let started = self.timer.nanos();
        self.timer.polled_at.store(started, Ordering::Relaxed);
        let polled = self.work.as_mut().poll(cx);
        let started = self.timer.polled_at.swap(0, Ordering::Relaxed);
        self.timer.busy.fetch_add(self.timer.nanos().saturating_sub(started), Ordering::Relaxed);
        polled
    }
}
