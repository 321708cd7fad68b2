//! What happens when nobody says anything.

use super::{Answers, ClassicGroup, Context, Millis, Phase};
use crate::GroupError;

impl ClassicGroup {
    /// When the group must be looked at again, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let members = self.members.values().filter_map(|member| member.deadline);
        let join = match self.phase {
            Phase::Preparing { deadline, .. } => Some(deadline),
            Phase::Empty | Phase::Completing | Phase::Stable => None,
        };
        self.pending.values().copied().chain(members).chain(join).chain(self.sync_deadline).min()
    }

    /// Does all that is due.
    pub(crate) fn expire(&mut self, ctx: Context<'_>, out: &mut Answers) {
        self.expire_pending(ctx, out);
        self.expire_members(ctx, out);
        if self.sync_deadline.is_some_and(|deadline| deadline <= ctx.now) {
            self.expire_syncs(ctx, out);
        }
        if let Phase::Preparing { deadline, .. } = self.phase
            && deadline <= ctx.now
        {
            self.end_join_wait(ctx, out);
        }
    }

    fn expire_pending(&mut self, ctx: Context<'_>, out: &mut Answers) {
        let before = self.pending.len();
        self.pending.retain(|_, deadline| *deadline > ctx.now);
        if self.pending.len() < before {
            self.complete_if_all_joined(ctx, out);
        }
    }

    fn expire_members(&mut self, ctx: Context<'_>, out: &mut Answers) {
        let due = |deadline: Option<Millis>| deadline.is_some_and(|deadline| deadline <= ctx.now);
        let silent = self.members.values().filter(|member| due(member.deadline));
        let silent: Vec<String> = silent.map(|member| member.row.id.clone()).collect();
        for id in silent {
            // A removal before may have given it a new deadline.
            let Some(member) = self.members.get_mut(&id).filter(|member| due(member.deadline)) else { continue };
            if member.is_excused() {
                member.deadline = None;
                continue;
            }
            tracing::info!(group = %self.id, member = id, "the member's session has ended and it is removed");
            self.remove(&id, GroupError::UnknownMember, out);
            if self.can_rebalance() {
                self.prepare_rebalance(ctx, "a member's session has ended", out);
            } else {
                self.complete_if_all_joined(ctx, out);
            }
        }
    }

    fn expire_syncs(&mut self, ctx: Context<'_>, out: &mut Answers) {
        self.sync_deadline = None;
        let late = std::mem::take(&mut self.unsynced);
        if late.is_empty() || !matches!(self.phase, Phase::Completing | Phase::Stable) {
            return;
        }
        for id in &late {
            tracing::info!(group = %self.id, member = id, "the member has not asked for its assignment in time and is removed");
            self.remove(id, GroupError::UnknownMember, out);
        }
        self.prepare_rebalance(ctx, "members have not asked for their assignments", out);
    }

    /// When someone that was waited for is given up, even a first rebalance waits no longer.
    fn complete_if_all_joined(&mut self, ctx: Context<'_>, out: &mut Answers) {
        if matches!(self.phase, Phase::Preparing { .. }) && self.all_joined() {
            self.complete_join(ctx, out);
        }
    }
}
