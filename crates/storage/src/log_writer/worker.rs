//! The writer's thread.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::pending::Pending;
use super::queue::permits;
use super::{PacedDisk, Shared};
use crate::{Durability, Engine, StorageError, WriteBatch};

/// Runs on the thread until the queue is closed and empty, or a write has failed.
pub(super) struct Worker {
    /// Let go of before the end is announced, so that the database can be opened again from then on.
    engine: Option<Arc<dyn Engine>>,
    shared: Arc<Shared>,
}

impl Worker {
    pub(super) fn new(engine: Arc<dyn Engine>, shared: Arc<Shared>) -> Self {
        Self { engine: Some(engine), shared }
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

    fn run(self) {
        let Some(engine) = &self.engine else { return };
        let mut group = Vec::new();
        while self.shared.queue.next_group(&mut group) {
            if self.write(engine.as_ref(), &mut group).is_err() {
                return;
            }
        }
    }

    /// The same as a task, for a disk that a test makes.
    pub(super) async fn run_paced(self, disk: Arc<dyn PacedDisk>) {
        let Some(engine) = &self.engine else { return };
        let mut group = Vec::new();
        while self.shared.queue.next_group_async(&mut group).await {
            let (batch, room) = gather(&mut group);
            let (bytes, start) = (batch.bytes(), Instant::now());
            self.shared.counters.begin();
            let result = match engine.write(batch, Durability::Synced) {
                Ok(()) => disk.synced().await,
                failed => failed,
            };
            self.shared.counters.end();
            if self.complete(&mut group, room, bytes, start.elapsed(), result).is_err() {
                return;
            }
        }
    }

    /// Makes `group` durable and completes it.
    fn write(&self, engine: &dyn Engine, group: &mut Vec<Pending>) -> Result<(), StorageError> {
        let (batch, room) = gather(group);
        let (bytes, start) = (batch.bytes(), Instant::now());
        self.shared.counters.begin();
        let result = engine.write(batch, Durability::Synced);
        self.shared.counters.end();
        self.complete(group, room, bytes, start.elapsed(), result)
    }

    fn complete(
        &self,
        group: &mut Vec<Pending>,
        room: usize,
        bytes: usize,
        took: Duration,
        result: Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        match &result {
            Ok(()) => self.shared.counters.count(group.len(), bytes, took),
            // Before anybody hears of it, or it could still find the store writable.
            Err(error) => self.shared.fail(&error.to_string()),
        }
        self.shared.queue.release(room);
        for pending in group.drain(..) {
            pending.complete(result.clone());
        }
        result
    }
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
