//! What happens when nobody says anything.

use std::sync::Arc;

use super::members::Member;
use super::{ConsumerGroup, Context};
use crate::classic::Millis;

impl Member {
    /// When it must be looked at, if nothing happens before.
    fn deadline(&self) -> Millis {
        self.acts_by.map_or(self.session_ends, |acts_by| acts_by.min(self.session_ends))
    }
}

impl ConsumerGroup {
    /// When the group must be looked at again, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.members.values().map(Member::deadline).min()
    }

    /// Does all that is due.
    pub(crate) fn expire(&mut self, ctx: Context<'_>) {
        let due = self.members.iter().filter(|(_, member)| member.deadline() <= ctx.now);
        let due: Vec<Arc<str>> = due.map(|(id, _)| id.clone()).collect();
        for id in &due {
            let silent = self.members.get(id).is_some_and(|member| member.session_ends <= ctx.now);
            let reason = if silent { "its session has ended" } else { "it has not done in time what it was told to" };
            tracing::info!(group = %self.id, member = %id, reason, "the member is removed");
        }
        self.fence(ctx, &due, "members are removed");
    }

    /// Puts all deadlines off: this process stood still, and could not hear its members.
    pub(crate) fn postpone(&mut self, by: Millis) {
        for member in self.members.values_mut() {
            member.session_ends += by;
            if let Some(acts_by) = &mut member.acts_by {
                *acts_by += by;
            }
        }
    }
}
