//! Groups of the consumer protocol, and where the two protocols meet.

use std::sync::Arc;

use uuid::Uuid;

use super::{Leader, Pending};
use crate::GroupError;
use crate::classic::{Answers, Join, Millis};
use crate::consumer::{ConsumerGroup, Context};
use crate::group::Group;
use crate::model::MemberIdentity;
use crate::model::consumer::{DescribedConsumerGroup, Heartbeat, HeartbeatAnswer};
use crate::tables::Tables;

impl Leader {
    /// The result counts when the answer comes.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        tables: &Tables,
        mut beat: Heartbeat,
        now: Millis,
    ) -> (Result<HeartbeatAnswer, GroupError>, Pending<()>) {
        if let Some(refusal) = self.refusal() {
            return (Err(refusal), self.when_committed(0));
        }
        if beat.member_id.is_empty() {
            beat.member_id = Uuid::new_v4().to_string();
        }
        let id: Arc<str> = beat.group_id.as_str().into();
        // Topics that are not in an image older than what the shard has seen are not gone: they may not be there *yet*.
        let is_behind = self.image.version < tables.meta.image_version;
        let result = self.decide(tables, &id, now, |group, ctx, out| match group {
            Group::Consumer(group) if is_behind && beat.member_epoch >= 0 => {
                group.note_alive(ctx, &beat);
                Err(behind())
            }
            Group::Classic(_) if is_behind => Err(behind()),
            Group::Consumer(group) => group.heartbeat(ctx, &beat),
            Group::Classic(_) => adopt(group, ctx, &id, &beat, out),
        });
        (result, self.settled(&id))
    }

    pub(crate) fn describe_consumers(
        &self,
        tables: &Tables,
        group_id: &str,
    ) -> Result<DescribedConsumerGroup, GroupError> {
        self.check_exists(tables, group_id)?;
        let ctx = Context { config: &self.config, now: 0, image: &self.image };
        self.view(tables, &group_id.into(), |group| match group {
            Group::Consumer(group) => Ok(group.describe(ctx)),
            Group::Classic(_) => Err(not_a_consumer_group(group_id)),
        })
    }

    /// The heartbeat of a member of the classic protocol in a group of the consumer protocol.
    pub(super) fn heartbeat_of_classic(
        &mut self,
        tables: &Tables,
        id: &Arc<str>,
        member: &MemberIdentity,
        now: Millis,
    ) -> Result<(), GroupError> {
        let is_behind = self.image.version < tables.meta.image_version;
        self.decide(tables, id, now, |group, ctx, _| match group {
            Group::Consumer(_) if is_behind => Err(behind()),
            Group::Consumer(group) => group.heartbeat_classic(ctx, member),
            Group::Classic(group) => group.heartbeat(ctx.classic(), member),
        })
    }

    /// Takes over groups with members, so that their sessions are minded.
    pub(super) fn take_over_consumers(&mut self, tables: &Tables, now: Millis) {
        let with_members = tables.consumer_groups().filter(|(_, rows)| !rows.members.is_empty());
        let ids: Vec<_> = with_members.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.decide(tables, &id, now, |_, _, _| ());
        }
    }
}

/// A member of the consumer protocol comes to a group that is none yet. One without members becomes one; so does one of consumers, with its members.
fn adopt(
    group: &mut Group,
    ctx: Context<'_>,
    id: &Arc<str>,
    beat: &Heartbeat,
    out: &mut Answers,
) -> Result<HeartbeatAnswer, GroupError> {
    let Group::Classic(classic) = group else { return Err(not_a_consumer_group(id)) };
    if beat.member_epoch != 0 {
        return Err(not_a_consumer_group(id));
    }
    let mut fresh = if classic.is_empty() {
        ConsumerGroup::new(id.clone())
    } else {
        ConsumerGroup::from_classic(id.clone(), &classic.handed_over(), ctx)?
    };
    let answer = fresh.heartbeat(ctx, beat)?;
    classic.dismiss(out);
    *group = Group::Consumer(fresh);
    Ok(answer)
}

/// A member of the classic protocol comes. A consumer group without members becomes a classic one; one with members takes it in.
pub(super) fn join(group: &mut Group, ctx: Context<'_>, join: Join, out: &mut Answers) {
    if matches!(group, Group::Consumer(_)) && group.is_empty() {
        *group = Group::new(join.request.group_id.as_str().into());
    }
    match group {
        Group::Classic(group) => group.join(ctx.classic(), join, out),
        Group::Consumer(group) => {
            let answer = group.join_classic(ctx, &join);
            out.join(join.waiter, answer);
        }
    }
}

fn not_a_consumer_group(group_id: &str) -> GroupError {
    GroupError::OtherProtocol(format!("there is no consumer group '{group_id}'"))
}

fn behind() -> GroupError {
    GroupError::NotAvailable("the coordinator does not know the newest topics yet; try again".to_owned())
}
