//! A member of a group.

use super::{Millis, NEW_MEMBER_JOIN_TIMEOUT_MS, WaiterId};
use crate::model::JoinRequest;
use crate::rows::MemberRow;

/// A member: what its row has, and what only the coordinator knows.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) row: MemberRow,
    /// The id under which the group's row has it.
    pub(super) stored_as: Option<String>,
    /// Who waits for the rebalance.
    pub(super) joining: Option<WaiterId>,
    /// Who waits for the assignment.
    pub(super) syncing: Option<WaiterId>,
    /// It has not been part of a generation.
    pub(super) is_new: bool,
    /// When it is taken for dead; `None` while it waits for an answer.
    pub(super) deadline: Option<Millis>,
}

impl Member {
    /// A member that joins for the first time.
    pub(super) fn new(id: String, request: JoinRequest, waiter: WaiterId, now: Millis) -> Self {
        let row = MemberRow {
            id,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols,
            assignment: bytes::Bytes::new(),
        };
        let deadline = Some(now + NEW_MEMBER_JOIN_TIMEOUT_MS);
        Self { row, stored_as: None, joining: Some(waiter), syncing: None, is_new: true, deadline }
    }

    /// A member as another coordinator left it. It gets a whole session.
    pub(super) fn from_row(row: MemberRow, now: Millis) -> Self {
        let stored_as = Some(row.id.clone());
        let mut member = Self { row, stored_as, joining: None, syncing: None, is_new: false, deadline: None };
        member.refresh(now);
        member
    }

    /// Begins a new session.
    pub(super) fn refresh(&mut self, now: Millis) {
        self.deadline = Some(now + millis(self.row.session_timeout_ms));
    }

    /// Whether its client cannot be expected to show itself, since it waits for us. One that is new may be gone, though, and we would not know.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    pub(super) fn is_static(&self) -> bool {
        self.row.instance_id.is_some()
    }

    /// Its subscription for `protocol`.
    pub(super) fn metadata(&self, protocol: &str) -> bytes::Bytes {
        let found = self.row.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

/// A time-out of the protocol; negative ones are none.
pub(super) fn millis(timeout_ms: i32) -> Millis {
    Millis::try_from(timeout_ms).unwrap_or(0)
}
