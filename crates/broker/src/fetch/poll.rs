//! Long polls: reads partitions, and waits on their watches while there is less than the client asks for. No timer but the client's own, no polling.

use std::sync::Arc;
use std::time::Duration;

use caudal_partition::{EpochEnd, Partition, PartitionOffsets, ReadError, ReadOutcome, ReadRequest};
use caudal_raft::Leadership;
use caudal_types::LeaderEpoch;
use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Wanted;
use crate::memory::{ByteBudget, BytesTaken};

/// A poll that got something, but not enough, lets news gather for this long before it reads again: reading again starts over.
const GATHER: Duration = Duration::from_millis(5);

/// How long a follower may take to apply what its leader has told others is committed: it hears of it within 50 ms.
const FOLLOWS_WITHIN: Duration = Duration::from_millis(250);

/// The memory that even the smallest answer waits for.
const LEAST_MEMORY: usize = 64 << 10;

/// What a poll needs of a partition.
pub(crate) trait Readable: Send + Sync + 'static {
    fn read(&self, request: ReadRequest) -> impl Future<Output = Result<ReadOutcome, ReadError>> + Send;
    fn epoch_end(&self, epoch: LeaderEpoch, current: LeaderEpoch) -> Result<EpochEnd, ReadError>;
    fn offsets(&self) -> watch::Receiver<PartitionOffsets>;
    fn leadership(&self) -> watch::Receiver<Leadership>;
}

impl Readable for Partition {
    fn read(&self, request: ReadRequest) -> impl Future<Output = Result<ReadOutcome, ReadError>> + Send {
        Self::read(self, request)
    }

    fn epoch_end(&self, epoch: LeaderEpoch, current: LeaderEpoch) -> Result<EpochEnd, ReadError> {
        self.epoch_end_so_far(epoch, current)
    }

    fn offsets(&self) -> watch::Receiver<PartitionOffsets> {
        Self::offsets(self)
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        Self::leadership(self)
    }
}

/// When a poll is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollLimits {
    pub(crate) min_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_wait: Duration,
    pub(crate) committed_only: bool,
    /// The client knows nothing of reading from followers (KIP-392).
    pub(crate) leader_only: bool,
}

/// What a poll found in a partition.
#[derive(Debug)]
pub(crate) enum Found {
    Read(ReadOutcome),
    /// The client's history differs from the partition's: it must truncate its own.
    Diverging(PartitionOffsets, EpochEnd),
    Failed(ReadError),
}

impl Found {
    fn len(&self) -> usize {
        match self {
            Self::Read(outcome) => outcome.len(),
            Self::Diverging(..) | Self::Failed(_) => 0,
        }
    }
}

/// What a poll ended with: what it found, in the order of the partitions, and the memory that it occupies.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) found: Vec<Found>,
    pub(crate) held: Option<BytesTaken>,
}

/// A poll over partitions.
pub(crate) struct Poll<P> {
    slots: Vec<Slot<P>>,
    limits: PollLimits,
    /// No more memory was given than what is read already.
    full: bool,
    held: Option<BytesTaken>,
}

struct Slot<P> {
    partition: Arc<P>,
    wanted: Wanted,
    /// Who led when it was read last.
    led: Leadership,
    /// `None`: to be read (again).
    found: Option<Found>,
    /// The partition is being closed: its watches have ended.
    gone: bool,
}

/// A partition has news, or its watches have ended.
struct News {
    index: usize,
    gone: bool,
}

type AwaitedNews = FuturesUnordered<BoxFuture<'static, News>>;

impl<P: Readable> Poll<P> {
    pub(crate) fn new(partitions: Vec<(Arc<P>, Wanted)>, limits: PollLimits) -> Self {
        let slot =
            |(partition, wanted)| Slot { partition, wanted, led: Leadership::default(), found: None, gone: false };
        Self { slots: partitions.into_iter().map(slot).collect(), limits, full: false, held: None }
    }

    /// Reads until there is enough, something is wrong, the client's time is over, or `stop`.
    pub(crate) async fn run(mut self, memory: &ByteBudget, stop: &CancellationToken) -> Polled {
        self.await_followers().await;
        self.read(memory).await;
        if !self.is_over() && !self.limits.max_wait.is_zero() {
            let deadline = Instant::now() + self.limits.max_wait;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wait(memory, deadline) => {}
            }
            if self.slots.iter().any(|slot| slot.found.is_none()) {
                self.read(memory).await;
            }
        }
        Polled { found: self.slots.into_iter().filter_map(|slot| slot.found).collect(), held: self.held }
    }

    /// A client that was sent to a follower may have seen more than the follower has applied: a commit takes a moment to get there. Longer than that is not
    /// waited, since others of the client's partitions may have records.
    async fn await_followers(&self) {
        if self.limits.leader_only || self.limits.max_wait.is_zero() {
            return;
        }
        let behind: Vec<_> = self.slots.iter().filter_map(Slot::behind).collect();
        if !behind.is_empty() {
            // Those that are still behind say so when they are read.
            let _elapsed = timeout(FOLLOWS_WITHIN.min(self.limits.max_wait), join_all(behind)).await;
        }
    }

    /// Waits for news and reads them, until there is enough or the time is over.
    async fn wait(&mut self, memory: &ByteBudget, deadline: Instant) {
        let mut news: AwaitedNews = FuturesUnordered::new();
        for index in 0..self.slots.len() {
            news.extend(self.await_news(index));
        }
        loop {
            tokio::select! {
                () = sleep_until(deadline) => return,
                Some(first) = news.next() => self.note(&first),
            }
            if self.limits.min_bytes > 1 {
                sleep_until(deadline.min(Instant::now() + GATHER)).await;
            }
            while let Some(Some(more)) = news.next().now_or_never() {
                self.note(&more);
            }
            let stale: Vec<usize> = (0..self.slots.len()).filter(|i| self.slots[*i].found.is_none()).collect();
            self.read(memory).await;
            if self.is_over() {
                return;
            }
            for index in stale {
                news.extend(self.await_news(index));
            }
        }
    }

    fn note(&mut self, news: &News) {
        if let Some(slot) = self.slots.get_mut(news.index) {
            slot.found = None;
            slot.gone |= news.gone;
        }
    }

    /// A future that ends when the partition has more for this poll than was read.
    fn await_news(&self, index: usize) -> Option<BoxFuture<'static, News>> {
        let slot = self.slots.get(index)?;
        let Some(Found::Read(outcome)) = &slot.found else { return None };
        let interest = Interest {
            seen: outcome.offsets,
            led: slot.led,
            from: slot.wanted.offset,
            committed_only: self.limits.committed_only,
            offsets: slot.partition.offsets(),
            leadership: slot.partition.leadership(),
        };
        Some(async move { News { index, gone: interest.news().await.is_err() } }.boxed())
    }

    /// Reads what is not read yet, or no longer up to date.
    async fn read(&mut self, memory: &ByteBudget) {
        let unread = self.slots.iter().filter(|slot| slot.found.is_none());
        let asked = unread.map(|slot| slot.wanted.max_bytes).fold(0, usize::saturating_add);
        let kept = self.read_bytes();
        let wished = asked.min(self.limits.max_bytes.saturating_sub(kept));
        // Memory taken for an earlier read goes back first, so that no poll waits for memory while it holds some.
        drop(self.held.take());
        let mut held = memory.take_up_to(kept.saturating_add(wished), LEAST_MEMORY).await;
        let mut room = wished.min(held.len().saturating_sub(kept));
        let mut got_some = kept > 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.found.is_none()) {
            let max_bytes = slot.wanted.max_bytes.min(room);
            let found = slot.read(max_bytes, !got_some, self.limits).await;
            room = room.saturating_sub(found.len());
            got_some |= found.len() > 0;
            slot.found = Some(found);
        }
        self.full = room == 0;
        held.shrink_to(self.read_bytes());
        self.held = Some(held);
    }

    fn read_bytes(&self) -> usize {
        self.slots.iter().filter_map(|slot| slot.found.as_ref()).map(Found::len).sum()
    }

    fn is_over(&self) -> bool {
        let wrong = |slot: &Slot<P>| slot.gone || !matches!(slot.found, Some(Found::Read(_)));
        self.slots.is_empty()
            || self.full
            || self.read_bytes() >= self.limits.min_bytes.min(self.limits.max_bytes)
            || self.slots.iter().any(wrong)
    }
}

impl<P: Readable> Slot<P> {
    async fn read(&mut self, max_bytes: usize, at_least_one: bool, limits: PollLimits) -> Found {
        self.led = *self.partition.leadership().borrow();
        if let Some(found) = self.divergence() {
            return found;
        }
        let request = ReadRequest {
            offset: self.wanted.offset,
            max_bytes,
            at_least_one,
            committed_only: limits.committed_only,
            current_leader_epoch: self.wanted.current_leader_epoch,
            leader_only: limits.leader_only,
        };
        match self.partition.read(request).await {
            Ok(outcome) => Found::Read(outcome),
            Err(error) => Found::Failed(error),
        }
    }

    /// A future that ends when this replica has applied what the client asks for, if it follows and has not.
    fn behind(&self) -> Option<impl Future<Output = ()> + use<P>> {
        let (mut offsets, from) = (self.partition.offsets(), self.wanted.offset);
        let has = move |offsets: &PartitionOffsets| offsets.high_watermark >= from;
        if has(&offsets.borrow()) || self.partition.leadership().borrow().serving {
            return None;
        }
        Some(async move { drop(offsets.wait_for(has).await) })
    }

    /// Compares the client's history with the partition's (KIP-595), if the client tells its own.
    fn divergence(&self) -> Option<Found> {
        let Wanted { offset, current_leader_epoch, last_fetched_epoch, .. } = self.wanted;
        if last_fetched_epoch < 0 {
            return None;
        }
        let offsets = *self.partition.offsets().borrow();
        match self.partition.epoch_end(last_fetched_epoch, current_leader_epoch) {
            Err(error) => Some(Found::Failed(error)),
            Ok(end) if end.epoch < 0 || end.end_offset < 0 => {
                let PartitionOffsets { log_start: start, high_watermark: end, .. } = offsets;
                Some(Found::Failed(ReadError::OutOfRange { offset, start, end }))
            }
            Ok(end) if end.epoch < last_fetched_epoch || end.end_offset < offset => {
                Some(Found::Diverging(offsets, end))
            }
            Ok(_) => None,
        }
    }
}

/// What a poll waits for in a partition.
struct Interest {
    seen: PartitionOffsets,
    led: Leadership,
    from: i64,
    committed_only: bool,
    offsets: watch::Receiver<PartitionOffsets>,
    leadership: watch::Receiver<Leadership>,
}

impl Interest {
    /// Ends when there is more to read than was seen, or another leads than did: the client may believe in an epoch that has ended.
    ///
    /// # Errors
    /// When the partition is closed.
    async fn news(mut self) -> Result<(), watch::error::RecvError> {
        while !self.is_led_anew() && !self.is_relevant() {
            tokio::select! {
                changed = self.offsets.changed() => changed?,
                changed = self.leadership.changed() => changed?,
            }
        }
        Ok(())
    }

    fn is_led_anew(&mut self) -> bool {
        let now = *self.leadership.borrow_and_update();
        (now.term, now.serving) != (self.led.term, self.led.serving)
    }

    fn is_relevant(&mut self) -> bool {
        let now = *self.offsets.borrow_and_update();
        let end = |offsets: PartitionOffsets| {
            if self.committed_only { offsets.last_stable } else { offsets.high_watermark }
        };
        end(now) > end(self.seen) || now.log_start > self.from
    }
}

#[cfg(test)]
#[path = "poll_tests.rs"]
mod tests;
