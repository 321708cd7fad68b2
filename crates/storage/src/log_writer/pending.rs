//! One append on its way to the disk.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{StorageError, WriteBatch};

/// Called on the writer's thread when the write is durable or has failed. It must be quick and must not block.
pub type Completion = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// An append that waits. Its completion is called exactly once: with [`StorageError::Closed`] if nobody else has done so before it
/// is dropped, so that nobody waits forever.
pub(super) struct Pending {
    batch: WriteBatch,
    done: Option<Completion>,
}

impl Pending {
    pub(super) fn new(batch: WriteBatch, done: Completion) -> Self {
        Self { batch, done: Some(done) }
    }

    /// What it takes of the queue's bound. Small appends have a price too, or their number would not be bounded.
    pub(super) fn cost(&self) -> usize {
        self.batch.bytes() + self.batch.ops().len() * OP_COST_BYTES + OP_COST_BYTES
    }

    pub(super) fn take_batch(&mut self) -> WriteBatch {
        std::mem::take(&mut self.batch)
    }

    pub(super) fn complete(mut self, result: Result<(), StorageError>) {
        self.call(result);
    }

    fn call(&mut self, result: Result<(), StorageError>) {
        if let Some(done) = self.done.take()
            && catch_unwind(AssertUnwindSafe(|| done(result))).is_err()
        {
            tracing::error!("the completion of an append panicked; the log writer goes on");
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.call(Err(StorageError::Closed));
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("cost", &self.cost()).finish_non_exhaustive()
    }
}

/// About what an operation or a completion takes in memory beside its bytes.
const OP_COST_BYTES: usize = 128;
