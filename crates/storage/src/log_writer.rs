//! Group commit: one thread takes the appends of every Raft group, writes them as one batch, syncs once, completes them all.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Engine, StorageError, WriteBatch};

/// Whether the store takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It does.
    Writable,
    /// It does not, since the first failed write, for this reason. It never acknowledges again before a restart.
    Failed(String),
}

/// Called on the writer's thread when the write is durable or has failed. It must be quick and must not block.
pub type Completion = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// What the writer has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogWriterStats {
    /// Synced batches, that is, fsyncs.
    pub syncs: u64,
    /// Appends completed.
    pub appends: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// A handle to the writer; clones share it. The thread ends when the last handle is gone.
#[derive(Clone, Debug)]
pub struct LogWriter {}

impl LogWriter {
    /// Starts the writer's thread over `engine`.
    pub fn start(_engine: Arc<dyn Engine>) -> Self {
        todo!()
    }

    /// Waits for room in the queue (bounded by bytes), then enqueues `batch`. Batches become durable, and their completions are
    /// called, in the order in which they were enqueued.
    ///
    /// # Errors
    /// When the store is read-only or closed; then `done` is called with the same error.
    pub async fn append(&self, _batch: WriteBatch, _done: Completion) -> Result<(), StorageError> {
        todo!()
    }

    /// Like [`append`](Self::append), and waits until the batch is durable.
    ///
    /// # Errors
    /// When the store is read-only or the write failed.
    pub async fn write(&self, _batch: WriteBatch) -> Result<(), StorageError> {
        todo!()
    }

    /// Whether the store takes writes, as it changes.
    pub fn state(&self) -> watch::Receiver<StoreState> {
        todo!()
    }

    /// Counters for metrics.
    pub fn stats(&self) -> LogWriterStats {
        todo!()
    }
}
