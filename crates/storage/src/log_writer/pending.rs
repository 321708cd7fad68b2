//! One append on its way to the disk.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::{StorageError, WriteBatch};

/// Called on the writer's thread when the write is durable or has failed. It must be quick and must not block.
pub type Completion = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// An append that waits. Its completions are called exactly once: with [`StorageError::Closed`] if nobody else has done so before it
/// is dropped, so that nobody waits forever.
pub(super) struct Pending {
    batch: WriteBatch,
    done: Done,
    relaxed: Option<Relaxed>,
}

/// What may be synced later than it is completed.
pub(super) struct Relaxed {
    pub(super) within: Duration,
    pub(super) synced: Done,
}

/// A completion that is called once.
pub(super) struct Done(Option<Completion>);

impl Done {
    pub(super) fn new(done: Completion) -> Self {
        Self(Some(done))
    }

    pub(super) fn call(&mut self, result: Result<(), StorageError>) {
        if let Some(done) = self.0.take()
            && catch_unwind(AssertUnwindSafe(|| done(result))).is_err()
        {
            tracing::error!("the completion of an append panicked; the log writer goes on");
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.call(Err(StorageError::Closed));
    }
}

impl Pending {
    pub(super) fn new(batch: WriteBatch, done: Completion) -> Self {
        Self { batch, done: Done::new(done), relaxed: None }
    }

    /// One that is complete when it is written, and is synced within a time.
    pub(super) fn relaxed(batch: WriteBatch, within: Duration, written: Completion, synced: Completion) -> Self {
        let relaxed = Some(Relaxed { within, synced: Done::new(synced) });
        Self { batch, done: Done::new(written), relaxed }
    }

    /// Whether it may be synced later than it is completed.
    pub(super) fn is_relaxed(&self) -> bool {
        self.relaxed.is_some()
    }

    /// What it takes of the queue's bound. Small appends have a price too, or their number would not be bounded.
    pub(super) fn cost(&self) -> usize {
        self.batch.bytes() + self.batch.ops().len() * OP_COST_BYTES + OP_COST_BYTES
    }

    pub(super) fn take_batch(&mut self) -> WriteBatch {
        std::mem::take(&mut self.batch)
    }

    /// Completes it; what is left is to be synced.
    pub(super) fn complete(mut self, result: Result<(), StorageError>) -> Option<Relaxed> {
        let mut relaxed = self.relaxed.take();
        if let (Err(error), Some(relaxed)) = (&result, &mut relaxed) {
            relaxed.synced.call(Err(error.clone()));
        }
        let is_written = result.is_ok();
        self.done.call(result);
        relaxed.filter(|_| is_written)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("cost", &self.cost()).finish_non_exhaustive()
    }
}

/// About what an operation or a completion takes in memory beside its bytes.
const OP_COST_BYTES: usize = 128;
