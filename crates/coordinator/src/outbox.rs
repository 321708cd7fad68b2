//! Commands on their way, in order, and the answers that wait for them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use caudal_types::limits::{COORDINATOR_ENTRY_BYTES, COORDINATOR_QUEUE_BYTES};
use tokio::sync::oneshot;

use crate::GroupError;
use crate::command::Command;
use crate::model::{Joined, Synced};

/// A command's place in the order, from 1.
pub(crate) type Seq = u64;

/// An answer and where it goes. Dropped, it tells the waiting request that this node coordinates no longer.
#[derive(Debug)]
pub(crate) enum Release {
    Join(oneshot::Sender<Result<Joined, GroupError>>, Result<Joined, GroupError>),
    Sync(oneshot::Sender<Result<Synced, GroupError>>, Result<Synced, GroupError>),
    /// What was asked for is replicated.
    Done(oneshot::Sender<()>),
}

impl Release {
    /// Answers; a client that is gone is no concern.
    fn send(self) {
        match self {
            Self::Join(waiter, answer) => drop(waiter.send(answer)),
            Self::Sync(waiter, answer) => drop(waiter.send(answer)),
            Self::Done(waiter) => drop(waiter.send(())),
        }
    }
}

/// Commands that travel together in one entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The place of the last one.
    pub(crate) last: Seq,
    pub(crate) commands: Vec<Bytes>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// The place of the last command that came in.
    last: Seq,
    /// The place of the last command that is committed.
    committed: Seq,
    waiting: BTreeMap<Seq, Vec<Release>>,
}

impl Outbox {
    /// Whether requests shall be refused until commands have left.
    pub(crate) fn is_full(&self) -> bool {
        self.queued_bytes >= COORDINATOR_QUEUE_BYTES
    }

    pub(crate) fn has_commands(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn push(&mut self, command: &Command) -> Seq {
        let command = command.encode();
        self.queued_bytes += command.len();
        self.queue.push_back(command);
        self.last += 1;
        self.last
    }

    /// Answers when all up to `after` is committed.
    pub(crate) fn release(&mut self, after: Seq, release: Release) {
        if after <= self.committed {
            release.send();
        } else {
            self.waiting.entry(after).or_default().push(release);
        }
    }

    /// Takes commands for the next entry.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        let (mut commands, mut bytes) = (Vec::new(), 0);
        while bytes < COORDINATOR_ENTRY_BYTES
            && let Some(command) = self.queue.pop_front()
        {
            bytes += command.len();
            commands.push(command);
        }
        self.queued_bytes -= bytes;
        let left = Seq::try_from(self.queue.len()).unwrap_or(Seq::MAX);
        if commands.is_empty() { None } else { Some(Batch { last: self.last - left, commands }) }
    }

    /// All up to `last` is committed and applied.
    pub(crate) fn committed(&mut self, last: Seq) {
        self.committed = last;
        let still_waiting = self.waiting.split_off(&(last + 1));
        for release in std::mem::replace(&mut self.waiting, still_waiting).into_values().flatten() {
            release.send();
        }
    }

    pub(crate) fn is_committed(&self, seq: Seq) -> bool {
        seq <= self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_wait_for_their_command_and_for_no_other() {
        let mut outbox = Outbox::default();
        let (first, second) = (outbox.push(&Command::Nothing), outbox.push(&Command::Nothing));
        let (answer, mut answered) = oneshot::channel();
        outbox.release(second, Release::Done(answer));
        assert_eq!(outbox.take_batch().map(|batch| batch.last), Some(second));
        assert_eq!(outbox.take_batch(), None);
        outbox.committed(first);
        assert!(answered.try_recv().is_err());
        outbox.committed(second);
        assert!(answered.try_recv().is_ok());
        let (answer, mut answered) = oneshot::channel();
        outbox.release(second, Release::Done(answer));
        assert!(answered.try_recv().is_ok());
    }

    #[test]
    fn an_entry_and_the_queue_are_bounded() {
        let mut outbox = Outbox::default();
        let command = Command::DeleteGroup { group: "x".repeat(COORDINATOR_ENTRY_BYTES / 2).into() };
        while !outbox.is_full() {
            outbox.push(&command);
        }
        let batch = outbox.take_batch().unwrap();
        assert_eq!((batch.last, batch.commands.len()), (2, 2));
        assert!(!outbox.is_full());
    }
}
