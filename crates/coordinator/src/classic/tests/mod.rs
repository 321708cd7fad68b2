//! Groups on a clock that is turned by hand.

mod commits;
mod joins;
mod leaves;
mod property;
mod rebalances;
mod statics;
mod syncs;
mod takeover;

use std::collections::BTreeMap;

use bytes::Bytes;
use caudal_types::NodeId;

use super::*;
use crate::command::Command;
use crate::model::SyncRequest;
use crate::subscription::tests::subscription;

/// The session time-out of test members, in milliseconds.
pub(crate) const SESSION: i32 = 10_000;
/// The rebalance time-out of test members, in milliseconds.
pub(crate) const REBALANCE: i32 = 60_000;
/// `group.initial.rebalance.delay.ms` in tests.
const DELAY: Millis = 3_000;

/// How often test members show themselves.
const BEAT: Millis = SESSION as Millis / 2;
/// How often they do so while a rebalance may last.
const BEATS: Millis = REBALANCE as Millis / BEAT;

type JoinAnswer = Result<Joined, GroupError>;
type SyncAnswer = Result<Synced, GroupError>;

/// A group, its clock, and all that it has said.
struct Rig {
    config: CoordinatorConfig,
    group: ClassicGroup,
    now: Millis,
    last_waiter: WaiterId,
    joins: BTreeMap<WaiterId, JoinAnswer>,
    syncs: BTreeMap<WaiterId, SyncAnswer>,
    commands: Vec<Command>,
}

impl Rig {
    fn new() -> Self {
        Self {
            config: CoordinatorConfig::new(NodeId(1)),
            group: ClassicGroup::new("g".into()),
            now: 1_000_000,
            last_waiter: 0,
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            commands: Vec::new(),
        }
    }

    /// A stable group of dynamic members, the first of which leads, with the assignments `0`, `1` ...
    fn stable(members: usize) -> (Self, Vec<String>) {
        let mut rig = Self::new();
        let ids: Vec<String> = (0..members).map(|_| rig.known_id()).collect();
        rig.settle(&ids);
        (rig, ids)
    }

    /// Lets members join, in their order, and assigns to them.
    fn settle(&mut self, ids: &[String]) {
        let joins: Vec<WaiterId> = ids.iter().map(|id| self.join(known(id))).collect();
        self.advance(DELAY);
        self.advance(DELAY);
        let generation = self.joined(joins[0]).generation;
        self.sync_all(ids, generation);
        assert_eq!(self.state(), "Stable");
    }

    /// Everyone syncs, the followers first.
    fn sync_all(&mut self, ids: &[String], generation: i32) {
        let leader = self.group.leader.clone().unwrap();
        let assignments = ids.iter().enumerate().map(|(i, id)| (id.clone(), Bytes::from(i.to_string()))).collect();
        for id in ids.iter().filter(|id| **id != leader) {
            self.sync(follower(id, generation));
        }
        self.sync(SyncRequest { assignments, ..follower(&leader, generation) });
    }

    /// An id that the group gives to a new member (KIP-394).
    fn known_id(&mut self) -> String {
        let request = JoinRequest { require_known_member_id: true, ..new_member() };
        let waiter = self.join(request);
        match self.join_answer(waiter) {
            Some(Err(GroupError::MemberIdRequired { member_id })) => member_id,
            other => panic!("{other:?}"),
        }
    }

    fn join(&mut self, request: JoinRequest) -> WaiterId {
        self.last_waiter += 1;
        let waiter = self.last_waiter;
        let prefix = request.instance_id.clone().unwrap_or_else(|| "m".to_owned());
        let join = Join { request, fresh_id: format!("{prefix}-{waiter:03}"), waiter };
        self.decide(|group, ctx, out| group.join(ctx, join, out));
        waiter
    }

    fn sync(&mut self, request: SyncRequest) -> WaiterId {
        self.last_waiter += 1;
        let waiter = self.last_waiter;
        self.decide(|group, ctx, out| group.sync(ctx, request, waiter, out));
        waiter
    }

    fn heartbeat(&mut self, id: &str, generation: i32) -> Result<(), GroupError> {
        self.decide(|group, ctx, _| group.heartbeat(ctx, &identity(id, generation)))
    }

    fn commit(&mut self, id: &str, generation: i32) -> Result<(), GroupError> {
        self.decide(|group, ctx, _| group.check_commit(ctx, &identity(id, generation)))
    }

    fn leave(&mut self, members: &[MemberIdentity]) -> Vec<Result<(), GroupError>> {
        self.decide(|group, ctx, out| group.leave(ctx, members, out))
    }

    /// Turns the clock, and lets everything happen that is due on the way.
    fn advance(&mut self, by: Millis) {
        let end = self.now + by;
        while let Some(due) = self.group.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.decide(ClassicGroup::expire);
        }
        self.now = end;
    }

    fn decide<T>(&mut self, decision: impl FnOnce(&mut ClassicGroup, Context<'_>, &mut Answers) -> T) -> T {
        let mut out = Answers::default();
        let result = decision(&mut self.group, Context { config: &self.config, now: self.now }, &mut out);
        for (waiter, answer) in out.joins {
            assert!(self.joins.insert(waiter, answer).is_none(), "a join is answered once");
        }
        for (waiter, answer) in out.syncs {
            assert!(self.syncs.insert(waiter, answer).is_none(), "a sync is answered once");
        }
        self.commands.extend(self.group.take_change());
        result
    }

    fn state(&self) -> &'static str {
        self.group.describe().state
    }

    fn join_answer(&self, waiter: WaiterId) -> Option<JoinAnswer> {
        self.joins.get(&waiter).cloned()
    }

    fn join_error(&self, waiter: WaiterId) -> Option<GroupError> {
        self.join_answer(waiter)?.err()
    }

    fn sync_error(&self, waiter: WaiterId) -> Option<GroupError> {
        self.syncs.get(&waiter)?.clone().err()
    }

    fn joined(&self, waiter: WaiterId) -> Joined {
        self.joins[&waiter].clone().unwrap()
    }

    fn assignment(&self, waiter: WaiterId) -> Bytes {
        self.syncs[&waiter].clone().unwrap().assignment
    }

    /// Whether nobody waits for an answer.
    fn is_waiting(&self, waiter: WaiterId) -> bool {
        !self.joins.contains_key(&waiter) && !self.syncs.contains_key(&waiter)
    }

    fn commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }
}

/// A member that joins for the first time.
fn new_member() -> JoinRequest {
    JoinRequest {
        group_id: "g".to_owned(),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), subscription(&["t"]))],
        ..JoinRequest::default()
    }
}

/// A member that has its id.
fn known(id: &str) -> JoinRequest {
    JoinRequest { member_id: id.to_owned(), ..new_member() }
}

/// A static member that is just started.
fn static_member(instance_id: &str) -> JoinRequest {
    JoinRequest { instance_id: Some(instance_id.to_owned()), ..new_member() }
}

fn with_protocols(request: JoinRequest, names: &[&str]) -> JoinRequest {
    let protocols = names.iter().map(|name| ((*name).to_owned(), subscription(&["t"]))).collect();
    JoinRequest { protocols, ..request }
}

fn follower(id: &str, generation: i32) -> SyncRequest {
    SyncRequest { group_id: "g".to_owned(), generation, member_id: id.to_owned(), ..SyncRequest::default() }
}

fn identity(id: &str, generation: i32) -> MemberIdentity {
    MemberIdentity { member_id: id.to_owned(), instance_id: None, generation, before_epochs: false }
}

fn static_identity(id: &str, instance_id: &str, generation: i32) -> MemberIdentity {
    MemberIdentity { instance_id: Some(instance_id.to_owned()), ..identity(id, generation) }
}
