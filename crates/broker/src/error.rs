//! The one map from errors to Kafka's codes. The error's type decides: "not the leader" of a partition, a consumer group's shard and the controller are different
//! codes. No wildcard arms: a new variant must be given its code here.

use caudal_coordinator::{GroupError, TransactionError};
use caudal_metadata::MetadataError;
use caudal_partition::{AppendError, DeleteRecordsError, ReadError};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::StrBytes;

use crate::text::wire;

/// An error that has a code in Kafka's protocol.
pub(crate) trait KafkaError: std::error::Error {
    /// The code.
    fn code(&self) -> ErrorCode;

    /// The text, as answers carry it.
    fn message(&self) -> Option<StrBytes> {
        Some(wire(&self.to_string()))
    }
}

/// Why a handler itself refuses: a code with a text that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    code: ErrorCode,
    message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::INVALID_REQUEST, message)
    }
}

/// Any of the errors, with its code found already.
impl<E: KafkaError> From<&E> for Refusal {
    fn from(error: &E) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl Refusal {
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    pub(crate) fn message(&self) -> Option<StrBytes> {
        Some(wire(&self.message))
    }
}

impl KafkaError for AppendError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader { .. } | Self::Unknown => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::Corrupt(_) => ErrorCode::CORRUPT_MESSAGE,
            // What Kafka answers: the batch is refused before its format is looked at further.
            Self::OldMagic(_) => ErrorCode::INVALID_RECORD,
            Self::InvalidRecord(_) => ErrorCode::INVALID_RECORD,
            Self::InvalidTimestamp(_) => ErrorCode::INVALID_TIMESTAMP,
            Self::Records(faults) if faults.iter().any(|fault| fault.timestamp) => ErrorCode::INVALID_TIMESTAMP,
            Self::Records(_) => ErrorCode::INVALID_RECORD,
            Self::TooLarge { .. } | Self::GrowsTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            Self::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            Self::FencedProducer { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::NotInTransaction => ErrorCode::INVALID_TXN_STATE,
            Self::NotEnoughReplicas { .. } => ErrorCode::NOT_ENOUGH_REPLICAS,
            Self::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            Self::Full | Self::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl KafkaError for ReadError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            Self::NotYet { .. } | Self::CutOff | Self::Unsettled => ErrorCode::OFFSET_NOT_AVAILABLE,
            Self::NotLeader { .. } => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::FencedEpoch { .. } => ErrorCode::FENCED_LEADER_EPOCH,
            Self::UnknownEpoch { .. } => ErrorCode::UNKNOWN_LEADER_EPOCH,
            Self::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl KafkaError for DeleteRecordsError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader { .. } | Self::Unknown => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::Policy => ErrorCode::POLICY_VIOLATION,
            Self::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            Self::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl KafkaError for GroupError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotCoordinator { .. } => ErrorCode::NOT_COORDINATOR,
            Self::NotAvailable(_) => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            Self::InvalidGroupId => ErrorCode::INVALID_GROUP_ID,
            Self::UnknownMember => ErrorCode::UNKNOWN_MEMBER_ID,
            Self::MemberIdRequired { .. } => ErrorCode::MEMBER_ID_REQUIRED,
            Self::IllegalGeneration => ErrorCode::ILLEGAL_GENERATION,
            Self::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
            Self::InconsistentProtocol(_) => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
            Self::InvalidSessionTimeout { .. } => ErrorCode::INVALID_SESSION_TIMEOUT,
            Self::FencedInstance => ErrorCode::FENCED_INSTANCE_ID,
            Self::GroupFull(_) | Self::ConsumerGroupFull(_) => ErrorCode::GROUP_MAX_SIZE_REACHED,
            Self::FencedMemberEpoch { .. } => ErrorCode::FENCED_MEMBER_EPOCH,
            Self::StaleMemberEpoch => ErrorCode::STALE_MEMBER_EPOCH,
            Self::VersionBeforeEpochs => ErrorCode::UNSUPPORTED_VERSION,
            Self::UnreleasedInstance(_) => ErrorCode::UNRELEASED_INSTANCE_ID,
            Self::UnsupportedAssignor { .. } => ErrorCode::UNSUPPORTED_ASSIGNOR,
            Self::InvalidRegex(_) => ErrorCode::INVALID_REGULAR_EXPRESSION,
            Self::MetadataTooLarge { .. } => ErrorCode::OFFSET_METADATA_TOO_LARGE,
            Self::GroupNotFound(_) | Self::OtherProtocol(_) => ErrorCode::GROUP_ID_NOT_FOUND,
            Self::NonEmptyGroup => ErrorCode::NON_EMPTY_GROUP,
            Self::SubscribedToTopic => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
            Self::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
            Self::UnstableOffset => ErrorCode::UNSTABLE_OFFSET_COMMIT,
        }
    }
}

impl KafkaError for TransactionError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotCoordinator { .. } => ErrorCode::NOT_COORDINATOR,
            Self::NotAvailable(_) => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            Self::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
            Self::InvalidTimeout { .. } => ErrorCode::INVALID_TRANSACTION_TIMEOUT,
            Self::UnknownProducer => ErrorCode::INVALID_PRODUCER_ID_MAPPING,
            Self::Fenced => ErrorCode::PRODUCER_FENCED,
            Self::OldEpoch => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::Concurrent => ErrorCode::CONCURRENT_TRANSACTIONS,
            Self::InvalidState => ErrorCode::INVALID_TXN_STATE,
            Self::NotEnlisted => ErrorCode::TRANSACTION_ABORTABLE,
            Self::NotFound(_) => ErrorCode::TRANSACTIONAL_ID_NOT_FOUND,
            Self::Group(error) => error.code(),
        }
    }
}

impl KafkaError for MetadataError {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidTopic(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            Self::TopicExists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
            Self::UnknownTopic(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Self::UnknownTopicId(_) => ErrorCode::UNKNOWN_TOPIC_ID,
            Self::InvalidPartitions(_) => ErrorCode::INVALID_PARTITIONS,
            Self::InvalidReplicationFactor(_) => ErrorCode::INVALID_REPLICATION_FACTOR,
            Self::InvalidReplicaAssignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            Self::InvalidConfig(_) => ErrorCode::INVALID_CONFIG,
            Self::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
            Self::Throttled(_) => ErrorCode::THROTTLING_QUOTA_EXCEEDED,
            Self::TimedOut(_) => ErrorCode::REQUEST_TIMED_OUT,
            Self::NoController(_) => ErrorCode::NOT_CONTROLLER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_fault_has_the_code_of_its_part() {
        assert_eq!(AppendError::NotLeader { leader: None }.code(), ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(ReadError::NotLeader { leader: None }.code(), ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(GroupError::NotCoordinator { coordinator: None }.code(), ErrorCode::NOT_COORDINATOR);
        assert_eq!(MetadataError::NoController("the vote is under way".to_owned()).code(), ErrorCode::NOT_CONTROLLER);
    }

    #[test]
    fn a_member_whose_group_may_not_change_its_protocol_is_told_as_by_kafka() {
        // A consumer that comes with ConsumerGroupHeartbeat, and one that comes with JoinGroup.
        let refused = || "group.consumer.migration.policy does not allow it".to_owned();
        assert_eq!(GroupError::OtherProtocol(refused()).code(), ErrorCode::GROUP_ID_NOT_FOUND);
        assert_eq!(GroupError::InconsistentProtocol(refused()).code(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }

    #[test]
    fn an_unknown_outcome_makes_clients_retry() {
        assert!(AppendError::Unknown.code().is_retriable());
        assert!(!AppendError::TooLarge { size: 2, max: 1 }.code().is_retriable());
        assert!(!AppendError::OldMagic(1).code().is_retriable());
    }

    #[test]
    fn the_text_travels_with_the_code() {
        let refusal = Refusal::from(&GroupError::GroupNotFound("invoices".to_owned()));
        assert_eq!(refusal.code(), ErrorCode::GROUP_ID_NOT_FOUND);
        assert_eq!(refusal.message().as_deref(), Some("there is no group 'invoices'"));
    }
}
