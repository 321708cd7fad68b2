//! Why a consumer group's request is refused. Each variant has one Kafka error code, mapped in `caudal-broker`.

use caudal_types::NodeId;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// NOT_COORDINATOR.
    #[error("this node does not coordinate the group; ask for its coordinator")]
    NotCoordinator {
        /// The coordinator, if known.
        coordinator: Option<NodeId>,
    },
    /// COORDINATOR_NOT_AVAILABLE.
    #[error("the group's coordinator is not available: {0}")]
    NotAvailable(String),
    /// INVALID_GROUP_ID.
    #[error("the group id is empty; set group.id")]
    InvalidGroupId,
    /// UNKNOWN_MEMBER_ID.
    #[error("the group has no such member; join again")]
    UnknownMember,
    /// MEMBER_ID_REQUIRED.
    #[error("join again with the member id of this answer")]
    MemberIdRequired {
        /// The id to join with.
        member_id: String,
    },
    /// ILLEGAL_GENERATION.
    #[error("the generation is not the group's current one; join again")]
    IllegalGeneration,
    /// REBALANCE_IN_PROGRESS.
    #[error("the group is rebalancing; join again")]
    RebalanceInProgress,
    /// INCONSISTENT_GROUP_PROTOCOL.
    #[error("{0}")]
    InconsistentProtocol(String),
    /// INVALID_SESSION_TIMEOUT.
    #[error("the session timeout {got} ms is outside of {min} to {max} ms")]
    InvalidSessionTimeout {
        /// What was asked for.
        got: i32,
        /// The least (`group.min.session.timeout.ms`).
        min: i32,
        /// The most (`group.max.session.timeout.ms`).
        max: i32,
    },
    /// FENCED_INSTANCE_ID.
    #[error("another member with this group.instance.id has joined since")]
    FencedInstance,
    /// GROUP_MAX_SIZE_REACHED.
    #[error("the group has its {0} members already (group.max.size)")]
    GroupFull(usize),
    /// GROUP_MAX_SIZE_REACHED.
    #[error("the group has its {0} members already (group.consumer.max.size)")]
    ConsumerGroupFull(usize),
    /// FENCED_MEMBER_EPOCH.
    #[error(
        "the member comes with epoch {got} and is in epoch {current}; it must give up all its partitions and join again"
    )]
    FencedMemberEpoch {
        /// The member's.
        got: i32,
        /// The coordinator's.
        current: i32,
    },
    /// STALE_MEMBER_EPOCH.
    #[error("the member's epoch is not the one that it had its partitions in; it must take its newest one")]
    StaleMemberEpoch,
    /// UNSUPPORTED_VERSION.
    #[error(
        "members of the consumer protocol commit offsets with OffsetCommit of version 9 or above; use a newer client"
    )]
    VersionBeforeEpochs,
    /// UNRELEASED_INSTANCE_ID.
    #[error("the instance id is in use by the member '{0}', which has not left; stop it, or give each member its own")]
    UnreleasedInstance(String),
    /// UNSUPPORTED_ASSIGNOR.
    #[error("the server assignor '{got}' is not supported; those that are: {supported}")]
    UnsupportedAssignor {
        /// What was asked for.
        got: String,
        /// The names of the others.
        supported: String,
    },
    /// INVALID_REGULAR_EXPRESSION.
    #[error("{0}")]
    InvalidRegex(String),
    /// GROUP_ID_NOT_FOUND: there is such a group, of another protocol.
    #[error("{0}")]
    OtherProtocol(String),
    /// OFFSET_METADATA_TOO_LARGE.
    #[error("the offset's metadata has {size} bytes; the most is {max} (offset.metadata.max.bytes)")]
    MetadataTooLarge {
        /// What it has.
        size: usize,
        /// What it may have.
        max: usize,
    },
    /// GROUP_ID_NOT_FOUND.
    #[error("there is no group '{0}'")]
    GroupNotFound(String),
    /// NON_EMPTY_GROUP.
    #[error("the group has members; stop them first")]
    NonEmptyGroup,
    /// GROUP_SUBSCRIBED_TO_TOPIC.
    #[error("the group's members are subscribed to the topic; stop them first")]
    SubscribedToTopic,
    /// INVALID_REQUEST.
    #[error("{0}")]
    InvalidRequest(String),
    /// UNSTABLE_OFFSET_COMMIT.
    #[error("a transaction that has not ended has an offset of the partition; try again")]
    UnstableOffset,
}
