//! SyncGroup.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Answers, ClassicGroup, Context, Phase, WaiterId};
use crate::GroupError;
use crate::model::{SyncRequest, Synced};

impl ClassicGroup {
    /// Takes a request for an assignment; the leader's brings everyone's. It is answered at once or when the leader's has come.
    pub(crate) fn sync(&mut self, ctx: Context<'_>, request: SyncRequest, waiter: WaiterId, out: &mut Answers) {
        if let Err(error) = self.check_sync(&request) {
            out.sync(waiter, Err(error));
            return;
        }
        self.forget_unsynced(&request.member_id);
        let is_leader = self.leader.as_deref() == Some(&request.member_id);
        let Some(member) = self.members.get_mut(&request.member_id) else { return };
        if self.phase == Phase::Stable {
            let assignment = member.row.assignment.clone();
            out.sync(waiter, Ok(self.synced(assignment)));
            return;
        }
        if let Some(earlier) = member.syncing.replace(waiter) {
            // The client has given up on its earlier request and made a new one.
            out.sync(earlier, Err(GroupError::RebalanceInProgress));
        }
        if is_leader {
            self.assign(ctx, request.assignments, out);
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.validate_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs =
            |own: &Option<String>, theirs: &Option<String>| own.is_some() && theirs.is_some() && own != theirs;
        if differs(&self.protocol_type, &request.protocol_type) || differs(&self.protocol, &request.protocol) {
            return Err(GroupError::InconsistentProtocol(
                "the protocol type or the assignor is not the one that the group has chosen; join again".to_owned(),
            ));
        }
        match self.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// The generation has its assignments: a member that the leader has forgotten has nothing.
    fn assign(&mut self, ctx: Context<'_>, assignments: Vec<(String, Bytes)>, out: &mut Answers) {
        let mut assignments: HashMap<String, Bytes> = assignments.into_iter().collect();
        self.phase = Phase::Stable;
        let mut answers = Vec::new();
        for member in self.members.values_mut() {
            member.row.assignment = assignments.remove(&member.row.id).unwrap_or_default();
            if let Some(waiter) = member.syncing.take() {
                answers.push((waiter, member.row.assignment.clone()));
                member.refresh(ctx.now);
            }
        }
        for (waiter, assignment) in answers {
            out.sync(waiter, Ok(self.synced(assignment)));
        }
        self.note_assigned();
        tracing::info!(group = %self.id, generation = self.generation, members = self.members.len(), "the group is stable");
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment,
        }
    }

    fn forget_unsynced(&mut self, member_id: &str) {
        self.unsynced.remove(member_id);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
    }
}
