//! JoinGroup.

use super::member::{Member, millis};
use super::{Answers, Change, ClassicGroup, Context, Join, Phase};
use crate::GroupError;
use crate::model::{JoinRequest, Joined};

impl ClassicGroup {
    /// Takes a request to join. It is answered at once or when the rebalance is complete.
    pub(crate) fn join(&mut self, ctx: Context<'_>, join: Join, out: &mut Answers) {
        let waiter = join.waiter;
        if !self.has_room_for(ctx, &join.request.member_id) {
            self.remove(&join.request.member_id, GroupError::UnknownMember, out);
            self.maybe_complete_join(ctx, out);
            out.join(waiter, Err(GroupError::GroupFull(ctx.config.max_group_size)));
        } else if !self.supports(&join.request) {
            out.join(waiter, Err(self.inconsistent(&join.request)));
        } else if join.request.member_id.is_empty() {
            self.join_unknown(ctx, join, out);
        } else {
            self.join_known(ctx, join, out);
        }
    }

    /// While members join again, those are counted that have: so the last to come are turned away should the group have become too large.
    fn has_room_for(&self, ctx: Context<'_>, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                member.is_some_and(|member| member.joining.is_some()) || self.joining < ctx.config.max_group_size
            }
            Phase::Completing | Phase::Stable => member.is_some() || self.members.len() < ctx.config.max_group_size,
        }
    }

    fn supports(&self, request: &JoinRequest) -> bool {
        if self.phase == Phase::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(&request.protocol_type)
            && request.protocols.iter().any(|(name, _)| self.is_common(name))
    }

    fn inconsistent(&self, request: &JoinRequest) -> GroupError {
        let own = self.protocol_type.as_deref().unwrap_or("none");
        GroupError::InconsistentProtocol(format!(
            "the member's protocol type '{}' and assignors {:?} do not go with the group's protocol type '{own}' and the assignors that all its \
             members share; configure the members alike",
            request.protocol_type,
            request.protocols.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ))
    }

    /// A member without an id.
    fn join_unknown(&mut self, ctx: Context<'_>, join: Join, out: &mut Answers) {
        let known = join.request.instance_id.as_ref().and_then(|instance_id| self.instances.get(instance_id)).cloned();
        if let Some(old_id) = known {
            self.replace_static(ctx, old_id, join, out);
        } else if join.request.instance_id.is_none() && join.request.require_known_member_id {
            self.give_id(ctx, join, out);
        } else {
            let id = join.fresh_id.clone();
            self.add_member(ctx, id, join, out);
        }
    }

    /// Gives the client an id to join again with (KIP-394): a client that never comes back is then no member.
    fn give_id(&mut self, ctx: Context<'_>, join: Join, out: &mut Answers) {
        if self.pending.len() >= caudal_types::limits::PENDING_MEMBERS_PER_GROUP_MAX {
            out.join(join.waiter, Err(GroupError::GroupFull(self.members.len())));
            return;
        }
        self.pending.insert(join.fresh_id.clone(), ctx.now + millis(join.request.session_timeout_ms));
        out.join(join.waiter, Err(GroupError::MemberIdRequired { member_id: join.fresh_id }));
    }

    /// A member with an id, its own or one that was given to it just now.
    fn join_known(&mut self, ctx: Context<'_>, join: Join, out: &mut Answers) {
        let (id, waiter) = (join.request.member_id.clone(), join.waiter);
        if self.pending.contains_key(&id) {
            if join.request.instance_id.is_some() {
                let reason = "the member id was given to a member without group.instance.id; join without a member id";
                out.join(waiter, Err(GroupError::InvalidRequest(reason.to_owned())));
            } else {
                self.add_member(ctx, id, join, out);
            }
            return;
        }
        if let Err(error) = self.validate_member(&id, join.request.instance_id.as_deref()) {
            out.join(waiter, Err(error));
            return;
        }
        let changed = self.members.get(&id).is_some_and(|member| member.row.protocols != join.request.protocols);
        let is_leader = self.leader.as_deref() == Some(&id);
        match self.phase {
            Phase::Empty => out.join(waiter, Err(GroupError::UnknownMember)),
            // It has not received the last answer, or it is a follower without news: it goes on in the current generation.
            Phase::Completing if !changed => out.join(waiter, Ok(self.joined(&id))),
            Phase::Stable if !changed && !is_leader => out.join(waiter, Ok(self.joined(&id))),
            // The leader may want to assign anew without new metadata, for example since topics have changed.
            Phase::Preparing { .. } | Phase::Completing | Phase::Stable => {
                self.update_member(&id, join.request, waiter, out);
                self.rebalance_or_complete(ctx, "a member joins again", out);
            }
        }
    }

    fn add_member(&mut self, ctx: Context<'_>, id: String, join: Join, out: &mut Answers) {
        if let Phase::Preparing { initial: Some(initial), .. } = &mut self.phase {
            initial.grown = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.request.protocol_type.clone());
        }
        self.pending.remove(&id);
        self.insert(Member::new(id.clone(), join.request, join.waiter, ctx.now));
        self.leader.get_or_insert(id);
        self.rebalance_or_complete(ctx, "a member joins", out);
    }

    /// A static member has been restarted: its new incarnation takes the old one's place (KIP-345). If the group is stable and its assignor
    /// remains, nobody else notices (KIP-814).
    fn replace_static(&mut self, ctx: Context<'_>, old_id: String, join: Join, out: &mut Answers) {
        let (id, waiter, supports_skip) = (join.fresh_id, join.waiter, join.request.supports_skip_assignment);
        let old_leader = self.leader.clone().unwrap_or_default();
        self.rename(&old_id, &id, out);
        self.update_member(&id, join.request, waiter, out);
        self.refresh(ctx, &id);
        match self.phase {
            Phase::Stable if self.select_protocol() == self.protocol => {
                self.take_join(&id);
                self.change = Change::Whole;
                let joined = self.joined(&id);
                out.join(
                    waiter,
                    Ok(if supports_skip {
                        Joined { skip_assignment: joined.leader == id, ..joined }
                    } else {
                        // A client that cannot skip must not find that it leads, or it would assign anew.
                        Joined { leader: old_leader, members: Vec::new(), ..joined }
                    }),
                );
            }
            Phase::Stable => self.rebalance_or_complete(ctx, "a static member changes the assignor", out),
            // The leader may be assigning to the old id at this moment.
            Phase::Completing => self.prepare_rebalance(ctx, "a static member is replaced", out),
            Phase::Preparing { .. } | Phase::Empty => self.maybe_complete_join(ctx, out),
        }
    }

    /// The answer to a member of the current generation.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let leader = self.leader.clone().unwrap_or_default();
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            members: if leader == id { self.joined_members() } else { Vec::new() },
            leader,
            member_id: id.to_owned(),
            skip_assignment: false,
        }
    }
}
