//! What is written and not synced yet.

use std::time::Duration;

use tokio::time::Instant;

use super::pending::{Done, Relaxed};
use crate::StorageError;

/// So many appends, or bytes, are synced though none of them has to be yet.
const APPENDS_MAX: usize = 1 << 14;
const BYTES_MAX: usize = 32 << 20;

/// The appends that have been written since the last sync.
#[derive(Default)]
pub(super) struct Unsynced {
    appends: Vec<Done>,
    bytes: usize,
    due: Option<Instant>,
}

impl Unsynced {
    pub(super) fn add(&mut self, relaxed: Relaxed, bytes: usize, now: Instant) {
        let due = now + relaxed.within;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        self.appends.push(relaxed.synced);
        self.bytes += bytes;
    }

    /// How long the sync may wait; nothing when there is nothing to sync.
    pub(super) fn wait(&self) -> Option<Duration> {
        let due = self.due?;
        if self.appends.len() >= APPENDS_MAX || self.bytes >= BYTES_MAX {
            return Some(Duration::ZERO);
        }
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Whether the sync waits no longer.
    pub(super) fn is_due(&self) -> bool {
        self.wait().is_some_and(|wait| wait.is_zero())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    /// All of them are synced, or never will be.
    pub(super) fn complete(&mut self, result: &Result<(), StorageError>) {
        for mut append in std::mem::take(self).appends {
            append.call(result.clone());
        }
    }
}
