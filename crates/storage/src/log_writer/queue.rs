//! The appends that wait for the disk.

use std::collections::VecDeque;
use std::time::Duration;

use caudal_types::limits::{LOG_WRITER_BATCH_BYTES, LOG_WRITER_QUEUE_BYTES};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::pending::Pending;
use crate::StorageError;

/// First in, first out, bounded by bytes. What is being written still counts.
#[derive(Debug)]
pub(super) struct Queue {
    room: Semaphore,
    waiting: Mutex<Waiting>,
    filled: Signal,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Appends.
    Group,
    /// Nothing has come for as long as was waited.
    Nothing,
    /// Nothing comes any more.
    End,
}

/// How the writer learns that there is something, or that nothing comes any more.
#[derive(Debug)]
enum Signal {
    Thread(Condvar),
    Task(Notify),
}

impl Signal {
    fn give(&self) {
        match self {
            Self::Thread(thread) => drop(thread.notify_all()),
            Self::Task(task) => task.notify_one(),
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    pending: VecDeque<Pending>,
    /// Why nothing more is taken.
    closed: Option<StorageError>,
}

impl Queue {
    /// A queue for a writer that is a task.
    pub(super) fn for_task() -> Self {
        Self::signalling(Signal::Task(Notify::new()))
    }

    fn signalling(filled: Signal) -> Self {
        Self { room: Semaphore::new(LOG_WRITER_QUEUE_BYTES), waiting: Mutex::default(), filled }
    }

    /// Waits for room, in the order of the calls, and enqueues `pending`. One that is larger than the whole bound waits until it
    /// is alone.
    pub(super) async fn push(&self, pending: Pending) -> Result<(), StorageError> {
        match self.room.acquire_many(permits(&pending)).await {
            Ok(room) => {
                room.forget();
                self.enqueue(pending)
            }
            Err(_) => self.refuse(pending),
        }
    }

    /// The next appends, as many as go to the disk together, at least one; none when the queue is closed and empty, or stays empty `within` a time.
    pub(super) fn next_group(&self, group: &mut Vec<Pending>, within: Option<Duration>) -> Next {
        let mut waiting = self.waiting.lock();
        while waiting.pending.is_empty() {
            let (None, Signal::Thread(filled)) = (&waiting.closed, &self.filled) else { return Next::End };
            match within {
                None => filled.wait(&mut waiting),
                Some(within) => {
                    if filled.wait_for(&mut waiting, within).timed_out() && waiting.pending.is_empty() {
                        return Next::Nothing;
                    }
                }
            }
        }
        waiting.take(group);
        Next::Group
    }

    /// Like [`next_group`](Self::next_group), for a writer that is a task.
    pub(super) async fn next_group_async(&self, group: &mut Vec<Pending>, within: Option<Duration>) -> Next {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.pending.is_empty() {
                    waiting.take(group);
                    return Next::Group;
                }
                let (None, Signal::Task(_)) = (&waiting.closed, &self.filled) else { return Next::End };
            }
            let Signal::Task(filled) = &self.filled else { return Next::End };
            match within {
                None => filled.notified().await,
                Some(within) => {
                    if timeout(within, filled.notified()).await.is_err() && self.waiting.lock().pending.is_empty() {
                        return Next::Nothing;
                    }
                }
            }
        }
    }

    /// Makes room again for what has been written.
    pub(super) fn release(&self, permits: usize) {
        self.room.add_permits(permits);
    }

    /// Takes nothing more: whoever comes gets `reason`, unless there was one before. What is queued stays.
    pub(super) fn close(&self, reason: StorageError) {
        self.waiting.lock().closed.get_or_insert(reason);
        self.room.close();
        self.filled.give();
    }

    /// Takes nothing more: whoever comes gets `reason`, whatever the reason was before. What is queued stays.
    pub(super) fn fail(&self, reason: StorageError) {
        self.waiting.lock().closed = Some(reason);
        self.room.close();
        self.filled.give();
    }

    /// Answers whatever is queued with the reason for which the queue is closed.
    pub(super) fn abandon(&self) {
        let abandoned = std::mem::take(&mut self.waiting.lock().pending);
        for pending in abandoned {
            // The caller has got its `Ok` when this was enqueued.
            let _ = self.refuse(pending);
        }
    }

    /// The bytes that wait or are being written.
    pub(super) fn bytes(&self) -> usize {
        LOG_WRITER_QUEUE_BYTES - self.room.available_permits().min(LOG_WRITER_QUEUE_BYTES)
    }

    fn enqueue(&self, pending: Pending) -> Result<(), StorageError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed.is_some() {
            drop(waiting);
            return self.refuse(pending);
        }
        waiting.pending.push_back(pending);
        drop(waiting);
        self.filled.give();
        Ok(())
    }

    fn refuse(&self, pending: Pending) -> Result<(), StorageError> {
        let reason = self.waiting.lock().closed.clone().unwrap_or(StorageError::Closed);
        // What failed is not to be synced.
        let _ = pending.complete(Err(reason.clone()));
        Err(reason)
    }
}

impl Waiting {
    /// Moves as much as goes to the disk together.
    fn take(&mut self, group: &mut Vec<Pending>) {
        let mut bytes = 0;
        while let Some(next) = self.pending.front() {
            bytes += next.cost();
            if bytes > LOG_WRITER_BATCH_BYTES && !group.is_empty() {
                break;
            }
            group.extend(self.pending.pop_front());
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::signalling(Signal::Thread(Condvar::new()))
    }
}

/// What `pending` takes of the queue's bound.
pub(super) fn permits(pending: &Pending) -> u32 {
    u32::try_from(pending.cost().min(LOG_WRITER_QUEUE_BYTES)).unwrap_or(u32::MAX)
}

const _: () = assert!(LOG_WRITER_QUEUE_BYTES <= u32::MAX as usize && LOG_WRITER_QUEUE_BYTES <= Semaphore::MAX_PERMITS);
