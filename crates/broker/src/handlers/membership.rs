//! Which transactions the batches of a Produce belong to. A partition that does not know a producer's transaction yet needs word from the transaction's
//! coordinator: once for each transaction and partition. With version 2 of transactions (KIP-890) the partition joins by that; with version 1 it must
//! have joined before.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use caudal_coordinator::transactions::{JoinTransaction, Participant, ProducerIdentity};
use caudal_coordinator::{Coordinator, TransactionError};
use caudal_metadata::TopicImage;
use caudal_partition::{Enlistment, Partition};
use caudal_protocol::ErrorCode;
use caudal_protocol::batch::RecordBatch;
use caudal_protocol::messages::TransactionalId;
use caudal_types::RaftGroupId;
use futures::future::join_all;

use crate::error::Refusal;

/// From this version on the client speaks version 2 of transactions.
const VERSION_2: i16 = 12;
/// From this version on clients know TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 11;

/// A batch and the partition that it is for.
pub(crate) struct Located {
    pub(crate) topic: Arc<TopicImage>,
    pub(crate) partition: Arc<Partition>,
    pub(crate) index: i32,
    pub(crate) batch: Bytes,
}

/// Asks coordinators.
#[derive(Clone)]
pub(crate) struct Memberships {
    coordinator: Coordinator,
}

/// A batch of a transaction whose partition does not know of it.
#[derive(Clone, Debug)]
struct Unknown {
    group: RaftGroupId,
    participant: Participant,
    producer: ProducerIdentity,
}

/// The batches of one Produce whose partitions do not know of their transactions.
#[derive(Debug)]
pub(crate) struct Unknowns(Vec<Unknown>);

impl Unknowns {
    pub(crate) fn among<'a>(batches: impl Iterator<Item = &'a Located>) -> Self {
        Self(batches.filter_map(Located::unknown).collect())
    }
}

/// What the coordinator says of the partitions of one Produce that did not know by themselves.
#[derive(Default)]
pub(crate) struct Membership(HashMap<RaftGroupId, Result<Enlistment, Refusal>>);

impl Located {
    fn unknown(&self) -> Option<Unknown> {
        let producer = producer_of(&self.batch)?;
        let is_known = self.partition.enlisted(producer.id, producer.epoch).is_some();
        let (topic, id) = (Arc::clone(&self.topic.name), self.topic.id);
        let participant = Participant::Partition { topic, id, partition: self.index };
        (!is_known).then(|| Unknown { group: self.partition.group(), participant, producer })
    }
}

/// The producer of a batch that belongs to a transaction. The batch was not checked yet.
fn producer_of(batch: &Bytes) -> Option<ProducerIdentity> {
    let batch = RecordBatch::from_trusted(batch.clone());
    batch.is_transactional().then(|| ProducerIdentity { id: batch.producer_id(), epoch: batch.producer_epoch() })
}

impl Memberships {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }

    /// Asks about the batches whose partitions do not know.
    pub(crate) async fn of(
        &self,
        version: i16,
        id: Option<&TransactionalId>,
        Unknowns(unknown): Unknowns,
    ) -> Membership {
        let Some(producer) = unknown.first().map(|first| first.producer) else { return Membership::default() };
        let Some(id) = id else { return Membership::refused(&unknown, &no_id()) };
        if unknown.iter().any(|batch| batch.producer != producer) {
            return Membership::refused(&unknown, &many_producers());
        }
        let is_2 = version >= VERSION_2;
        let transactional_id: Arc<str> = id.as_str().into();
        let join = JoinTransaction { transactional_id, producer, protocol: if is_2 { 2 } else { 1 }, add: is_2 };
        if is_2 {
            return self.ask(version, &join, &unknown).await;
        }
        // Each for itself: one that has not joined is no concern of the others.
        let each = join_all(unknown.iter().map(|batch| self.ask(version, &join, std::slice::from_ref(batch)))).await;
        Membership(each.into_iter().flat_map(|membership| membership.0).collect())
    }

    async fn ask(&self, version: i16, join: &JoinTransaction, batches: &[Unknown]) -> Membership {
        let participants = batches.iter().map(|batch| batch.participant.clone()).collect();
        match self.coordinator.join_transaction(join, participants).await {
            Ok(number) => {
                let (version, transactional_id) = (join.protocol, Arc::clone(&join.transactional_id));
                let enlistment = Enlistment { number, version, transactional_id };
                let each = batches.iter().map(|batch| (batch.group, Ok(enlistment.clone())));
                Membership(each.collect())
            }
            Err(error) => Membership::refused(batches, &refusal(version, &error)),
        }
    }
}

impl Membership {
    fn refused(batches: &[Unknown], refusal: &Refusal) -> Self {
        Self(batches.iter().map(|batch| (batch.group, Err(refusal.clone()))).collect())
    }

    /// The proof that a batch belongs to its transaction; `None` for one that belongs to none.
    pub(crate) fn enlistment(&self, partition: &Partition, batch: &Bytes) -> Result<Option<Enlistment>, Refusal> {
        let Some(producer) = producer_of(batch) else { return Ok(None) };
        match (self.0.get(&partition.group()), partition.enlisted(producer.id, producer.epoch)) {
            (Some(answer), _) => answer.clone().map(Some),
            (None, Some(enlistment)) => Ok(Some(enlistment)),
            // It ended a moment ago.
            (None, None) => Err(Refusal::from(&TransactionError::InvalidState)),
        }
    }
}

/// What a producer is told: codes that old clients know, and that make them do the right thing.
fn refusal(version: i16, error: &TransactionError) -> Refusal {
    let code = match error {
        TransactionError::NotCoordinator { .. } | TransactionError::NotAvailable(_) => ErrorCode::NOT_ENOUGH_REPLICAS,
        TransactionError::Concurrent if version < VERSION_2 => ErrorCode::NOT_ENOUGH_REPLICAS,
        TransactionError::Fenced => ErrorCode::INVALID_PRODUCER_EPOCH,
        TransactionError::NotEnlisted if version < ABORTABLE => ErrorCode::INVALID_TXN_STATE,
        error => return Refusal::from(error),
    };
    Refusal::new(code, format!("the partition cannot take part in the transaction: {error}"))
}

fn no_id() -> Refusal {
    let text = "a batch of a transaction came without a transactional id; set transactional.id";
    Refusal::new(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, text)
}

fn many_producers() -> Refusal {
    let text = "the batches of one request belong to transactions of more than one producer";
    Refusal::new(ErrorCode::INVALID_PRODUCER_ID_MAPPING, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_are_told_what_they_know() {
        let code = |version, error| refusal(version, &error).code();
        let unavailable = TransactionError::NotAvailable("the vote is under way".to_owned());
        assert_eq!(code(13, unavailable), ErrorCode::NOT_ENOUGH_REPLICAS);
        assert_eq!(code(11, TransactionError::Concurrent), ErrorCode::NOT_ENOUGH_REPLICAS);
        assert_eq!(code(12, TransactionError::Concurrent), ErrorCode::CONCURRENT_TRANSACTIONS);
        assert_eq!(code(12, TransactionError::Fenced), ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(code(10, TransactionError::NotEnlisted), ErrorCode::INVALID_TXN_STATE);
        assert_eq!(code(11, TransactionError::NotEnlisted), ErrorCode::TRANSACTION_ABORTABLE);
        assert_eq!(code(13, TransactionError::UnknownProducer), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    }
}
