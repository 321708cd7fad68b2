//! From one generation to the next.

use std::collections::{BTreeSet, HashMap};

use super::member::{Member, millis};
use super::{Answers, Change, ClassicGroup, Context, InitialDelay, Millis, Phase};
use crate::GroupError;
use crate::model::JoinedMember;
use crate::subscription;

impl ClassicGroup {
    pub(super) fn can_rebalance(&self) -> bool {
        !matches!(self.phase, Phase::Preparing { .. })
    }

    pub(super) fn rebalance_or_complete(&mut self, ctx: Context<'_>, reason: &'static str, out: &mut Answers) {
        if self.can_rebalance() {
            self.prepare_rebalance(ctx, reason, out);
        } else {
            self.maybe_complete_join(ctx, out);
        }
    }

    /// Lets the members join again; those that wait for assignments are told so.
    pub(super) fn prepare_rebalance(&mut self, ctx: Context<'_>, reason: &'static str, out: &mut Answers) {
        tracing::info!(group = %self.id, generation = self.generation, reason, "the group rebalances");
        if self.phase == Phase::Completing {
            self.refuse_syncs(ctx, out);
        }
        self.unsynced.clear();
        self.sync_deadline = None;
        let timeout = self.rebalance_timeout();
        if self.phase == Phase::Empty {
            let delay_ms = millis(ctx.config.initial_rebalance_delay_ms);
            let initial = InitialDelay { delay_ms, remaining_ms: timeout.saturating_sub(delay_ms), grown: false };
            self.phase = Phase::Preparing { deadline: ctx.now + delay_ms, initial: Some(initial) };
        } else {
            self.phase = Phase::Preparing { deadline: ctx.now + timeout, initial: None };
            self.maybe_complete_join(ctx, out);
        }
    }

    /// Completes the phase if everyone is there. A group's first rebalance waits its time in any case.
    pub(super) fn maybe_complete_join(&mut self, ctx: Context<'_>, out: &mut Answers) {
        if matches!(self.phase, Phase::Preparing { initial: None, .. }) && self.all_joined() {
            self.complete_join(ctx, out);
        }
    }

    pub(super) fn all_joined(&self) -> bool {
        self.members.len() == self.joining && self.pending.is_empty()
    }

    /// Time is up, or a member has come while the group waited for its first members: then it waits again.
    pub(super) fn end_join_wait(&mut self, ctx: Context<'_>, out: &mut Answers) {
        match self.phase {
            Phase::Preparing { initial: Some(initial), .. } if initial.grown && initial.remaining_ms > 0 => {
                let delay_ms = millis(ctx.config.initial_rebalance_delay_ms).min(initial.remaining_ms);
                let remaining_ms = initial.remaining_ms.saturating_sub(initial.delay_ms);
                let initial = InitialDelay { delay_ms, remaining_ms, grown: false };
                self.phase = Phase::Preparing { deadline: ctx.now + delay_ms, initial: Some(initial) };
            }
            Phase::Preparing { .. } => self.complete_join(ctx, out),
            Phase::Empty | Phase::Completing | Phase::Stable => {}
        }
    }

    /// Begins the next generation with those that have joined, and the static members, which may be restarting.
    pub(super) fn complete_join(&mut self, ctx: Context<'_>, out: &mut Answers) {
        let gone = |member: &&Member| member.joining.is_none() && !member.is_static();
        let gone: Vec<String> = self.members.values().filter(gone).map(|member| member.row.id.clone()).collect();
        for id in &gone {
            tracing::info!(group = %self.id, member = id, "the member has not joined again in time and is removed");
            self.remove(id, GroupError::UnknownMember, out);
        }
        if self.members.is_empty() {
            self.become_empty();
        } else if self.elect_joined_leader() {
            self.begin_generation(ctx, out);
        } else {
            // Only silent static members are left: they are waited for until their sessions end.
            let deadline = ctx.now + self.rebalance_timeout().max(1);
            self.phase = Phase::Preparing { deadline, initial: None };
        }
    }

    fn become_empty(&mut self) {
        self.next_generation();
        self.leader = None;
        self.protocol = None;
        self.phase = Phase::Empty;
        tracing::info!(group = %self.id, generation = self.generation, "the group is empty");
    }

    fn begin_generation(&mut self, ctx: Context<'_>, out: &mut Answers) {
        self.protocol = self.select_protocol();
        self.next_generation();
        self.phase = Phase::Completing;
        tracing::info!(
            group = %self.id, generation = self.generation, members = self.members.len(), leader = self.leader, protocol = self.protocol,
            "a new generation begins"
        );
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let waiter = self.take_join(&id);
            if let Some(waiter) = waiter {
                out.join(waiter, Ok(self.joined(&id)));
            }
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
                // What it had belongs to the generation before.
                member.row.assignment.clear();
                member.refresh(ctx.now);
            }
        }
        self.expect_syncs(ctx);
    }

    fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.unsynced.clear();
        self.sync_deadline = None;
        self.subscribed = self.read_subscriptions();
        self.change = Change::Whole;
    }

    /// From now on every member owes a SyncGroup.
    pub(super) fn expect_syncs(&mut self, ctx: Context<'_>) {
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_deadline = Some(ctx.now + self.rebalance_timeout());
    }

    /// Keeps the leader if it has joined, else takes a member that has; whether there is one.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.members.values().find(|member| member.joining.is_some());
        let Some(leader) = joined.map(|member| member.row.id.clone()) else { return false };
        self.leader = Some(leader);
        true
    }

    /// Each member votes for the one it likes best of the protocols that all support; ties go by the leader's liking.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.row.protocols.iter().find(|(name, _)| self.is_common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = *votes.values().max()?;
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader))?;
        let liked = leader.row.protocols.iter().map(|(name, _)| name.as_str());
        liked.into_iter().find(|name| votes.get(name) == Some(&most)).map(ToOwned::to_owned)
    }

    /// All members with their subscriptions, as the leader needs them.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let joined = |member: &Member| JoinedMember {
            member_id: member.row.id.clone(),
            instance_id: member.row.instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.values().map(joined).collect()
    }

    /// The topics of all members' subscriptions; `None` when it is no group of consumers, or they cannot be read.
    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if !self.is_consumer() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.extend(subscription::topics(&member.metadata(protocol))?);
        }
        Some(all)
    }

    /// Answers everyone that waits for assignments that a rebalance has begun.
    fn refuse_syncs(&mut self, ctx: Context<'_>, out: &mut Answers) {
        for member in self.members.values_mut() {
            member.row.assignment.clear();
            if let Some(waiter) = member.syncing.take() {
                out.sync(waiter, Err(GroupError::RebalanceInProgress));
                member.refresh(ctx.now);
            }
        }
    }

    /// Puts all deadlines off: this process stood still, and could not hear its members.
    pub(crate) fn postpone(&mut self, by: Millis) {
        for deadline in self.pending.values_mut() {
            *deadline += by;
        }
        for deadline in self.members.values_mut().filter_map(|member| member.deadline.as_mut()) {
            *deadline += by;
        }
        if let Some(deadline) = &mut self.sync_deadline {
            *deadline += by;
        }
        if let Phase::Preparing { deadline, .. } = &mut self.phase {
            *deadline += by;
        }
    }
}
