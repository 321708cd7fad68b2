//! What of a group depends on who is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::partitions::each;
use super::subscription::Pattern;
use super::{ConsumerGroup, Context, Partitions};
use crate::classic::Millis;
use crate::rows::{ConsumerMemberRow, MemberState};

/// A member: what its row has, and what only the coordinator knows.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) row: ConsumerMemberRow,
    /// When it is taken for dead.
    pub(super) session_ends: Millis,
    /// Until when it must have done what it was told to: given up partitions, or, in the classic protocol, joined again or asked for its assignment.
    pub(super) acts_by: Option<Millis>,
}

impl Member {
    /// Whether it has come to the target of `epoch`.
    pub(super) fn is_at(&self, epoch: i32) -> bool {
        self.row.progress.state == MemberState::Stable && self.row.progress.epoch == epoch
    }

    /// Until when it must have given up partitions, if it shall, counted from now. Members of the classic protocol join again instead.
    pub(super) fn must_act_by(&self, ctx: Context<'_>) -> Option<Millis> {
        let gives_up = self.row.progress.state == MemberState::UnrevokedPartitions && self.row.classic.is_none();
        gives_up.then(|| ctx.now + self.rebalance_timeout())
    }
}

impl ConsumerGroup {
    /// Puts a member in.
    pub(super) fn insert(&mut self, ctx: Context<'_>, id: Arc<str>, row: ConsumerMemberRow) {
        self.count(&id, &row);
        let member = Member { row, session_ends: ctx.now, acts_by: None };
        self.changed.members.insert(id.clone());
        self.members.insert(id.clone(), member);
        self.refresh_session(ctx, &id);
    }

    /// Takes a member out, with its target.
    pub(super) fn remove(&mut self, id: &Arc<str>) -> Option<(ConsumerMemberRow, Partitions)> {
        let member = self.members.remove(id)?;
        self.discount(id, &member.row);
        let target = self.targets.remove(id).unwrap_or_default();
        self.changed.members.insert(id.clone());
        self.changed.targets.insert(id.clone());
        Some((member.row, target))
    }

    /// Changes what is stored of a member.
    pub(super) fn change(&mut self, id: &Arc<str>, row: ConsumerMemberRow) {
        let Some(member) = self.members.get_mut(id) else { return };
        let before = std::mem::replace(&mut member.row, row.clone());
        // The new one first, so that what both subscribe to is not forgotten between.
        self.count_wishes(&row);
        self.discount_wishes(&before);
        self.discount_place(id, &before);
        self.count_place(id, &row);
        self.changed.members.insert(id.clone());
    }

    /// Begins a new session.
    pub(super) fn refresh_session(&mut self, ctx: Context<'_>, id: &str) {
        let timeout = self.session_timeout(ctx, id);
        if let Some(member) = self.members.get_mut(id) {
            member.session_ends = ctx.now + timeout;
        }
    }

    /// A member that speaks the classic protocol says itself how long it may be silent.
    fn session_timeout(&self, ctx: Context<'_>, id: &str) -> Millis {
        let classic = self.members.get(id).and_then(|member| member.row.classic.as_ref());
        match classic {
            Some(classic) => Millis::try_from(classic.session_timeout_ms).unwrap_or(0),
            None => ctx.config.consumer.session_timeout(ctx.image.group_configs.get(&self.id)),
        }
    }

    pub(super) fn count(&mut self, id: &Arc<str>, row: &ConsumerMemberRow) {
        self.count_wishes(row);
        self.count_place(id, row);
    }

    fn discount(&mut self, id: &Arc<str>, row: &ConsumerMemberRow) {
        self.discount_wishes(row);
        self.discount_place(id, row);
    }

    /// What it subscribes to, and how it shall be assigned.
    fn count_wishes(&mut self, row: &ConsumerMemberRow) {
        for name in &row.topic_names {
            more(&mut self.names, name);
        }
        if let Some(assignor) = &row.assignor {
            more(&mut self.wishes, assignor);
        }
        if let Some(regex) = &row.topic_regex {
            match self.patterns.get_mut(regex) {
                Some(pattern) => pattern.members += 1,
                None => {
                    self.patterns.insert(regex.clone(), Pattern::new(regex));
                    self.matched_at = None;
                    self.seen = None;
                }
            }
        }
    }

    fn discount_wishes(&mut self, row: &ConsumerMemberRow) {
        for name in &row.topic_names {
            fewer(&mut self.names, name);
        }
        if let Some(assignor) = &row.assignor {
            fewer(&mut self.wishes, assignor);
        }
        if let Some(regex) = &row.topic_regex
            && let Some(pattern) = self.patterns.get_mut(regex)
        {
            pattern.members -= 1;
            if pattern.members == 0 {
                self.patterns.remove(regex);
            }
        }
    }

    /// Its static id and its partitions.
    fn count_place(&mut self, id: &Arc<str>, row: &ConsumerMemberRow) {
        if let Some(instance_id) = &row.instance_id {
            self.instances.insert(instance_id.clone(), id.clone());
        }
        self.taken.extend(each(&row.progress.held).chain(each(&row.progress.revoking)));
    }

    fn discount_place(&mut self, id: &Arc<str>, row: &ConsumerMemberRow) {
        if let Some(instance_id) = &row.instance_id
            && self.instances.get(instance_id) == Some(id)
        {
            self.instances.remove(instance_id);
        }
        for partition in each(&row.progress.held).chain(each(&row.progress.revoking)) {
            self.taken.remove(&partition);
        }
    }
}

fn more(counts: &mut BTreeMap<String, usize>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}

fn fewer(counts: &mut BTreeMap<String, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
