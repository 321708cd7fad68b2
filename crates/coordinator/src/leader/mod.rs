//! What the leader of a shard holds in memory beside the rows: groups with members, who waits, timers. It is made when the node begins to lead
//! and thrown away when it ends; dropping it answers everyone that waits.

mod consumers;
mod offsets;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use caudal_metadata::ClusterImage;
use caudal_types::TimestampMs;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::classic::{Answers, Join, Millis, WaiterId};
use crate::command::Command;
use crate::consumer::Context;
use crate::group::Group;
use crate::model::{DescribedGroup, JoinRequest, Joined, ListedGroup, MemberIdentity, SyncRequest, Synced};
use crate::outbox::{Batch, Outbox, Release, Seq};
use crate::tables::Tables;
use crate::{CoordinatorConfig, GroupError};

pub(crate) use offsets::topics_to_commit;

/// One result for each item of a request.
pub(crate) type Results = Vec<Result<(), GroupError>>;

/// An answer to come. An error of the channel means that this node leads no longer.
pub(crate) type Pending<T> = oneshot::Receiver<T>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Leader {
    config: Arc<CoordinatorConfig>,
    /// Which time it is that this node leads; outcomes of proposals of another one mean nothing.
    pub(crate) reign: u64,
    /// The cluster's truth, as the last request found it.
    pub(crate) image: Arc<ClusterImage>,
    groups: HashMap<Arc<str>, Slot>,
    /// The groups by when they must be looked at.
    timers: BTreeSet<(Millis, Arc<str>)>,
    /// When offsets are next looked through for what has expired.
    cleanup_at: Millis,
    joins: HashMap<WaiterId, oneshot::Sender<Result<Joined, GroupError>>>,
    syncs: HashMap<WaiterId, oneshot::Sender<Result<Synced, GroupError>>>,
    last_waiter: WaiterId,
    outbox: Outbox,
    /// Groups that may be forgotten here, since their rows say it all when the command of this place is committed.
    resting: VecDeque<(Seq, Arc<str>)>,
}

/// A group in memory.
#[derive(Debug)]
struct Slot {
    group: Group,
    /// The place of the last command about it.
    last: Seq,
    /// When it is in the timers.
    armed: Option<Millis>,
}

impl Leader {
    /// Takes over from the rows: every member goes on in its generation with a whole session.
    pub(crate) fn new(
        reign: u64,
        config: Arc<CoordinatorConfig>,
        image: Arc<ClusterImage>,
        tables: &Tables,
        now: Millis,
    ) -> Self {
        let cleanup_at = now + Millis::try_from(config.offsets_check_interval_ms).unwrap_or(0).max(1);
        let mut leader = Self {
            config,
            reign,
            image,
            groups: HashMap::new(),
            timers: BTreeSet::new(),
            cleanup_at,
            joins: HashMap::new(),
            syncs: HashMap::new(),
            last_waiter: 0,
            outbox: Outbox::default(),
            resting: VecDeque::new(),
        };
        let with_members: Vec<_> =
            tables.groups().filter(|(_, row)| !row.members.is_empty()).map(|(id, _)| id.clone()).collect();
        for id in with_members {
            leader.decide(tables, &id, now, |group, ctx, out| {
                if let Group::Classic(group) = group {
                    group.check_size(ctx.classic(), out);
                }
            });
        }
        leader.take_over_consumers(tables, now);
        leader
    }

    pub(crate) fn join(
        &mut self,
        tables: &Tables,
        request: JoinRequest,
        now: Millis,
    ) -> Pending<Result<Joined, GroupError>> {
        let (answer, pending) = oneshot::channel();
        if let Some(refusal) = self.refusal() {
            drop(answer.send(Err(refusal)));
        } else if !request.member_id.is_empty() && !self.has_group(tables, &request.group_id) {
            drop(answer.send(Err(GroupError::UnknownMember)));
        } else {
            let waiter = self.next_waiter();
            self.joins.insert(waiter, answer);
            let prefix = request.instance_id.as_ref().unwrap_or(&request.client_id);
            let fresh_id = format!("{prefix}-{}", Uuid::new_v4());
            let id: Arc<str> = request.group_id.as_str().into();
            let join = Join { request, fresh_id, waiter };
            self.decide(tables, &id, now, |group, ctx, out| consumers::join(group, ctx, join, out));
        }
        pending
    }

    pub(crate) fn sync(
        &mut self,
        tables: &Tables,
        request: SyncRequest,
        now: Millis,
    ) -> Pending<Result<Synced, GroupError>> {
        let (answer, pending) = oneshot::channel();
        if let Some(refusal) = self.refusal() {
            drop(answer.send(Err(refusal)));
        } else if !self.has_group(tables, &request.group_id) {
            drop(answer.send(Err(GroupError::UnknownMember)));
        } else {
            let waiter = self.next_waiter();
            self.syncs.insert(waiter, answer);
            let id: Arc<str> = request.group_id.as_str().into();
            self.decide(tables, &id, now, |group, ctx, out| match group {
                Group::Classic(group) => group.sync(ctx.classic(), request, waiter, out),
                Group::Consumer(group) => out.sync(waiter, group.sync_classic(ctx, &request)),
            });
        }
        pending
    }

    pub(crate) fn heartbeat(
        &mut self,
        tables: &Tables,
        group_id: &str,
        member: &MemberIdentity,
        now: Millis,
    ) -> Result<(), GroupError> {
        let ctx = Context { config: &self.config, now, image: &self.image };
        match self.groups.get_mut(group_id).map(|slot| &mut slot.group) {
            // A sign of life puts a deadline off; the timer finds that out when it fires.
            Some(Group::Classic(group)) => group.heartbeat(ctx.classic(), member),
            Some(Group::Consumer(_)) => self.heartbeat_of_classic(tables, &group_id.into(), member, now),
            None => Err(GroupError::UnknownMember),
        }
    }

    /// The results count when the answer comes.
    pub(crate) fn leave(
        &mut self,
        tables: &Tables,
        group_id: &str,
        members: &[MemberIdentity],
        now: Millis,
    ) -> (Results, Pending<()>) {
        let id: Arc<str> = group_id.into();
        let results = if self.has_group(tables, group_id) {
            self.decide(tables, &id, now, |group, ctx, out| match group {
                Group::Classic(group) => group.leave(ctx.classic(), members, out),
                Group::Consumer(group) => group.leave_classic(ctx, members),
            })
        } else {
            members.iter().map(|_| Err(GroupError::UnknownMember)).collect()
        };
        (results, self.settled(group_id))
    }

    pub(crate) fn list(&self, tables: &Tables) -> Vec<ListedGroup> {
        let stored = tables.group_ids();
        let volatile = self.groups.iter().filter(|(id, _)| !stored.contains(*id)).map(|(_, slot)| slot.group.list());
        stored.iter().map(|id| self.view(tables, id, Group::list)).chain(volatile).collect()
    }

    pub(crate) fn describe(&self, tables: &Tables, group_id: &str) -> Result<DescribedGroup, GroupError> {
        self.check_exists(tables, group_id)?;
        self.view(tables, &group_id.into(), |group| match group {
            Group::Classic(group) => Ok(group.describe()),
            Group::Consumer(_) => {
                Err(GroupError::OtherProtocol(format!("the group '{group_id}' is not a classic group")))
            }
        })
    }

    /// Removes an empty group with its offsets.
    pub(crate) fn delete(&mut self, tables: &Tables, group_id: &str) -> Result<Pending<()>, GroupError> {
        self.check_exists(tables, group_id)?;
        let id: Arc<str> = group_id.into();
        if !self.view(tables, &id, Group::is_empty) {
            return Err(GroupError::NonEmptyGroup);
        }
        if let Some(Slot { armed: Some(at), .. }) = self.groups.remove(&id) {
            self.timers.remove(&(at, id.clone()));
        }
        let seq = self.outbox.push(&Command::DeleteGroup { group: id.clone() });
        // Until the row is gone, it must not be taken for the group.
        self.put_back(&id, Slot { group: Group::new(id.clone()), last: seq, armed: None });
        Ok(self.when_committed(seq))
    }

    /// Proposes a command that is nobody's wish.
    pub(crate) fn propose(&mut self, command: &Command) {
        self.outbox.push(command);
    }

    pub(crate) fn has_commands(&self) -> bool {
        self.outbox.has_commands()
    }

    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        self.outbox.take_batch()
    }

    /// The commands up to `last` are committed and applied: answers what waited for them.
    pub(crate) fn committed(&mut self, last: Seq) {
        self.outbox.committed(last);
        while let Some((seq, _)) = self.resting.front()
            && self.outbox.is_committed(*seq)
        {
            let Some((_, id)) = self.resting.pop_front() else { return };
            let slot = self.groups.get(&id);
            if slot.is_some_and(|slot| slot.group.is_at_rest() && self.outbox.is_committed(slot.last)) {
                self.groups.remove(&id);
            }
        }
    }

    /// Lets the group decide, then sees to what follows: commands, answers, timers.
    fn decide<T>(
        &mut self,
        tables: &Tables,
        id: &Arc<str>,
        now: Millis,
        decision: impl FnOnce(&mut Group, Context<'_>, &mut Answers) -> T,
    ) -> T {
        let (config, image) = (self.config.clone(), self.image.clone());
        let ctx = Context { config: &config, now, image: &image };
        let mut slot = self.groups.remove(id).unwrap_or_else(|| Slot {
            group: Group::stored(tables, id, ctx),
            last: 0,
            armed: None,
        });
        let mut answers = Answers::default();
        let result = decision(&mut slot.group, ctx, &mut answers);
        slot.group.settle(id, ctx, &mut answers);
        if let Some(command) = slot.group.take_change() {
            slot.last = self.outbox.push(&command);
        }
        self.answer(answers, slot.last);
        self.put_back(id, slot);
        result
    }

    fn answer(&mut self, answers: Answers, after: Seq) {
        for (waiter, answer) in answers.joins {
            if let Some(sender) = self.joins.remove(&waiter) {
                self.outbox.release(after, Release::Join(sender, answer));
            }
        }
        for (waiter, answer) in answers.syncs {
            if let Some(sender) = self.syncs.remove(&waiter) {
                self.outbox.release(after, Release::Sync(sender, answer));
            }
        }
    }

    fn put_back(&mut self, id: &Arc<str>, mut slot: Slot) {
        let next = slot.group.next_deadline();
        if slot.armed != next {
            if let Some(at) = slot.armed {
                self.timers.remove(&(at, id.clone()));
            }
            if let Some(at) = next {
                self.timers.insert((at, id.clone()));
            }
            slot.armed = next;
        }
        if slot.group.is_at_rest() {
            if self.outbox.is_committed(slot.last) {
                return;
            }
            self.resting.push_back((slot.last, id.clone()));
        }
        self.groups.insert(id.clone(), slot);
    }

    /// Looks at a group, in memory or in its row.
    fn view<T>(&self, tables: &Tables, id: &Arc<str>, look: impl FnOnce(&Group) -> T) -> T {
        match self.groups.get(id) {
            Some(slot) => look(&slot.group),
            None => look(&Group::stored(tables, id, Context { config: &self.config, now: 0, image: &self.image })),
        }
    }

    fn check_exists(&self, tables: &Tables, group_id: &str) -> Result<(), GroupError> {
        if self.has_group(tables, group_id) { Ok(()) } else { Err(GroupError::GroupNotFound(group_id.to_owned())) }
    }

    fn has_group(&self, tables: &Tables, group_id: &str) -> bool {
        self.groups.contains_key(group_id) || tables.has_group(group_id)
    }

    fn next_waiter(&mut self) -> WaiterId {
        self.last_waiter += 1;
        self.last_waiter
    }

    /// Too much is waiting already.
    fn refusal(&self) -> Option<GroupError> {
        let reason = "too many changes wait to be replicated; try again later";
        self.outbox.is_full().then(|| GroupError::NotAvailable(reason.to_owned()))
    }

    /// Answers when all that was decided about the group is committed.
    fn settled(&mut self, group_id: &str) -> Pending<()> {
        let last = self.groups.get(group_id).map_or(0, |slot| slot.last);
        self.when_committed(last)
    }

    fn when_committed(&mut self, seq: Seq) -> Pending<()> {
        let (answer, pending) = oneshot::channel();
        self.outbox.release(seq, Release::Done(answer));
        pending
    }
}

/// The time now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// For deadlines.
    pub(crate) monotonic: Millis,
    /// For what is stored.
    pub(crate) wall: TimestampMs,
}
