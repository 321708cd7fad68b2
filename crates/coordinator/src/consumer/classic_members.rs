//! Members that still speak the classic protocol: JoinGroup, SyncGroup, Heartbeat and LeaveGroup, served by the group of the consumer protocol.
//!
//! Such a member is led like the others, but takes each step by joining again: a heartbeat tells it to.

use std::collections::BTreeSet;
use std::sync::Arc;

use caudal_types::TopicId;

use super::members::Member;
use super::partitions::{holds, without_epochs};
use super::{ConsumerGroup, Context, Partitions};
use crate::GroupError;
use crate::classic::{Join, Millis};
use crate::embedded::{NamedPartitions, Subscription, assignment};
use crate::model::{Joined, MemberIdentity, SyncRequest, Synced};
use crate::rows::{ClassicPart, ConsumerMemberRow, MemberState};
use crate::subscription::CONSUMER;
use crate::{MigrationPolicy, model};

impl ConsumerGroup {
    /// JoinGroup. If it is refused, nothing has changed.
    ///
    /// # Errors
    /// Why the member cannot join.
    pub(crate) fn join_classic(&mut self, ctx: Context<'_>, join: &Join) -> Result<Joined, GroupError> {
        let request = &join.request;
        let subscription = self.check_join(ctx, join)?;
        let (id, is_new) = self.admit_classic(ctx, join)?;
        let Some(before) = self.members.get(&id).map(|member| &member.row) else {
            return Err(GroupError::UnknownMember);
        };
        let row = classic_row(before, request, &subscription);
        let resubscribed = row.topic_names != before.topic_names || row.topic_regex != before.topic_regex;
        self.change(&id, row);
        let epoch_before = self.row.epoch;
        if resubscribed {
            self.forget_topics();
        }
        self.refresh_topics(ctx);
        if (is_new || resubscribed) && self.row.epoch == epoch_before {
            self.next_epoch("a member of the classic protocol joins");
        }
        self.update_target(ctx);
        let owned = with_ids(ctx, &subscription.owned);
        self.reconcile(ctx, &id, resubscribed, Some(&owned));
        self.refresh_session(ctx, &id);
        let Some(member) = self.members.get_mut(&id) else { return Err(GroupError::UnknownMember) };
        // Next it must ask for its assignment.
        member.acts_by = Some(ctx.now + member.rebalance_timeout());
        Ok(Joined {
            generation: member.row.progress.epoch,
            protocol_type: CONSUMER.to_owned(),
            protocol: request.protocols.first().map(|(name, _)| name.clone()).unwrap_or_default(),
            member_id: id.to_string(),
            ..Joined::default()
        })
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] tells the member to join again.
    pub(crate) fn sync_classic(&mut self, ctx: Context<'_>, request: &SyncRequest) -> Result<Synced, GroupError> {
        let id = self.classic_member(&request.member_id, request.instance_id.as_deref(), request.generation)?;
        self.refresh_session(ctx, &id);
        let epoch = self.row.assignment_epoch;
        let Some(member) = self.members.get_mut(&id) else { return Err(GroupError::UnknownMember) };
        let Some((protocol, metadata)) = member.row.classic.as_ref().and_then(|classic| classic.protocols.first())
        else {
            return Err(GroupError::UnknownMember);
        };
        let differs = |theirs: &Option<String>, own: &str| theirs.as_ref().is_some_and(|theirs| theirs != own);
        if differs(&request.protocol_type, CONSUMER) || differs(&request.protocol, protocol) {
            let reason = "the protocol type or the assignor is not the one that the member has joined with; join again";
            return Err(GroupError::InconsistentProtocol(reason.to_owned()));
        }
        let progress = &member.row.progress;
        // Who gives partitions up does that first.
        if epoch > progress.epoch && progress.state != MemberState::UnrevokedPartitions {
            member.must_join(ctx.now);
            return Err(GroupError::RebalanceInProgress);
        }
        let version = Subscription::parse(metadata).map_or(0, |subscription| subscription.version);
        let synced = Synced {
            protocol_type: CONSUMER.to_owned(),
            protocol: protocol.clone(),
            assignment: assignment(version, &with_names(ctx, &without_epochs(&progress.held))),
        };
        member.acts_by = None;
        Ok(synced)
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] tells the member to join again.
    pub(crate) fn heartbeat_classic(&mut self, ctx: Context<'_>, identity: &MemberIdentity) -> Result<(), GroupError> {
        let id = self.classic_member(&identity.member_id, identity.instance_id.as_deref(), identity.generation)?;
        self.refresh_session(ctx, &id);
        self.refresh_topics(ctx);
        self.update_target(ctx);
        let epoch = self.row.assignment_epoch;
        let waits = self.waits(&id);
        let Some(member) = self.members.get_mut(&id) else { return Err(GroupError::UnknownMember) };
        let progress = &member.row.progress;
        let must_join = progress.epoch < epoch
            || match progress.state {
                MemberState::Stable => false,
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !waits,
            };
        if must_join {
            member.must_join(ctx.now);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// LeaveGroup; one result each. Administrators name members of either protocol so.
    pub(crate) fn leave_classic(
        &mut self,
        ctx: Context<'_>,
        members: &[MemberIdentity],
    ) -> Vec<Result<(), GroupError>> {
        let mut leaving = Vec::new();
        let mut leave = |identity: &MemberIdentity| {
            let id = match &identity.instance_id {
                None => self.members.get_key_value(&*identity.member_id).map(|(id, _)| id),
                Some(instance_id) => self.instances.get(instance_id),
            };
            let id = id.ok_or(GroupError::UnknownMember)?;
            if !identity.member_id.is_empty() && **id != *identity.member_id {
                return Err(GroupError::FencedInstance);
            }
            leaving.push(id.clone());
            Ok(())
        };
        let results = members.iter().map(&mut leave).collect();
        self.fence(ctx, &leaving, "members leave");
        results
    }

    /// Whether the member may join, and what it subscribes to.
    fn check_join(&self, ctx: Context<'_>, join: &Join) -> Result<Subscription, GroupError> {
        let request = &join.request;
        let inconsistent = |reason: &str| Err(GroupError::InconsistentProtocol(reason.to_owned()));
        if ctx.config.consumer.migration == MigrationPolicy::Disabled {
            return inconsistent("the group's members use the consumer protocol; set group.protocol=consumer");
        }
        self.check_room(ctx, &request.member_id, request.instance_id.as_deref())?;
        let others = self.members.iter().filter(|(id, _)| ***id != *request.member_id);
        let classics: Vec<&ClassicPart> = others.filter_map(|(_, member)| member.row.classic.as_ref()).collect();
        let is_common =
            |name: &String| classics.iter().all(|classic| classic.protocols.iter().any(|(other, _)| other == name));
        if request.protocol_type != CONSUMER || !request.protocols.iter().any(|(name, _)| is_common(name)) {
            return inconsistent("the member's assignors are not those that the group's other members share");
        }
        if request.member_id.is_empty() && request.require_known_member_id {
            return Err(GroupError::MemberIdRequired { member_id: join.fresh_id.clone() });
        }
        let subscription = request.protocols.first().and_then(|(_, metadata)| Subscription::parse(metadata));
        subscription.map_or_else(|| inconsistent("the member's subscription cannot be read"), Ok)
    }

    /// The member's id, and whether it is new.
    fn admit_classic(&mut self, ctx: Context<'_>, join: &Join) -> Result<(Arc<str>, bool), GroupError> {
        let request = &join.request;
        let is_unknown = request.member_id.is_empty();
        let id: Arc<str> = if is_unknown { join.fresh_id.as_str() } else { request.member_id.as_str() }.into();
        let current = match &request.instance_id {
            None => self.members.contains_key(&id).then(|| id.clone()),
            Some(instance_id) => self.instances.get(instance_id).cloned(),
        };
        match current {
            Some(current) if current == id => Ok((id, false)),
            Some(_) if !is_unknown => Err(GroupError::FencedInstance),
            Some(current) => {
                self.rename(ctx, &current, &id);
                Ok((id, false))
            }
            None if request.instance_id.is_some() && !is_unknown => Err(GroupError::UnknownMember),
            None => {
                tracing::info!(group = %self.id, member = %id, "a member of the classic protocol joins");
                self.insert(ctx, id.clone(), ConsumerMemberRow::default());
                Ok((id, true))
            }
        }
    }

    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<Arc<str>, GroupError> {
        let id = match instance_id {
            None => self.members.get_key_value(member_id).map(|(id, _)| id),
            Some(instance_id) => self.instances.get(instance_id),
        };
        let id = id.ok_or(GroupError::UnknownMember)?;
        if **id != *member_id {
            return Err(GroupError::FencedInstance);
        }
        let member = self.members.get(id).filter(|member| member.row.classic.is_some());
        let member = member.ok_or(GroupError::UnknownMember)?;
        if generation == member.row.progress.epoch { Ok(id.clone()) } else { Err(GroupError::IllegalGeneration) }
    }

    /// Whether others still have what the member shall get.
    fn waits(&self, id: &Arc<str>) -> bool {
        let (Some(member), Some(target)) = (self.members.get(id), self.targets.get(id)) else { return false };
        let held = &member.row.progress.held;
        target.iter().any(|(topic, partitions)| {
            partitions
                .iter()
                .any(|partition| !holds(held, *topic, *partition) && self.taken.contains(&(*topic, *partition)))
        })
    }
}

impl Member {
    pub(super) fn rebalance_timeout(&self) -> Millis {
        Millis::try_from(self.row.rebalance_timeout_ms).unwrap_or(0)
    }

    /// From now on it has its rebalance time-out to join again.
    fn must_join(&mut self, now: Millis) {
        let by = now + self.rebalance_timeout();
        self.acts_by.get_or_insert(by);
    }
}

fn classic_row(
    before: &ConsumerMemberRow,
    request: &model::JoinRequest,
    subscription: &Subscription,
) -> ConsumerMemberRow {
    ConsumerMemberRow {
        instance_id: request.instance_id.clone().or_else(|| before.instance_id.clone()),
        rack_id: subscription.rack_id.clone().or_else(|| before.rack_id.clone()),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        assignor: before.assignor.clone(),
        topic_names: subscription.topics.iter().cloned().collect(),
        topic_regex: None,
        progress: before.progress.clone(),
        classic: Some(ClassicPart {
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
        }),
    }
}

/// Partitions of topics that exist.
pub(super) fn with_ids(ctx: Context<'_>, named: &NamedPartitions) -> Partitions {
    let topic = |(name, numbers): &(String, Vec<i32>)| {
        let topic = ctx.image.topic(name)?;
        Some((topic.id, numbers.iter().copied().collect()))
    };
    named.iter().filter_map(topic).collect()
}

/// Partitions of topics that exist.
pub(super) fn with_names(ctx: Context<'_>, partitions: &Partitions) -> NamedPartitions {
    let topic = |(id, numbers): (&TopicId, &BTreeSet<i32>)| {
        let name = ctx.image.topic_names.get(id)?;
        Some((name.to_string(), numbers.iter().copied().collect()))
    };
    partitions.iter().filter_map(topic).collect()
}
