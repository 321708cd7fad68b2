//! From the classic protocol to this one and back, while the group has members.

use std::sync::Arc;

use super::classic_members::{with_ids, with_names};
use super::members::Member;
use super::partitions::{put, without_epochs};
use super::{ConsumerGroup, Context, Held};
use crate::GroupError;
use crate::embedded::{Subscription, assignment, parse_assignment};
use crate::rows::{ClassicPart, ConsumerMemberRow, GroupRow, MemberRow, MemberState, Progress, RestState};
use crate::subscription::CONSUMER;

impl ConsumerGroup {
    /// A classic group as a group of this protocol: its members go on in their generation with what they have, and are led from there.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn from_classic(id: Arc<str>, row: &GroupRow, ctx: Context<'_>) -> Result<Self, GroupError> {
        let refused = |reason: &str| {
            let text = format!("the classic group '{id}' cannot become a consumer group: {reason}");
            Err(GroupError::OtherProtocol(text))
        };
        if !ctx.config.consumer.migration.upgrades() {
            return refused("group.consumer.migration.policy does not allow it");
        } else if row.protocol_type.as_deref() != Some(CONSUMER) {
            return refused("its members are no consumers");
        } else if row.members.len() > ctx.config.consumer.max_size {
            return refused("it has more members than group.consumer.max.size");
        }
        let mut group = Self::new(id.clone());
        group.row.epoch = row.generation;
        group.row.assignment_epoch = row.generation;
        for member in &row.members {
            let Some(consumer) = upgraded(member, row, ctx) else {
                return refused("its members use an assignor of their own, or what they say cannot be read");
            };
            let target = without_epochs(&consumer.progress.held);
            let member_id: Arc<str> = member.id.as_str().into();
            group.insert(ctx, member_id.clone(), consumer);
            group.targets.insert(member_id.clone(), target);
            group.changed.targets.insert(member_id);
        }
        group.changed.group = true;
        tracing::info!(group = %id, members = row.members.len(), "the group goes over to the consumer protocol");
        Ok(group)
    }

    /// The row of the classic group that it shall become, if all its members speak the classic protocol by now.
    pub(crate) fn to_classic(&self, ctx: Context<'_>) -> Option<GroupRow> {
        let all_classic = !self.is_empty() && self.members.values().all(|member| member.row.classic.is_some());
        let allowed = ctx.config.consumer.migration.downgrades() && self.members.len() <= ctx.config.max_group_size;
        if !all_classic || !allowed {
            return None;
        }
        tracing::info!(group = %self.id, members = self.members.len(), "the group goes back to the classic protocol");
        let downgraded = |(id, member): (&Arc<str>, &Member)| {
            let row = &member.row;
            let classic = row.classic.clone()?;
            let subscription = classic.protocols.first().and_then(|(_, metadata)| Subscription::parse(metadata));
            let version = subscription.map_or(0, |subscription| subscription.version);
            let target = self.targets.get(id).map(|target| with_names(ctx, target)).unwrap_or_default();
            Some(MemberRow {
                id: id.to_string(),
                instance_id: row.instance_id.clone(),
                client_id: row.client_id.clone(),
                client_host: row.client_host.clone(),
                session_timeout_ms: classic.session_timeout_ms,
                rebalance_timeout_ms: row.rebalance_timeout_ms,
                protocols: classic.protocols,
                assignment: assignment(version, &target),
            })
        };
        Some(GroupRow {
            state: RestState::Stable,
            // The one that members are in, unless they were on their way to the next.
            generation: self.row.assignment_epoch,
            state_since: 0,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol: None,
            leader: None,
            members: self.members.iter().filter_map(downgraded).collect(),
        })
    }
}

/// A member as it goes over. `None` if what it says, or has, cannot be read.
fn upgraded(member: &MemberRow, group: &GroupRow, ctx: Context<'_>) -> Option<ConsumerMemberRow> {
    let chosen =
        group.protocol.as_ref().and_then(|protocol| member.protocols.iter().find(|(name, _)| name == protocol));
    let (_, metadata) = chosen.or_else(|| member.protocols.first())?;
    let subscription = Subscription::parse(metadata)?;
    let mut held = Held::new();
    for (topic, partitions) in with_ids(ctx, &parse_assignment(&member.assignment)?) {
        for partition in partitions {
            put(&mut held, topic, partition, group.generation);
        }
    }
    Some(ConsumerMemberRow {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        assignor: None,
        topic_names: subscription.topics.into_iter().collect(),
        topic_regex: None,
        progress: Progress {
            epoch: group.generation,
            previous_epoch: group.generation,
            state: MemberState::Stable,
            held,
            revoking: Held::new(),
        },
        classic: Some(ClassicPart {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    })
}
