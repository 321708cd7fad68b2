//! Why appends and reads are refused. Each variant has one Kafka error code, mapped in `caudal-broker`.

use caudal_types::{LeaderEpoch, NodeId, Offset, ProducerEpoch};

/// Why a batch was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// NOT_LEADER_OR_FOLLOWER.
    #[error("this node does not lead the partition; ask for metadata and send to the leader")]
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// CORRUPT_MESSAGE.
    #[error("the record batch is damaged: {0}")]
    Corrupt(String),
    /// INVALID_RECORD, as Kafka answers: magic 0 or 1.
    #[error("record batches of magic {0} are no longer supported; use a client that writes magic 2")]
    OldMagic(i8),
    /// INVALID_RECORD.
    #[error("{0}")]
    InvalidRecord(String),
    /// INVALID_TIMESTAMP.
    #[error("{0}")]
    InvalidTimestamp(String),
    /// INVALID_TIMESTAMP if one of the records has such a one, else INVALID_RECORD, as in Kafka. The records travel with the answer (KIP-467).
    #[error("the batch was refused for {}", RecordFault::summary(.0))]
    Records(Vec<RecordFault>),
    /// MESSAGE_TOO_LARGE.
    #[error("the record batch has {size} bytes; the topic's max.message.bytes is {max}")]
    TooLarge {
        /// What it has.
        size: usize,
        /// What it may have.
        max: usize,
    },
    /// MESSAGE_TOO_LARGE.
    #[error(
        "compressed as the topic's compression.type says, the record batch has more bytes than its max.message.bytes, {max}"
    )]
    GrowsTooLarge {
        /// What it may have.
        max: usize,
    },
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error("sequence {got} does not follow the producer's last, {last}")]
    OutOfOrderSequence {
        /// The batch's first sequence.
        got: i32,
        /// The last sequence accepted.
        last: i32,
    },
    /// INVALID_PRODUCER_EPOCH.
    #[error("producer epoch {got} is older than {current}: a newer producer has taken over")]
    FencedProducer {
        /// The batch's epoch.
        got: ProducerEpoch,
        /// The newest epoch seen.
        current: ProducerEpoch,
    },
    /// INVALID_TXN_STATE.
    #[error(
        "the batch belongs to no transaction that is open in the partition, or to none while its producer has one open; abort the transaction"
    )]
    NotInTransaction,
    /// NOT_ENOUGH_REPLICAS.
    #[error("{live} replicas are alive and caught up; min.insync.replicas asks for {needed}")]
    NotEnoughReplicas {
        /// How many are.
        live: usize,
        /// How many are asked for.
        needed: usize,
    },
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND.
    #[error(
        "the batch is committed, but {live} replicas are alive and min.insync.replicas asks for {needed} to have it; it stays, and an idempotent \
         producer may send it again"
    )]
    NotEnoughReplicasAfterAppend {
        /// How many are.
        live: usize,
        /// How many are asked for.
        needed: usize,
    },
    /// KAFKA_STORAGE_ERROR.
    #[error(
        "the disk of this node, the partition's leader, is full but for its reserve; reads go on, and so do writes once there is space"
    )]
    Full,
    /// KAFKA_STORAGE_ERROR.
    #[error("the node's disk takes no writes: {0}")]
    Storage(String),
    /// NOT_LEADER_OR_FOLLOWER too, so that an idempotent client retries: the outcome is unknown.
    #[error("leadership was lost before the batch was known to be committed; retry")]
    Unknown,
}

/// A record for which its whole batch is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFault {
    /// Its place in the batch, from 0 on.
    pub index: i32,
    /// What is wrong, and what to do.
    pub reason: String,
    /// Whether it is the timestamp.
    pub timestamp: bool,
}

impl RecordFault {
    fn summary(faults: &[Self]) -> String {
        const SHOWN: usize = 3;
        let shown: Vec<_> =
            faults.iter().take(SHOWN).map(|fault| format!("record {}: {}", fault.index, fault.reason)).collect();
        let more = faults.len().saturating_sub(SHOWN);
        shown.join("; ") + &if more > 0 { format!("; and {more} more") } else { String::new() }
    }
}

/// Why records were not deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// NOT_LEADER_OR_FOLLOWER.
    #[error("this node does not lead the partition; ask for metadata and send to the leader")]
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// POLICY_VIOLATION, as Kafka answers.
    #[error("the topic is compacted and not deleted from: its cleanup.policy would have to hold 'delete'")]
    Policy,
    /// OFFSET_OUT_OF_RANGE.
    #[error("records before {offset} cannot be deleted: the partition ends at {end}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The log's end.
        end: Offset,
    },
    /// KAFKA_STORAGE_ERROR.
    #[error("the node's disk takes no writes: {0}")]
    Storage(String),
    /// NOT_LEADER_OR_FOLLOWER too, so that clients ask again: the outcome is unknown.
    #[error("leadership was lost before the deletion was known to be committed; retry")]
    Unknown,
}

/// Why a read was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// OFFSET_OUT_OF_RANGE.
    #[error("offset {offset} is outside of {start} to {end}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The log's start.
        start: Offset,
        /// The log's end.
        end: Offset,
    },
    /// OFFSET_NOT_AVAILABLE.
    #[error("offset {offset} is above what this replica has applied, {end}; fetch from the leader")]
    NotYet {
        /// What was asked for.
        offset: Offset,
        /// What the replica has.
        end: Offset,
    },
    /// OFFSET_NOT_AVAILABLE.
    #[error("this replica has lost sight of the majority, which may have gone on; fetch from the leader")]
    CutOff,
    /// OFFSET_NOT_AVAILABLE.
    #[error("the leader cannot tell in time whether what its log holds is committed; try again")]
    Unsettled,
    /// NOT_LEADER_OR_FOLLOWER.
    #[error("this node does not lead the partition; ask for metadata and fetch from the leader")]
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// FENCED_LEADER_EPOCH.
    #[error("the client's leader epoch is older than the partition's, {current}; ask for metadata")]
    FencedEpoch {
        /// The partition's.
        current: LeaderEpoch,
    },
    /// UNKNOWN_LEADER_EPOCH.
    #[error("the client's leader epoch is newer than the partition's, {current}")]
    UnknownEpoch {
        /// The partition's.
        current: LeaderEpoch,
    },
    /// KAFKA_STORAGE_ERROR.
    #[error("the node's disk cannot be read: {0}")]
    Storage(String),
}
