//! A group of either protocol.

use std::sync::Arc;

use crate::GroupError;
use crate::classic::{Answers, ClassicGroup, ExpiryBasis, Millis};
use crate::command::Command;
use crate::consumer::{self, ConsumerGroup};
use crate::model::{ListedGroup, MemberIdentity};
use crate::tables::Tables;

/// A group.
#[derive(Debug)]
pub(crate) enum Group {
    /// Of the classic protocol.
    Classic(ClassicGroup),
    /// Of the consumer protocol (KIP-848).
    Consumer(ConsumerGroup),
}

impl Group {
    /// A group that no one knows yet.
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self::Classic(ClassicGroup::new(id))
    }

    /// A group as its rows have it; without any it has neither members nor a past, and is a classic one.
    pub(crate) fn stored(tables: &Tables, id: &Arc<str>, ctx: consumer::Context<'_>) -> Self {
        match (tables.group(id), tables.consumer_group(id)) {
            (Some(row), _) => Self::Classic(ClassicGroup::from_row(id.clone(), row, ctx.classic())),
            (None, Some(rows)) => Self::Consumer(ConsumerGroup::from_rows(id.clone(), rows, ctx)),
            (None, None) => Self::new(id.clone()),
        }
    }

    /// Follows up a decision: a consumer group whose members all speak the classic protocol by now goes back to it.
    pub(crate) fn settle(&mut self, id: &Arc<str>, ctx: consumer::Context<'_>, out: &mut Answers) {
        if let Self::Consumer(group) = self
            && let Some(row) = group.to_classic(ctx)
        {
            *self = Self::Classic(ClassicGroup::taken_over(id.clone(), &row, ctx.classic(), out));
        }
    }

    /// The command that brings the rows up to the group, if there is a difference.
    pub(crate) fn take_change(&mut self) -> Option<Command> {
        match self {
            Self::Classic(group) => group.take_change(),
            Self::Consumer(group) => group.take_change(),
        }
    }

    /// When the group must be looked at again, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        match self {
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
        }
    }

    /// Puts all deadlines off.
    pub(crate) fn postpone(&mut self, by: Millis) {
        match self {
            Self::Classic(group) => group.postpone(by),
            Self::Consumer(group) => group.postpone(by),
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether there is nothing in it that its rows do not say.
    pub(crate) fn is_at_rest(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_at_rest(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// Which offsets expire when; `None` while none does.
    pub(crate) fn expiry_basis(&self) -> Option<ExpiryBasis> {
        match self {
            Self::Classic(group) => group.expiry_basis(),
            Self::Consumer(_) => Some(ExpiryBasis::Commit),
        }
    }

    /// Whether the members are, or may be, subscribed to `topic`.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Consumer(group) => group.is_subscribed(topic),
        }
    }

    /// Whether a member may commit offsets with a transaction. Whoever says which member it is must be one; others are let through, as in Kafka.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn check_transactional_commit(&self, identity: &MemberIdentity) -> Result<(), GroupError> {
        let is_anonymous = identity.member_id.is_empty() && identity.instance_id.is_none();
        if identity.generation < 0 && (is_anonymous || self.is_empty()) {
            return Ok(());
        }
        match self {
            Self::Classic(group) => group.check_generation(identity),
            Self::Consumer(group) => group.check_commit(identity),
        }
    }

    /// Whether committed offsets may be removed at the client's wish.
    ///
    /// # Errors
    /// [`GroupError::NonEmptyGroup`] when it has members whose topics are unknown.
    pub(crate) fn check_offset_delete(&self) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.check_offset_delete(),
            Self::Consumer(_) => Ok(()),
        }
    }

    pub(crate) fn list(&self) -> ListedGroup {
        match self {
            Self::Classic(group) => group.list(),
            Self::Consumer(group) => group.list(),
        }
    }
}
