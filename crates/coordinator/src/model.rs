//! Requests and answers, typed.

pub mod consumer;

use std::sync::Arc;

use bytes::Bytes;
use caudal_types::{LeaderEpoch, Offset, TimestampMs};

/// JoinGroup.
#[derive(Clone, Debug, Default)]
pub struct JoinRequest {
    /// The group.
    pub group_id: String,
    /// The member's id; empty at its first join.
    pub member_id: String,
    /// The static member's id (KIP-345).
    pub instance_id: Option<String>,
    /// The client's id, from the request header.
    pub client_id: String,
    /// The client's address, such as `/127.0.0.1`.
    pub client_host: String,
    /// How long the member may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long the group waits for the member to join again, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect` ...
    pub protocol_type: String,
    /// The assignors that the member supports with its subscription for each, best first.
    pub protocols: Vec<(String, Bytes)>,
    /// The client understands MEMBER_ID_REQUIRED (KIP-394; version 4 on, and no instance id).
    pub require_known_member_id: bool,
    /// The client understands `skip_assignment` (KIP-814; version 9 on).
    pub supports_skip_assignment: bool,
    /// Why the client joins (KIP-800).
    pub reason: Option<String>,
}

/// The answer to JoinGroup: the member is part of this generation.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// `consumer`, `connect` ...
    pub protocol_type: String,
    /// The assignor chosen.
    pub protocol: String,
    /// The member that assigns.
    pub leader: String,
    /// The member's id.
    pub member_id: String,
    /// The leader must not assign again (KIP-814).
    pub skip_assignment: bool,
    /// All members with their subscriptions, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member, as the group's leader sees it.
#[derive(Clone, Debug)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its static id.
    pub instance_id: Option<String>,
    /// Its subscription for the assignor chosen.
    pub metadata: Bytes,
}

/// SyncGroup.
#[derive(Clone, Debug, Default)]
pub struct SyncRequest {
    /// The group.
    pub group_id: String,
    /// The generation that the member joined.
    pub generation: i32,
    /// The member.
    pub member_id: String,
    /// Its static id.
    pub instance_id: Option<String>,
    /// What it believes the group's protocol type is.
    pub protocol_type: Option<String>,
    /// What it believes the assignor is.
    pub protocol: Option<String>,
    /// From the leader: what each member shall have.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, Default)]
pub struct Synced {
    /// `consumer`, `connect` ...
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    /// What the member has.
    pub assignment: Bytes,
}

/// Who speaks for a group: the identity in Heartbeat, LeaveGroup and OffsetCommit.
#[derive(Clone, Debug, Default)]
pub struct MemberIdentity {
    /// The member's id; empty from a client that is not a member (a simple consumer or a tool).
    pub member_id: String,
    /// Its static id.
    pub instance_id: Option<String>,
    /// The generation (member epoch with KIP-848); negative from a client that is not a member.
    pub generation: i32,
    /// Whether the request is of a version from before member epochs (OffsetCommit before version 9), in which only members of the classic protocol commit.
    pub before_epochs: bool,
}

/// A topic as offsets name it. Offsets are stored by name; the id, where the client speaks of ids, is translated by the handler.
pub type OffsetKey = (Arc<str>, i32);

/// OffsetFetch of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsQuestion {
    /// The group.
    pub group_id: String,
    /// The member that asks, when it says who it is (version 9 on): its epoch is checked (KIP-848).
    pub member: Option<FetchingMember>,
    /// Which offsets; `None` for all that the group has.
    pub keys: Option<Vec<OffsetKey>>,
    /// Offsets that a transaction is about to change are refused.
    pub stable: bool,
}

/// A member that asks for offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchingMember {
    /// Its id.
    pub id: Option<String>,
    /// Its epoch; negative when it has none.
    pub epoch: i32,
}

/// An offset to commit.
#[derive(Clone, Debug)]
pub struct OffsetToCommit {
    /// Topic and partition.
    pub key: OffsetKey,
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record read; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own words.
    pub metadata: String,
    /// When it expires, if the client said (version 2 to 4: retention time).
    pub retention_ms: Option<i64>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record read; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own words.
    pub metadata: String,
    /// When it was committed.
    pub committed_at: TimestampMs,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// `consumer`, `connect` ...; empty for a group that only commits offsets.
    pub protocol_type: String,
    /// The state, in Kafka's words: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`; `Assigning` and `Reconciling` of a consumer group.
    pub state: &'static str,
    /// The type, in Kafka's words: `classic` or `consumer`.
    pub group_type: &'static str,
}

/// A group, described.
#[derive(Clone, Debug)]
pub struct DescribedGroup {
    /// The group.
    pub group_id: String,
    /// The state, in Kafka's words.
    pub state: &'static str,
    /// `consumer`, `connect` ...
    pub protocol_type: String,
    /// The assignor, when the group is stable.
    pub protocol: String,
    /// The members.
    pub members: Vec<DescribedMember>,
}

/// A member, described.
#[derive(Clone, Debug)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// Its static id.
    pub instance_id: Option<String>,
    /// Its client's id.
    pub client_id: String,
    /// Its client's address.
    pub client_host: String,
    /// Its subscription for the assignor chosen.
    pub metadata: Bytes,
    /// What it has.
    pub assignment: Bytes,
}
