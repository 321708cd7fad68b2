//! Who may commit and fetch offsets.

use caudal_types::TopicId;

use super::members::Member;
use super::{ConsumerGroup, Held};
use crate::GroupError;
use crate::model::MemberIdentity;

impl Member {
    /// What an epoch that is not the member's own is called in its protocol.
    fn stale(&self) -> GroupError {
        if self.row.classic.is_some() { GroupError::IllegalGeneration } else { GroupError::StaleMemberEpoch }
    }
}

impl ConsumerGroup {
    /// Whether `identity` may commit offsets at all; then each partition is to be asked about.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_commit(&self, identity: &MemberIdentity) -> Result<(), GroupError> {
        if identity.generation < 0 && self.is_empty() {
            return Ok(());
        }
        let member = self.members.get(&*identity.member_id).ok_or(GroupError::UnknownMember)?;
        if identity.before_epochs && member.row.classic.is_none() {
            return Err(GroupError::VersionBeforeEpochs);
        }
        if identity.generation > member.row.progress.epoch { Err(member.stale()) } else { Ok(()) }
    }

    /// Whether it may commit this partition's offset. A member that has not heard of its new epoch yet may go on committing what it has had since the one
    /// that it knows.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_commit_of(
        &self,
        identity: &MemberIdentity,
        topic: TopicId,
        partition: i32,
    ) -> Result<(), GroupError> {
        let Some(member) = self.members.get(&*identity.member_id) else { return Ok(()) };
        let progress = &member.row.progress;
        let given = |held: &Held| held.get(&topic).and_then(|partitions| partitions.get(&partition)).copied();
        let may = identity.generation == progress.epoch
            || given(&progress.held)
                .or_else(|| given(&progress.revoking))
                .is_some_and(|epoch| identity.generation >= epoch);
        if may { Ok(()) } else { Err(member.stale()) }
    }

    /// Whether a member may fetch committed offsets. Tools say neither who they are nor an epoch, and may.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        let Some(member_id) = member_id else {
            return if epoch < 0 { Ok(()) } else { Err(GroupError::UnknownMember) };
        };
        let member = self.members.get(member_id).ok_or(GroupError::UnknownMember)?;
        if epoch == member.row.progress.epoch { Ok(()) } else { Err(member.stale()) }
    }
}
