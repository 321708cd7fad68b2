//! Between a group and its row.

use std::sync::Arc;

use super::member::{Member, millis};
use super::{Answers, ClassicGroup, Context, Millis, Phase};
use crate::rows::{GroupRow, RestState};

impl ClassicGroup {
    /// A group as another coordinator left it: its members go on in their generation, each with a whole session.
    pub(crate) fn from_row(id: Arc<str>, row: &GroupRow, ctx: Context<'_>) -> Self {
        let mut group = Self::new(id);
        group.generation = row.generation;
        group.protocol_type.clone_from(&row.protocol_type);
        group.protocol.clone_from(&row.protocol);
        for member in &row.members {
            group.insert(Member::from_row(member.clone(), ctx.now));
        }
        // A leader that had just joined was not stored yet.
        let is_member = |leader: &&String| group.members.contains_key(*leader);
        group.leader = row.leader.as_ref().filter(is_member).or_else(|| group.members.keys().next()).cloned();
        group.subscribed = group.read_subscriptions();
        let timeout = group.rebalance_timeout();
        group.phase = match row.state {
            RestState::Empty => Phase::Empty,
            RestState::PreparingRebalance => Phase::Preparing { deadline: ctx.now + timeout, initial: None },
            RestState::CompletingRebalance => Phase::Completing,
            RestState::Stable => Phase::Stable,
        };
        if group.phase == Phase::Completing {
            group.expect_syncs(ctx);
        }
        group
    }

    /// Rebalances if the group is larger than what is allowed by now.
    pub(crate) fn check_size(&mut self, ctx: Context<'_>, out: &mut Answers) {
        if self.members.len() > ctx.config.max_group_size && self.can_rebalance() {
            self.prepare_rebalance(ctx, "the group has more members than group.max.size", out);
        }
    }

    pub(super) fn to_row(&self) -> GroupRow {
        let state = match self.phase {
            Phase::Empty => RestState::Empty,
            Phase::Preparing { .. } => RestState::PreparingRebalance,
            Phase::Completing => RestState::CompletingRebalance,
            Phase::Stable => RestState::Stable,
        };
        GroupRow {
            state,
            generation: self.generation,
            // Set when the command is applied.
            state_since: 0,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.values().map(|member| member.row.clone()).collect(),
        }
    }

    /// The longest that any member wishes to be waited for.
    pub(super) fn rebalance_timeout(&self) -> Millis {
        self.members.values().map(|member| millis(member.row.rebalance_timeout_ms)).max().unwrap_or(0)
    }
}
