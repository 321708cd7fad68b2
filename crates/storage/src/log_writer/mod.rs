//! Group commit: one thread takes the appends of every Raft group, writes them as one batch, syncs once, completes them all.
//!
//! # Layout
//! - `queue`: what waits, bounded by bytes; closed once, with the reason that everything gets from then on
//! - `flush`: what is written and not synced yet, and when it has to be
//! - `pending`: one append, which is answered whatever becomes of it
//! - `worker`: the thread
//! - `stats`: what it has done

mod flush;
mod pending;
mod queue;
mod stats;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_flush;
mod worker;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::Tasks;
use tokio::sync::{oneshot, watch};

pub use self::pending::Completion;
use self::pending::Pending;
use self::queue::Queue;
use self::stats::Counters;
pub use self::stats::{LogWriterStats, SYNC_BUCKETS_MICROS};
use self::worker::Worker;
use crate::{DiskSpace, Engine, StorageError, WriteBatch};

/// Whether the store takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It does.
    Writable,
    /// It does not, since the first failed write, for this reason. It never acknowledges again before a restart.
    Failed(String),
}

/// A disk that a test makes.
pub trait PacedDisk: Send + Sync + 'static {
    /// Waits until everything that was written before is synced.
    fn synced(&self) -> Pin<Box<dyn Future<Output = Result<(), StorageError>> + Send + '_>>;
}

/// A handle to the writer; clones share it. When the last handle is gone, the thread writes what is queued, lets go of the
/// engine and ends; [`close`](Self::close) does the same at once and waits for it.
#[derive(Clone, Debug)]
pub struct LogWriter {
    handle: Arc<Handle>,
}

impl LogWriter {
    /// Starts the writer's thread over `engine`. Should the system refuse a thread, the store is [`StoreState::Failed`].
    pub fn start(engine: Arc<dyn Engine>) -> Self {
        Self::start_with(engine, || {})
    }

    /// The same; the thread calls `begin` first.
    pub fn start_with(engine: Arc<dyn Engine>, begin: impl FnOnce() + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        Worker::start(engine, Arc::clone(&shared), begin);
        Self { handle: Arc::new(Handle(shared)) }
    }

    /// The same without a thread, as one of `tasks`, over an engine whose synced writes are so only when `disk` says it: for simulations,
    /// in which a disk takes its time though nothing blocks.
    pub fn start_paced(engine: Arc<dyn Engine>, disk: Arc<dyn PacedDisk>, tasks: &Tasks) -> Self {
        let shared = Arc::new(Shared { queue: Queue::for_task(), ..Shared::default() });
        tasks.spawn("log writer", Worker::new(engine, Arc::clone(&shared)).run_paced(disk));
        Self { handle: Arc::new(Handle(shared)) }
    }

    /// Waits for room in the queue (bounded by bytes), then enqueues `batch`. Batches become durable, and their completions are
    /// called, in the order in which they were enqueued.
    ///
    /// Dropping the future before it is ready takes the append back; `done` is then called with [`StorageError::Closed`].
    ///
    /// # Errors
    /// When the store is read-only or closed; then `done` is called with the same error.
    pub async fn append(&self, batch: WriteBatch, done: Completion) -> Result<(), StorageError> {
        self.shared().queue.push(Pending::new(batch, done)).await
    }

    /// Like [`append`](Self::append), but `written` is called when the operating system has the batch ([`Durability::Written`](crate::Durability)), in the
    /// same order with all others. It is synced within `within`, or earlier with an append that has to be; then `synced` is called. Either is called once,
    /// and with an error when the disk refuses.
    ///
    /// # Errors
    /// When the store is read-only or closed; then both are called with the same error.
    pub async fn append_relaxed(
        &self,
        batch: WriteBatch,
        within: Duration,
        written: Completion,
        synced: Completion,
    ) -> Result<(), StorageError> {
        self.shared().queue.push(Pending::relaxed(batch, within, written, synced)).await
    }

    /// Like [`append`](Self::append), and waits until the batch is durable.
    ///
    /// # Errors
    /// When the store is read-only or the write failed.
    pub async fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        let (sender, receiver) = oneshot::channel();
        let done = move |result| {
            // Whoever waited may have gone.
            let _ = sender.send(result);
        };
        self.append(batch, Box::new(done)).await?;
        receiver.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Refuses all later appends on every handle, writes what is queued, and waits until the thread has let go of the engine.
    pub async fn close(&self) {
        self.shared().queue.close(StorageError::Closed);
        // An error means that the thread is gone already.
        let _ = self.shared().ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Turns the store read-only, for a write that failed beside this writer: what the disk has refused once is not to be relied on.
    pub fn fail(&self, error: &StorageError) {
        self.shared().fail(&error.to_string());
    }

    /// Whether the store takes writes, as it changes.
    pub fn state(&self) -> watch::Receiver<StoreState> {
        self.shared().state.subscribe()
    }

    /// Whether the store takes writes now.
    pub fn is_writable(&self) -> bool {
        *self.shared().state.borrow() == StoreState::Writable
    }

    /// How much space the disk has. Nothing is refused for it here: who appends records asks before.
    pub fn space(&self) -> DiskSpace {
        *self.shared().space.borrow()
    }

    /// The same, as it changes.
    pub fn watch_space(&self) -> watch::Receiver<DiskSpace> {
        self.shared().space.subscribe()
    }

    /// Tells everybody how much space the disk has.
    pub fn set_space(&self, space: DiskSpace) {
        self.shared().space.send_replace(space);
    }

    /// For how long the write that is at the disk has been there; zero when there is none.
    pub fn writing_for(&self) -> Duration {
        self.shared().counters.writing_for()
    }

    /// Counters for metrics.
    pub fn stats(&self) -> LogWriterStats {
        LogWriterStats { queued_bytes: self.shared().queue.bytes(), ..self.shared().counters.read() }
    }

    fn shared(&self) -> &Shared {
        &self.handle.0
    }
}

/// What the handles hold and the thread does not, so that the thread learns when they are gone.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue.close(StorageError::Closed);
    }
}

/// What the handles and the thread share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    counters: Counters,
    state: watch::Sender<StoreState>,
    space: watch::Sender<DiskSpace>,
    ended: watch::Sender<bool>,
}

impl Shared {
    /// Turns the store read-only for good: the first reason stays.
    fn fail(&self, reason: &str) {
        self.state.send_if_modified(|state| {
            let first = *state == StoreState::Writable;
            if first {
                tracing::error!(reason, "the store is read-only from now on; mend the disk and restart the node");
                *state = StoreState::Failed(reason.to_owned());
            }
            first
        });
        self.queue.fail(StorageError::ReadOnly(reason.to_owned()));
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            counters: Counters::default(),
            state: watch::Sender::new(StoreState::Writable),
            space: watch::Sender::default(),
            ended: watch::Sender::new(false),
        }
    }
}
