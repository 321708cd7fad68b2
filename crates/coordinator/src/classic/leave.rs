//! LeaveGroup, and all other ways in which members come into the group's lists and go out of them.

use super::member::Member;
use super::{Answers, ClassicGroup, Context, Phase, WaiterId};
use crate::GroupError;
use crate::model::{JoinRequest, MemberIdentity};

impl ClassicGroup {
    /// Takes members out; one result each. A member may be named by its instance id alone (an administrator does so).
    pub(crate) fn leave(
        &mut self,
        ctx: Context<'_>,
        members: &[MemberIdentity],
        out: &mut Answers,
    ) -> Vec<Result<(), GroupError>> {
        let results: Vec<_> = members.iter().map(|member| self.leave_one(member, out)).collect();
        if results.iter().any(Result::is_ok) {
            match self.phase {
                Phase::Stable | Phase::Completing => self.prepare_rebalance(ctx, "a member leaves", out),
                Phase::Preparing { .. } => self.maybe_complete_join(ctx, out),
                Phase::Empty => {}
            }
        }
        results
    }

    fn leave_one(&mut self, member: &MemberIdentity, out: &mut Answers) -> Result<(), GroupError> {
        let id = if member.member_id.is_empty() {
            let instance_id = member.instance_id.as_ref().ok_or(GroupError::UnknownMember)?;
            self.instances.get(instance_id).cloned().ok_or(GroupError::UnknownMember)?
        } else if self.pending.remove(&member.member_id).is_some() {
            return Ok(());
        } else {
            self.validate_member(&member.member_id, member.instance_id.as_deref())?;
            member.member_id.clone()
        };
        self.remove(&id, GroupError::UnknownMember, out);
        Ok(())
    }

    /// Takes a member out and answers its waiting requests with `error`; whether it was there.
    pub(super) fn remove(&mut self, id: &str, error: GroupError, out: &mut Answers) -> bool {
        self.pending.remove(id);
        self.unsynced.remove(id);
        let Some(member) = self.members.remove(id) else { return false };
        self.discount(&member);
        self.joining -= usize::from(member.joining.is_some());
        if let Some(waiter) = member.joining {
            out.join(waiter, Err(error.clone()));
        }
        if let Some(waiter) = member.syncing {
            out.sync(waiter, Err(error));
        }
        if let Some(instance_id) = &member.row.instance_id {
            self.instances.remove(instance_id);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.note_removed(member.stored_as);
        true
    }

    /// Puts a member into the lists; nobody of its id or instance id is there.
    pub(super) fn insert(&mut self, member: Member) {
        self.joining += usize::from(member.joining.is_some());
        if let Some(instance_id) = &member.row.instance_id {
            self.instances.insert(instance_id.clone(), member.row.id.clone());
        }
        self.count(&member);
        self.members.insert(member.row.id.clone(), member);
    }

    /// Gives a static member a new id. Whoever waits under the old one is fenced.
    pub(super) fn rename(&mut self, old_id: &str, new_id: &str, out: &mut Answers) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(waiter) = member.joining.take() {
            self.joining -= 1;
            out.join(waiter, Err(GroupError::FencedInstance));
        }
        if let Some(waiter) = member.syncing.take() {
            out.sync(waiter, Err(GroupError::FencedInstance));
        }
        member.is_new = false;
        new_id.clone_into(&mut member.row.id);
        if let Some(instance_id) = &member.row.instance_id {
            self.instances.insert(instance_id.clone(), new_id.to_owned());
        }
        if self.leader.as_deref() == Some(old_id) {
            self.leader = Some(new_id.to_owned());
        }
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(new_id.to_owned());
        }
        self.members.insert(new_id.to_owned(), member);
    }

    /// Takes over what a member says as it joins again, and lets `waiter` wait for the rebalance.
    pub(super) fn update_member(&mut self, id: &str, request: JoinRequest, waiter: WaiterId, out: &mut Answers) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.discount(&member);
        member.row.protocols = request.protocols;
        member.row.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.row.session_timeout_ms = request.session_timeout_ms;
        self.count(&member);
        match member.joining.replace(waiter) {
            // The client has given up on its earlier request and made a new one.
            Some(earlier) => out.join(earlier, Err(GroupError::RebalanceInProgress)),
            None => self.joining += 1,
        }
        self.members.insert(id.to_owned(), member);
    }

    /// The member waits no longer for the rebalance.
    pub(super) fn take_join(&mut self, id: &str) -> Option<WaiterId> {
        let waiter = self.members.get_mut(id)?.joining.take()?;
        self.joining -= 1;
        Some(waiter)
    }

    fn count(&mut self, member: &Member) {
        for (name, _) in &member.row.protocols {
            match self.supported.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.supported.insert(name.clone(), 1)),
            }
        }
    }

    fn discount(&mut self, member: &Member) {
        for (name, _) in &member.row.protocols {
            if let Some(count) = self.supported.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
    }

    /// Whether all members support a protocol.
    pub(super) fn is_common(&self, protocol: &str) -> bool {
        self.supported.get(protocol).is_some_and(|count| *count == self.members.len())
    }
}
