//! The writer's thread.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::flush::Unsynced;
use super::pending::Pending;
use super::queue::{Next, permits};
use super::{PacedDisk, Shared};
use crate::{Durability, Engine, StorageError, WriteBatch};

/// Runs on the thread until the queue is closed and empty, or a write has failed.
pub(super) struct Worker {
    /// Let go of before the end is announced, so that the database can be opened again from then on.
    engine: Option<Arc<dyn Engine>>,
    shared: Arc<Shared>,
    unsynced: Unsynced,
}

impl Worker {
    pub(super) fn new(engine: Arc<dyn Engine>, shared: Arc<Shared>) -> Self {
        Self { engine: Some(engine), shared, unsynced: Unsynced::default() }
    }

    pub(super) fn start(engine: Arc<dyn Engine>, shared: Arc<Shared>, begin: impl FnOnce() + Send + 'static) {
        let worker = Self::new(engine, Arc::clone(&shared));
        let started = thread::Builder::new().name("log-writer".to_owned()).spawn(move || {
            begin();
            worker.run();
        });
        if let Err(error) = started {
            shared.fail(&format!("the log writer's thread could not be started: {error}"));
        }
    }

    fn run(mut self) {
        let Some(engine) = self.engine.clone() else { return };
        let mut group = Vec::new();
        loop {
            let next = self.shared.queue.next_group(&mut group, self.unsynced.wait());
            let result = match next {
                Next::Group => self.write(engine.as_ref(), &mut group),
                Next::Nothing => self.sync(|| engine.sync_written()),
                Next::End => {
                    // Whoever waits for it hears of a failure.
                    let _ = self.sync(|| engine.sync_written());
                    return;
                }
            };
            if result.is_err() {
                return;
            }
        }
    }

    /// The same as a task, for a disk that a test makes.
    pub(super) async fn run_paced(mut self, disk: Arc<dyn PacedDisk>) {
        let Some(engine) = self.engine.clone() else { return };
        let mut group = Vec::new();
        loop {
            let next = self.shared.queue.next_group_async(&mut group, self.unsynced.wait()).await;
            if next != Next::Group && self.unsynced.is_empty() {
                return;
            }
            let durability = self.durability(&group);
            let (batch, room) = gather(&mut group);
            let (bytes, start) = (batch.bytes(), Instant::now());
            self.shared.counters.begin();
            let mut result = if group.is_empty() { Ok(()) } else { engine.write(batch, durability) };
            if result.is_ok() && (durability == Durability::Synced || group.is_empty()) {
                result = disk.synced().await;
            }
            self.shared.counters.end();
            let result = if group.is_empty() {
                self.synced(start.elapsed(), result)
            } else {
                self.complete(&mut group, room, Written { bytes, took: start.elapsed(), durability }, result)
            };
            if result.is_err() || next == Next::End {
                return;
            }
        }
    }

    /// What is to become of `group`, which goes to the disk together: it is synced if anything in it has to be, or anything before it by now.
    fn durability(&self, group: &[Pending]) -> Durability {
        let may_wait = group.iter().all(Pending::is_relaxed) && !self.unsynced.is_due();
        if may_wait { Durability::Written } else { Durability::Synced }
    }

    /// Writes `group` and completes it.
    fn write(&mut self, engine: &dyn Engine, group: &mut Vec<Pending>) -> Result<(), StorageError> {
        let durability = self.durability(group);
        let (batch, room) = gather(group);
        let (bytes, start) = (batch.bytes(), Instant::now());
        self.shared.counters.begin();
        let result = engine.write(batch, durability);
        self.shared.counters.end();
        self.complete(group, room, Written { bytes, took: start.elapsed(), durability }, result)
    }

    /// Makes durable what was written before, if there is anything.
    fn sync(&mut self, sync: impl FnOnce() -> Result<(), StorageError>) -> Result<(), StorageError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        self.shared.counters.begin();
        let result = sync();
        self.shared.counters.end();
        self.synced(start.elapsed(), result)
    }

    fn synced(&mut self, took: Duration, result: Result<(), StorageError>) -> Result<(), StorageError> {
        match &result {
            Ok(()) => self.shared.counters.count_sync(took),
            Err(error) => self.shared.fail(&error.to_string()),
        }
        self.unsynced.complete(&result);
        result
    }

    fn complete(
        &mut self,
        group: &mut Vec<Pending>,
        room: usize,
        written: Written,
        result: Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let is_synced = written.durability == Durability::Synced;
        match &result {
            Ok(()) => {
                self.shared.counters.count(group.len(), written.bytes);
                if is_synced {
                    self.shared.counters.count_sync(written.took);
                }
            }
            // Before anybody hears of it, or it could still find the store writable.
            Err(error) => self.shared.fail(&error.to_string()),
        }
        self.shared.queue.release(room);
        if is_synced || result.is_err() {
            self.unsynced.complete(&result);
        }
        let (now, mut bytes) = (Instant::now(), written.bytes);
        for pending in group.drain(..) {
            let Some(mut relaxed) = pending.complete(result.clone()) else { continue };
            if is_synced {
                relaxed.synced.call(Ok(()));
            } else {
                self.unsynced.add(relaxed, std::mem::take(&mut bytes), now);
            }
        }
        result
    }
}

/// What went to the disk.
struct Written {
    bytes: usize,
    took: Duration,
    durability: Durability,
}

/// One batch of all that is in `group`, and its share of the queue's bound.
fn gather(group: &mut [Pending]) -> (WriteBatch, usize) {
    let room = group.iter().map(|pending| permits(pending) as usize).sum();
    let mut batch = WriteBatch::new();
    for pending in group {
        batch.extend(pending.take_batch());
    }
    (batch, room)
}

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.fail("the log writer panicked");
        }
        // A task may end before its queue was closed.
        self.shared.queue.close(StorageError::Closed);
        self.shared.queue.abandon();
        self.engine = None;
        self.shared.ended.send_replace(true);
    }
}
