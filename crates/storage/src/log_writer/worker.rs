//! The writer's thread.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::Shared;
use super::pending::Pending;
use super::queue::permits;
use crate::{Durability, Engine, StorageError, WriteBatch};

/// Runs on the thread until the queue is closed and empty, or a write has failed.
pub(super) struct Worker {
    /// Let go of before the end is announced, so that the database can be opened again from then on.
    engine: Option<Arc<dyn Engine>>,
    shared: Arc<Shared>,
}

impl Worker {
    pub(super) fn start(engine: Arc<dyn Engine>, shared: Arc<Shared>) {
        let worker = Self { engine: Some(engine), shared: Arc::clone(&shared) };
        let started = thread::Builder::new().name("log-writer".to_owned()).spawn(move || worker.run());
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

    /// Makes `group` durable and completes it.
    fn write(&self, engine: &dyn Engine, group: &mut Vec<Pending>) -> Result<(), StorageError> {
        let room = group.iter().map(|pending| permits(pending) as usize).sum();
        let mut batch = WriteBatch::new();
        for pending in group.iter_mut() {
            batch.extend(pending.take_batch());
        }
        let (bytes, start) = (batch.bytes(), Instant::now());
        self.shared.counters.begin();
        let result = engine.write(batch, Durability::Synced);
        self.shared.counters.end();
        match &result {
            Ok(()) => self.shared.counters.count(group.len(), bytes, start.elapsed()),
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

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.fail("the log writer panicked");
        }
        self.shared.queue.abandon();
        self.engine = None;
        self.shared.ended.send_replace(true);
    }
}
