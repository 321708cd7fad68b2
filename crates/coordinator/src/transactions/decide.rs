//! What becomes of a transactional id: pure decisions over its row, the same on every replica. The rules are those of Apache Kafka's coordinator.
//!
//! With version 2 (KIP-890) every transaction ends with a new epoch, so that a request that is late can be told from one of the next
//! transaction; with version 1 all transactions of a producer share an epoch.

use std::collections::BTreeSet;

use caudal_types::{ProducerEpoch, ProducerId, TimestampMs};

use super::command::TransactionCommand;
use super::reply::{Refusal, Reply};
use super::{Participant, ProducerIdentity};
use crate::rows::{TransactionRow, TransactionState};

/// No producer id.
pub(crate) const NO_ID: ProducerId = -1;
/// No epoch.
pub(crate) const NO_EPOCH: ProducerEpoch = -1;

/// From this epoch on a producer id is used up: the last one is left for the marker that fences it.
const USED_UP: ProducerEpoch = ProducerEpoch::MAX - 1;

/// What a command does: the row as it is then (`None` when there is none), and the reply.
pub(crate) type Decision = (Option<TransactionRow>, Reply);

/// Decides about a command that comes at `time`, over the row that there is.
pub(crate) fn decide(row: Option<TransactionRow>, command: TransactionCommand, time: TimestampMs) -> Decision {
    match (row, command) {
        (None, TransactionCommand::Init { timeout_ms, fresh_id, .. }) => begin(timeout_ms, fresh_id, time),
        (None, TransactionCommand::Join { .. } | TransactionCommand::End { .. }) => {
            (None, Reply::Refused(Refusal::UnknownProducer))
        }
        (None, _) => (None, Reply::Done),
        (Some(row), TransactionCommand::Init { timeout_ms, expected, fresh_id }) => {
            row.init(timeout_ms, expected, fresh_id, time)
        }
        (Some(row), TransactionCommand::Join { producer, protocol, participants }) => {
            row.join(producer, protocol, participants, time)
        }
        (Some(row), TransactionCommand::End { producer, protocol, commit, fresh_id }) => {
            let end = End { producer, commit, fresh_id, time };
            if protocol >= 2 { row.end(end) } else { row.end_version_1(end) }
        }
        (Some(row), TransactionCommand::TimeOut { number, fresh_id }) => {
            if row.state == TransactionState::Ongoing && row.number == number {
                row.fence(fresh_id, time, Reply::Done)
            } else {
                (Some(row), Reply::Done)
            }
        }
        (Some(row), TransactionCommand::Complete { number }) => {
            if row.state.is_prepared() && row.number == number {
                (Some(row.complete(time)), Reply::Done)
            } else {
                (Some(row), Reply::Done)
            }
        }
        (Some(row), TransactionCommand::Forget { updated_at }) => {
            let is_idle = !row.state.is_prepared() && row.state != TransactionState::Ongoing;
            if is_idle && row.updated_at == updated_at { (None, Reply::Done) } else { (Some(row), Reply::Done) }
        }
    }
}

/// A client's wish to end a transaction.
#[derive(Clone, Copy, Debug)]
struct End {
    producer: ProducerIdentity,
    commit: bool,
    fresh_id: ProducerId,
    time: TimestampMs,
}

/// A transactional id that nobody has used.
fn begin(timeout_ms: i32, fresh_id: ProducerId, time: TimestampMs) -> Decision {
    if fresh_id == NO_ID {
        return (None, Reply::NeedsId);
    }
    let row = TransactionRow {
        producer_id: fresh_id,
        previous_producer_id: NO_ID,
        next_producer_id: NO_ID,
        epoch: 0,
        last_epoch: NO_EPOCH,
        timeout_ms,
        state: TransactionState::Empty,
        protocol: 1,
        number: 0,
        started_at: -1,
        updated_at: time,
        participants: BTreeSet::new(),
    };
    let producer = row.producer();
    (Some(row), Reply::Producer(producer))
}

fn refused(row: TransactionRow, refusal: Refusal) -> Decision {
    (Some(row), Reply::Refused(refusal))
}

impl TransactionRow {
    pub(crate) fn producer(&self) -> ProducerIdentity {
        ProducerIdentity { id: self.producer_id, epoch: self.epoch }
    }

    /// Whether the producer has, or had, the transactional id.
    pub(crate) fn had_producer(&self, id: ProducerId) -> bool {
        [self.producer_id, self.previous_producer_id].contains(&id)
    }

    /// Whether the next epoch needs another producer id.
    pub(crate) fn is_used_up(&self) -> bool {
        self.epoch >= USED_UP
    }

    fn init(
        mut self,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
        fresh_id: ProducerId,
        time: TimestampMs,
    ) -> Decision {
        let has_id = |expected: ProducerIdentity| {
            expected.id == self.producer_id || (expected.id == self.previous_producer_id && expected.epoch >= USED_UP)
        };
        // While the transaction before completes, the producer's next id is not its id yet.
        if !self.state.is_prepared() && expected.is_some_and(|expected| !has_id(expected)) {
            return refused(self, Refusal::Fenced);
        }
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => refused(self, Refusal::Concurrent),
            // Whoever is fenced already must not end the transaction of the one who fenced it.
            TransactionState::Ongoing if expected.is_some_and(|expected| expected.epoch != self.epoch) => {
                refused(self, Refusal::Fenced)
            }
            TransactionState::Ongoing => self.fence(fresh_id, time, Reply::Refused(Refusal::Concurrent)),
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                let is_current = expected.is_none_or(|expected| expected.epoch == self.epoch);
                if self.is_used_up() && is_current && fresh_id == NO_ID {
                    return (Some(self), Reply::NeedsId);
                }
                let (id, epoch) = (self.producer_id, self.epoch);
                if self.is_used_up() && is_current {
                    (self.producer_id, self.previous_producer_id, self.epoch) = (fresh_id, id, 0);
                    self.last_epoch = expected.map_or(NO_EPOCH, |_| epoch);
                } else if is_current {
                    (self.previous_producer_id, self.epoch) = (id, epoch + 1);
                    self.last_epoch = expected.map_or(NO_EPOCH, |_| epoch);
                } else if expected.is_none_or(|expected| expected.epoch != self.last_epoch) {
                    return refused(self, Refusal::Fenced);
                }
                // Else it is the same request once more, and the answer was lost.
                (self.state, self.timeout_ms) = (TransactionState::Empty, timeout_ms);
                (self.started_at, self.updated_at) = (-1, time);
                let producer = self.producer();
                (Some(self), Reply::Producer(producer))
            }
        }
    }

    fn join(
        mut self,
        producer: ProducerIdentity,
        protocol: u8,
        participants: Vec<Participant>,
        time: TimestampMs,
    ) -> Decision {
        if let Some(refusal) = self.check(producer) {
            return refused(self, refusal);
        }
        if self.state != TransactionState::Ongoing {
            self.state = TransactionState::Ongoing;
            self.number += 1;
            self.started_at = time;
        }
        self.protocol = protocol;
        self.updated_at = time;
        self.participants.extend(participants);
        let number = self.number;
        (Some(self), Reply::Joined(number))
    }

    /// Why a producer can neither join nor be part of a transaction.
    pub(crate) fn check(&self, producer: ProducerIdentity) -> Option<Refusal> {
        if self.is_ahead(producer) {
            Some(Refusal::Concurrent)
        } else if producer.id != self.producer_id {
            Some(Refusal::UnknownProducer)
        } else {
            (producer.epoch != self.epoch).then_some(Refusal::Fenced)
        }
    }

    /// Whether a producer has heard how its transaction ends, and goes on with its new epoch before all that took part have heard it.
    fn is_ahead(&self, producer: ProducerIdentity) -> bool {
        let has_next_id = self.next_producer_id != NO_ID && producer.id == self.next_producer_id && producer.epoch == 0;
        self.state.is_prepared() && (producer == self.producer() || has_next_id)
    }

    fn end_version_1(self, end: End) -> Decision {
        if end.producer.id != self.producer_id {
            return refused(self, Refusal::UnknownProducer);
        }
        if end.producer.epoch != self.epoch {
            return refused(self, Refusal::Fenced);
        }
        match (self.state, end.commit) {
            (TransactionState::Ongoing, commit) => (Some(self.prepare(commit, end.time)), Reply::Done),
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => {
                (Some(self), Reply::Done)
            }
            (TransactionState::PrepareCommit, true) | (TransactionState::PrepareAbort, false) => {
                refused(self, Refusal::Concurrent)
            }
            _ => refused(self, Refusal::InvalidState),
        }
    }

    fn end(self, end: End) -> Decision {
        let producer = end.producer;
        if self.is_ahead(producer) {
            return refused(self, Refusal::Concurrent);
        }
        let retried_over_ids = self.previous_producer_id == producer.id && producer.epoch == USED_UP && self.epoch == 0;
        let retried = producer.epoch.checked_add(1) == Some(self.epoch) || retried_over_ids;
        if producer.id != self.producer_id && !retried_over_ids {
            return refused(self, Refusal::UnknownProducer);
        }
        let is_current = producer.epoch == self.epoch;
        let is_known = match self.state {
            TransactionState::Empty | TransactionState::Ongoing => is_current,
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => retried,
            TransactionState::CompleteCommit | TransactionState::CompleteAbort => is_current || retried,
        };
        if !is_known {
            return refused(self, Refusal::Fenced);
        }
        match (self.state, end.commit, retried) {
            (TransactionState::Ongoing, ..) => self.end_with_new_epoch(end),
            (TransactionState::CompleteCommit, true, true) | (TransactionState::CompleteAbort, false, true) => {
                let producer = self.producer();
                (Some(self), Reply::Producer(producer))
            }
            // Aborted without any participant: the producer gets its new epoch all the same.
            (TransactionState::CompleteCommit | TransactionState::CompleteAbort, false, false)
            | (TransactionState::Empty, false, _) => self.end_with_new_epoch(end),
            (TransactionState::PrepareCommit, true, _) | (TransactionState::PrepareAbort, false, _) => {
                refused(self, Refusal::Concurrent)
            }
            _ => refused(self, Refusal::InvalidState),
        }
    }

    fn end_with_new_epoch(mut self, end: End) -> Decision {
        if self.is_used_up() && end.fresh_id == NO_ID {
            return (Some(self), Reply::NeedsId);
        }
        let is_new = self.state != TransactionState::Ongoing;
        if is_new {
            self.number += 1;
            self.started_at = end.time;
        }
        self.raise_epoch(end.fresh_id);
        self.protocol = 2;
        let prepared = self.prepare(end.commit, end.time);
        let producer = prepared.clone().complete(end.time).producer();
        let row = if is_new { prepared.complete(end.time) } else { prepared };
        (Some(row), Reply::Producer(producer))
    }

    /// Aborts the transaction that goes on, and fences whoever writes in it. Until a newer producer has the id, the one that is fenced may get the new
    /// epoch by InitProducerId, as with Kafka 4.3: it names the last epoch.
    fn fence(mut self, fresh_id: ProducerId, time: TimestampMs, reply: Reply) -> Decision {
        if self.is_used_up() && fresh_id == NO_ID {
            return (Some(self), Reply::NeedsId);
        }
        self.raise_epoch(fresh_id);
        (Some(self.prepare(false, time)), reply)
    }

    fn raise_epoch(&mut self, fresh_id: ProducerId) {
        if self.is_used_up() {
            self.next_producer_id = fresh_id;
        }
        self.last_epoch = self.epoch;
        self.epoch = self.epoch.saturating_add(1);
    }

    fn prepare(mut self, commit: bool, time: TimestampMs) -> Self {
        self.state = if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        self.updated_at = time;
        self
    }

    fn complete(mut self, time: TimestampMs) -> Self {
        self.state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        self.previous_producer_id = self.producer_id;
        if self.next_producer_id != NO_ID {
            (self.producer_id, self.epoch, self.next_producer_id) = (self.next_producer_id, 0, NO_ID);
        }
        self.updated_at = time;
        self.participants.clear();
        self
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
