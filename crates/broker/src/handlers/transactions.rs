//! What the handlers of transactions share.

use std::sync::Arc;

use caudal_coordinator::TransactionError;
use caudal_coordinator::transactions::{JoinTransaction, Participant, ProducerIdentity};
use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::{ProducerId, TransactionalId};

use crate::cluster::partition_of;
use crate::error::KafkaError;

/// A producer, as requests name it.
pub(crate) fn identity(id: ProducerId, epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id: id.0, epoch }
}

/// A transaction to be joined, as requests name it.
pub(crate) fn join(id: &TransactionalId, producer: ProducerIdentity, protocol: u8, add: bool) -> JoinTransaction {
    JoinTransaction { transactional_id: id.as_str().into(), producer, protocol, add }
}

/// A partition as a participant, if it exists.
pub(crate) fn participant(image: &ClusterImage, topic: &str, partition: i32) -> Result<Participant, ErrorCode> {
    let found = image.topic(topic).filter(|topic| partition_of(topic, partition).is_some());
    let topic = found.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    Ok(Participant::Partition { topic: Arc::clone(&topic.name), id: topic.id, partition })
}

/// The code of a refusal for a client that knows PRODUCER_FENCED, or for one that does not.
pub(crate) fn code_for(error: &TransactionError, knows_fenced: bool) -> ErrorCode {
    match error.code() {
        ErrorCode::PRODUCER_FENCED if !knows_fenced => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    }
}
