//! Members that do anything at any time: what must hold holds after every step.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::command::Entry;
use crate::rows::{GroupRow, RestState};
use crate::tables::{Changes, Tables};

/// What a member, dynamic or static, does.
#[derive(Clone, Debug)]
enum Step {
    Start(usize),
    StartStatic(usize),
    Rejoin(usize, bool),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Wait(Millis),
    /// Another node takes over, from the commands alone.
    Failover,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_usize).prop_map(Step::Start),
        1 => (0..2_usize).prop_map(Step::StartStatic),
        4 => (0..8_usize, any::<bool>()).prop_map(|(member, news)| Step::Rejoin(member, news)),
        6 => (0..8_usize).prop_map(Step::Sync),
        3 => (0..8_usize).prop_map(Step::Heartbeat),
        1 => (0..8_usize).prop_map(Step::Leave),
        3 => (1..20_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Failover),
    ]
}

/// The group and what the members know of it.
struct World {
    rig: Rig,
    tables: Tables,
    /// All joins and syncs not yet answered.
    waiting: BTreeSet<WaiterId>,
    /// Every id that was ever given out.
    ids: Vec<String>,
    /// The newest generation that anyone was told.
    newest: i32,
}

impl World {
    fn new() -> Self {
        Self { rig: Rig::new(), tables: Tables::default(), waiting: BTreeSet::new(), ids: Vec::new(), newest: 0 }
    }

    fn step(&mut self, step: Step) {
        let generation = self.rig.group.generation;
        match step {
            Step::Start(kind) => {
                let request = JoinRequest { require_known_member_id: kind > 0, ..new_member() };
                self.join(request);
            }
            Step::StartStatic(instance) => self.join(static_member(["x", "y"][instance])),
            Step::Rejoin(member, news) => {
                let Some(id) = self.id(member) else { return };
                let topics: &[&str] = if news { &["t", "u"] } else { &["t"] };
                self.join(JoinRequest { protocols: vec![("range".to_owned(), subscription(topics))], ..known(&id) });
            }
            Step::Sync(member) => {
                let Some(id) = self.id(member) else { return };
                // Each assignment says for which generation it was made.
                let made_for = Bytes::from(generation.to_string());
                let members = self.rig.group.members.keys();
                let assignments = members.map(|id| (id.clone(), made_for.clone())).collect();
                let waiter = self.rig.sync(SyncRequest { assignments, ..follower(&id, generation) });
                self.waiting.insert(waiter);
            }
            Step::Heartbeat(member) => {
                let Some(id) = self.id(member) else { return };
                let _ = self.rig.heartbeat(&id, generation);
            }
            Step::Leave(member) => {
                let Some(id) = self.id(member) else { return };
                self.rig.leave(&[identity(&id, -1)]);
            }
            Step::Wait(by) => self.rig.advance(by),
            Step::Failover => self.fail_over(),
        }
    }

    fn join(&mut self, request: JoinRequest) {
        let waiter = self.rig.join(request);
        self.waiting.insert(waiter);
    }

    fn id(&self, member: usize) -> Option<String> {
        self.ids.iter().rev().nth(member).cloned()
    }

    fn fail_over(&mut self) {
        self.apply();
        self.waiting.clear();
        self.rig.joins.clear();
        self.rig.syncs.clear();
        let ctx = Context { config: &self.rig.config, now: self.rig.now };
        self.rig.group = match self.tables.group("g") {
            Some(row) => ClassicGroup::from_row("g".into(), row, ctx),
            None => ClassicGroup::new("g".into()),
        };
    }

    fn apply(&mut self) {
        let entry = Entry { time: 0, image_version: 0, commands: self.rig.commands() };
        self.tables.apply_next(entry, &mut Changes::default());
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        self.apply();
        self.check_answers()?;
        self.check_members()?;
        self.check_row()
    }

    fn check_answers(&mut self) -> Result<(), TestCaseError> {
        for (waiter, answer) in std::mem::take(&mut self.rig.joins) {
            prop_assert!(self.waiting.remove(&waiter), "answered twice");
            match answer {
                Ok(joined) => {
                    prop_assert!(joined.generation >= self.newest, "generations go up");
                    self.newest = joined.generation;
                    if !self.ids.contains(&joined.member_id) {
                        self.ids.push(joined.member_id);
                    }
                }
                Err(GroupError::MemberIdRequired { member_id }) => self.ids.push(member_id),
                Err(_) => {}
            }
        }
        let generation = self.rig.group.generation.to_string();
        for (waiter, answer) in std::mem::take(&mut self.rig.syncs) {
            prop_assert!(self.waiting.remove(&waiter), "answered twice");
            if let Ok(synced) = answer
                && !synced.assignment.is_empty()
            {
                prop_assert_eq!(
                    synced.assignment.as_ref(),
                    generation.as_bytes(),
                    "an assignment is of its generation"
                );
            }
        }
        Ok(())
    }

    fn check_members(&self) -> Result<(), TestCaseError> {
        let group = &self.rig.group;
        let members = || group.members.values();
        prop_assert_eq!(group.joining, members().filter(|member| member.joining.is_some()).count());
        let waiting: BTreeSet<_> =
            members().flat_map(|member| member.joining.into_iter().chain(member.syncing)).collect();
        prop_assert_eq!(&waiting, &self.waiting, "who waits is held by exactly one member");
        match group.phase {
            Phase::Empty => prop_assert!(group.members.is_empty()),
            Phase::Preparing { .. } => {}
            Phase::Completing | Phase::Stable => prop_assert!(!group.members.is_empty()),
        }
        prop_assert!(group.unsynced.iter().all(|id| group.members.contains_key(id)));
        prop_assert_eq!(group.instances.len(), members().filter(|member| member.is_static()).count());
        prop_assert!(group.pending.keys().all(|id| !group.members.contains_key(id)));
        let leads = group.leader.as_ref().is_some_and(|leader| group.members.contains_key(leader));
        prop_assert_eq!(leads, !group.members.is_empty(), "a group with members has one of them as its leader");
        let is_watched = group.members.is_empty() || group.next_deadline().is_some();
        prop_assert!(is_watched, "someone always watches over members");
        if group.phase == Phase::Stable || group.phase == Phase::Completing {
            prop_assert!(waiting.is_empty() || group.phase == Phase::Completing);
            prop_assert_eq!(group.joining, 0);
        }
        Ok(())
    }

    /// What a new coordinator would begin with is what members were told.
    fn check_row(&self) -> Result<(), TestCaseError> {
        let group = &self.rig.group;
        let Some(row) = self.tables.group("g") else {
            prop_assert_eq!(group.generation, 0);
            return Ok(());
        };
        prop_assert_eq!(row.generation, group.generation);
        let stored: BTreeSet<_> = row.members.iter().map(|member| member.id.clone()).collect();
        let known: BTreeSet<_> = group.members.values().filter_map(|member| member.stored_as.clone()).collect();
        prop_assert_eq!(&stored, &known);
        match group.phase {
            Phase::Empty => prop_assert_eq!(row.state, RestState::Empty),
            Phase::Completing => prop_assert_eq!(row.state, RestState::CompletingRebalance),
            Phase::Stable => prop_assert_eq!(row, &GroupRow { state_since: row.state_since, ..group.to_row() }),
            Phase::Preparing { .. } => {}
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_members_do_the_group_holds_together(steps in vec(any_step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check()?;
        }
        // At last everyone falls silent: the group ends empty, and everyone who waited is answered.
        world.rig.advance(2 * NEW_MEMBER_JOIN_TIMEOUT_MS);
        world.check()?;
        prop_assert!(world.rig.group.is_at_rest());
        prop_assert!(world.waiting.is_empty());
    }
}
