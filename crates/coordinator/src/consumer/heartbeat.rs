//! ConsumerGroupHeartbeat: members join, say what they subscribe to and what they have, and are told what they shall have.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::leave::LEAVE_FOR_A_WHILE;
use super::partitions::{holds, without_epochs};
use super::reconcile::Step;
use super::{ConsumerGroup, Context, Partitions, subscription};
use crate::GroupError;
use crate::model::consumer::{Heartbeat, HeartbeatAnswer};
use crate::rows::ConsumerMemberRow;

/// The epoch with which a member joins, or joins again after it was fenced.
pub(super) const JOIN: i32 = 0;

/// Whose heartbeat it is.
#[derive(Debug)]
enum Sender {
    Member(Arc<str>),
    New(Arc<str>),
    /// A static member that had gone for a while is back, under another id.
    Returned {
        before: Arc<str>,
        id: Arc<str>,
    },
}

impl ConsumerGroup {
    /// Takes a member's heartbeat. If it is refused, nothing has changed.
    ///
    /// # Errors
    /// Why the member cannot go on, or cannot join.
    pub(crate) fn heartbeat(&mut self, ctx: Context<'_>, beat: &Heartbeat) -> Result<HeartbeatAnswer, GroupError> {
        if beat.member_epoch < JOIN {
            return self.leave(ctx, beat);
        }
        self.check_room(ctx, &beat.member_id, beat.instance_id.as_deref())?;
        let sender = self.sender(beat)?;
        self.check_regex(beat)?;
        let (id, is_new) = match sender {
            Sender::Member(id) => (id, false),
            Sender::New(id) => {
                tracing::info!(group = %self.id, member = %id, instance_id = beat.instance_id, "a member joins");
                self.insert(ctx, id.clone(), ConsumerMemberRow::default());
                (id, true)
            }
            Sender::Returned { before, id } => {
                self.rename(ctx, &before, &id);
                (id, false)
            }
        };
        let held_before = self.members.get(&id).map(|member| member.row.progress.held.clone());
        let resubscribed = self.update_subscription(&id, beat);
        let epoch_before = self.row.epoch;
        self.refresh_topics(ctx);
        if (is_new || resubscribed) && self.row.epoch == epoch_before {
            self.next_epoch(if is_new { "a member joins" } else { "a member has changed its subscription" });
        }
        self.update_target(ctx);
        self.reconcile(ctx, &id, resubscribed, beat.owned.as_ref());
        self.refresh_session(ctx, &id);
        let Some(member) = self.members.get(&id) else { return Err(GroupError::UnknownMember) };
        let progress = &member.row.progress;
        let tell = beat.member_epoch == JOIN || beat.is_full() || held_before.as_ref() != Some(&progress.held);
        Ok(HeartbeatAnswer {
            member_id: id.to_string(),
            member_epoch: progress.epoch,
            heartbeat_interval_ms: ctx.config.consumer.heartbeat_interval(ctx.image.group_configs.get(&self.id)),
            assignment: tell.then(|| without_epochs(&progress.held)),
        })
    }

    /// Takes a heartbeat of which nothing more can be said now than that its sender lives.
    pub(crate) fn note_alive(&mut self, ctx: Context<'_>, beat: &Heartbeat) {
        if beat.member_epoch > JOIN && self.sender(beat).is_ok() {
            self.refresh_session(ctx, &beat.member_id);
        }
    }

    pub(super) fn check_room(
        &self,
        ctx: Context<'_>,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        let max = ctx.config.consumer.max_size;
        let is_there = self.members.contains_key(member_id)
            || instance_id.is_some_and(|instance_id| self.instances.contains_key(instance_id));
        if self.members.len() < max || is_there { Ok(()) } else { Err(GroupError::ConsumerGroupFull(max)) }
    }

    fn sender(&self, beat: &Heartbeat) -> Result<Sender, GroupError> {
        let joins = beat.member_epoch == JOIN;
        let id: Arc<str> = beat.member_id.as_str().into();
        let known = match &beat.instance_id {
            None => self.members.contains_key(&id).then_some(&id),
            Some(instance_id) => self.instances.get(instance_id),
        };
        match known {
            None if joins => Ok(Sender::New(id)),
            None => Err(GroupError::UnknownMember),
            Some(current) if *current == id => {
                self.check_epoch(&id, beat)?;
                Ok(Sender::Member(id))
            }
            Some(_) if !joins => Err(GroupError::FencedInstance),
            Some(current) => {
                let has_gone = self.members.get(current).is_some_and(|member| {
                    member.row.progress.epoch == LEAVE_FOR_A_WHILE || member.row.classic.is_some()
                });
                if has_gone {
                    Ok(Sender::Returned { before: current.clone(), id })
                } else {
                    Err(GroupError::UnreleasedInstance(current.to_string()))
                }
            }
        }
    }

    /// A member may come with its current epoch; also with the one before, if it says that it has nothing beyond what it was given, since it may not have
    /// received the answer with the current one.
    fn check_epoch(&self, id: &str, beat: &Heartbeat) -> Result<(), GroupError> {
        let Some(member) = self.members.get(id) else { return Err(GroupError::UnknownMember) };
        let progress = &member.row.progress;
        let has_only_its_own = |owned: &Partitions| {
            owned.iter().all(|(topic, partitions)| partitions.iter().all(|p| holds(&progress.held, *topic, *p)))
        };
        let is_current = beat.member_epoch == JOIN || beat.member_epoch == progress.epoch;
        let is_previous = beat.member_epoch < progress.epoch && beat.member_epoch == progress.previous_epoch;
        if is_current || (is_previous && beat.owned.as_ref().is_some_and(has_only_its_own)) {
            Ok(())
        } else {
            Err(GroupError::FencedMemberEpoch { got: beat.member_epoch, current: progress.epoch })
        }
    }

    /// A regular expression that nobody has brought before must be one.
    fn check_regex(&self, beat: &Heartbeat) -> Result<(), GroupError> {
        match beat.topic_regex.as_deref() {
            Some(regex) if !regex.is_empty() && !self.patterns.contains_key(regex) => {
                subscription::compile(regex).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// The static member takes the place of the one that it was before: its partitions, and what it shall have.
    pub(super) fn rename(&mut self, ctx: Context<'_>, before: &Arc<str>, id: &Arc<str>) {
        let Some((mut row, target)) = self.remove(before) else { return };
        tracing::info!(group = %self.id, member = %id, before = %before, "a static member is back");
        row.progress.epoch = JOIN;
        row.progress.previous_epoch = JOIN;
        self.insert(ctx, id.clone(), row);
        self.targets.insert(id.clone(), target);
        self.changed.targets.insert(id.clone());
    }

    /// Takes over what the member says; what it leaves out has not changed. Whether it subscribes to something else now.
    fn update_subscription(&mut self, id: &Arc<str>, beat: &Heartbeat) -> bool {
        let Some(before) = self.members.get(id).map(|member| &member.row) else { return false };
        if beat.says_nothing_new(before) {
            return false;
        }
        let mut row = before.clone();
        row.client_id.clone_from(&beat.client_id);
        row.client_host.clone_from(&beat.client_host);
        row.classic = None;
        set(&mut row.instance_id, beat.instance_id.as_ref());
        set(&mut row.rack_id, beat.rack_id.as_ref());
        set(&mut row.assignor, beat.assignor.as_ref());
        row.rebalance_timeout_ms = beat.rebalance_timeout_ms.unwrap_or(row.rebalance_timeout_ms);
        if let Some(names) = &beat.topic_names {
            row.topic_names = names.iter().cloned().collect::<BTreeSet<_>>();
        }
        if let Some(regex) = &beat.topic_regex {
            row.topic_regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
        }
        let resubscribed = row.topic_names != before.topic_names || row.topic_regex != before.topic_regex;
        if row != *before {
            self.change(id, row);
        }
        if resubscribed {
            self.forget_topics();
        }
        resubscribed
    }

    /// Leads the member a step further.
    pub(super) fn reconcile(
        &mut self,
        ctx: Context<'_>,
        id: &Arc<str>,
        resubscribed: bool,
        owned: Option<&Partitions>,
    ) {
        let Some(member) = self.members.get(id) else { return };
        let none = Partitions::new();
        let step = Step {
            epoch: self.row.assignment_epoch,
            target: self.targets.get(id).unwrap_or(&none),
            subscribes: &|topic| self.subscribes(ctx.image, &member.row, topic),
            is_free: &|topic, partition| !self.taken.contains(&(topic, partition)),
            resubscribed,
            owned,
        };
        let progress = step.from(&member.row.progress);
        if progress == member.row.progress {
            return;
        }
        tracing::debug!(
            group = %self.id, member = %id, epoch = progress.epoch, state = ?progress.state, held = ?progress.held, revoking = ?progress.revoking,
            "the member's assignment changes"
        );
        let row = ConsumerMemberRow { progress, ..member.row.clone() };
        self.change(id, row);
        if let Some(member) = self.members.get_mut(id) {
            member.acts_by = member.must_act_by(ctx);
        }
    }
}

impl Heartbeat {
    /// Most heartbeats only show that the member lives; that must not cost more than it has to.
    fn says_nothing_new(&self, row: &ConsumerMemberRow) -> bool {
        let is_silent = self.rebalance_timeout_ms.is_none() && self.topic_names.is_none() && self.topic_regex.is_none();
        is_silent
            && self.rack_id.is_none()
            && self.assignor.is_none()
            && self.instance_id == row.instance_id
            && self.client_id == row.client_id
            && self.client_host == row.client_host
            && row.classic.is_none()
    }
}

/// `None` leaves the field as it is.
fn set(field: &mut Option<String>, value: Option<&String>) {
    if value.is_some() {
        *field = value.cloned();
    }
}
