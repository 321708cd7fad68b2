//! Between the protocols: a classic group that ends as such, or begins.

use std::sync::Arc;

use super::{Answers, Change, ClassicGroup, Context};
use crate::GroupError;
use crate::rows::GroupRow;

impl ClassicGroup {
    /// The group as another protocol takes it over, with its members as they are now.
    pub(crate) fn handed_over(&self) -> GroupRow {
        self.to_row()
    }

    /// The group goes over to another protocol: whoever waits is told to join again, there.
    pub(crate) fn dismiss(&mut self, out: &mut Answers) {
        for member in self.members.values_mut() {
            if let Some(waiter) = member.joining.take() {
                out.join(waiter, Err(GroupError::RebalanceInProgress));
            }
            if let Some(waiter) = member.syncing.take() {
                out.sync(waiter, Err(GroupError::RebalanceInProgress));
            }
        }
    }

    /// A group that comes from another protocol. Its members join again, so that one of them can assign.
    pub(crate) fn taken_over(id: Arc<str>, row: &GroupRow, ctx: Context<'_>, out: &mut Answers) -> Self {
        let mut group = Self::from_row(id, row, ctx);
        group.protocol = group.select_protocol();
        group.subscribed = group.read_subscriptions();
        group.change = Change::Whole;
        group.prepare_rebalance(ctx, "the group comes from the consumer protocol", out);
        group
    }
}
