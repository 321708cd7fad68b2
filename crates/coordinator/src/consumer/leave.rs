//! Members go, or are taken for dead.

use std::sync::Arc;

use super::{ConsumerGroup, Context};
use crate::GroupError;
use crate::consumer::Held;
use crate::model::consumer::{Heartbeat, HeartbeatAnswer};
use crate::rows::{ConsumerMemberRow, MemberState};

/// The epoch with which a static member goes for a while: nobody else gets what it has, until its session ends.
pub(super) const LEAVE_FOR_A_WHILE: i32 = -2;

impl ConsumerGroup {
    pub(super) fn leave(&mut self, ctx: Context<'_>, beat: &Heartbeat) -> Result<HeartbeatAnswer, GroupError> {
        let id = match &beat.instance_id {
            None => self.members.get_key_value(&*beat.member_id).map(|(id, _)| id.clone()),
            Some(instance_id) => self.instances.get(instance_id).cloned(),
        };
        let id = id.ok_or(GroupError::UnknownMember)?;
        if *id != *beat.member_id {
            return Err(GroupError::FencedInstance);
        }
        tracing::info!(group = %self.id, member = %id, epoch = beat.member_epoch, "a member leaves");
        if beat.member_epoch == LEAVE_FOR_A_WHILE {
            self.leave_for_a_while(&id);
        } else {
            self.fence(ctx, &[id], "a member leaves");
        }
        Ok(HeartbeatAnswer {
            member_id: beat.member_id.clone(),
            member_epoch: beat.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    fn leave_for_a_while(&mut self, id: &Arc<str>) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.acts_by = None;
        let mut row: ConsumerMemberRow = member.row.clone();
        row.progress.previous_epoch = row.progress.epoch;
        row.progress.epoch = LEAVE_FOR_A_WHILE;
        row.progress.state = MemberState::Stable;
        row.progress.revoking = Held::new();
        // When it comes back, it has them from the beginning on.
        for epoch in row.progress.held.values_mut().flat_map(|partitions| partitions.values_mut()) {
            *epoch = 0;
        }
        self.change(id, row);
    }

    /// Takes members out; what they had is free.
    pub(super) fn fence(&mut self, ctx: Context<'_>, ids: &[Arc<str>], reason: &'static str) {
        if ids.is_empty() {
            return;
        }
        for id in ids {
            self.remove(id);
        }
        let epoch_before = self.row.epoch;
        self.forget_topics();
        self.refresh_topics(ctx);
        if self.row.epoch == epoch_before {
            self.next_epoch(reason);
        }
    }
}
