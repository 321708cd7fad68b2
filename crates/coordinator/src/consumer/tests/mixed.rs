//! Members of both protocols in one group: no partition has two owners, and when all do as they are told, each has one.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::classics::{identity, join};
use super::*;
use crate::model::MemberIdentity;

#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    /// The member shows itself, and does what it is told.
    Act(usize),
    Leave(usize),
    /// Another coordinator takes over.
    FailOver,
    Wait(Millis),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5_usize).prop_map(Step::Join),
        10 => (0..5_usize).prop_map(Step::Act),
        1 => (0..5_usize).prop_map(Step::Leave),
        1 => Just(Step::FailOver),
        1 => (1..3_000_u64).prop_map(Step::Wait),
    ]
}

/// A member's own view. The first three speak the classic protocol.
#[derive(Clone, Debug, Default)]
struct Client {
    epoch: i32,
    owned: BTreeSet<i32>,
    /// What it was told to have, when it has not done so yet.
    told: Option<BTreeSet<i32>>,
    /// The classic protocol: it shall join, or ask for its assignment.
    joins: bool,
    syncs: bool,
}

struct World {
    rig: Rig,
    clients: BTreeMap<usize, Client>,
}

fn is_classic(member: usize) -> bool {
    member < 3
}

impl World {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(member) => {
                self.clients.entry(member).or_insert_with(|| Client { joins: true, ..Client::default() });
                self.act(member);
            }
            Step::Act(member) => self.act(member),
            Step::Leave(member) => self.leave(member),
            Step::FailOver => self.rig.fail_over(),
            Step::Wait(by) => self.rig.advance(by),
        }
    }

    fn act(&mut self, member: usize) {
        let Some(mut client) = self.clients.remove(&member) else { return };
        let id = member.to_string();
        let result =
            if is_classic(member) { self.act_classic(&id, &mut client) } else { self.act_new(&id, &mut client) };
        match result {
            Ok(()) => {}
            Err(GroupError::RebalanceInProgress) => client.joins = true,
            Err(GroupError::UnknownMember | GroupError::IllegalGeneration | GroupError::FencedMemberEpoch { .. }) => {
                client = Client { joins: true, ..Client::default() }
            }
            Err(error) => panic!("{error}"),
        }
        self.clients.insert(member, client);
    }

    /// One step at a time: join, ask for the assignment, give up or take, show itself.
    fn act_classic(&mut self, id: &str, client: &mut Client) -> Result<(), GroupError> {
        if client.joins {
            let has: Vec<i32> = client.owned.iter().copied().collect();
            client.epoch = self.rig.join_classic(&join(id, &has))?.generation;
            (client.joins, client.syncs, client.told) = (false, true, None);
        } else if client.syncs {
            client.told = Some(self.rig.sync_classic(id, client.epoch)?.into_iter().collect());
            client.syncs = false;
        } else if let Some(told) = client.told.take() {
            // Who gives something up joins again, so that others get it.
            client.joins = !client.owned.is_subset(&told);
            client.owned = told;
        } else {
            self.rig.beat_classic(id, client.epoch)?;
        }
        Ok(())
    }

    fn act_new(&mut self, id: &str, client: &mut Client) -> Result<(), GroupError> {
        let numbers: Vec<i32> = client.owned.iter().copied().collect();
        let owned = if numbers.is_empty() { Vec::new() } else { vec![("t", &*numbers)] };
        let beat = if client.epoch == 0 { joining(id) } else { owning(id, client.epoch, &owned) };
        let answer = self.rig.beat(&beat)?;
        client.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            client.owned = assignment.into_values().flatten().collect();
        }
        Ok(())
    }

    fn leave(&mut self, member: usize) {
        if self.clients.remove(&member).is_none() {
            return;
        }
        let ctx = Context { config: &self.rig.config, now: self.rig.now, image: &self.rig.image };
        let leaving: [MemberIdentity; 1] = [identity(&member.to_string(), -1)];
        self.rig.group.leave_classic(ctx, &leaving);
        self.rig.commit();
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut owners = BTreeMap::new();
        for (member, client) in &self.clients {
            let known = self.rig.group.members.get(&*member.to_string());
            if known.is_some_and(|known| known.row.progress.epoch == client.epoch) {
                for partition in &client.owned {
                    let other = owners.insert(*partition, *member);
                    prop_assert_eq!(other, None, "{} has {}, too", member, partition);
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn members_of_both_protocols_share(steps in vec(any_step(), 1..60)) {
        let mut world = World { rig: Rig::new(), clients: BTreeMap::new() };
        for step in &steps {
            world.step(step);
            world.check()?;
        }
        // Someone of the new protocol is there, or the group would go back to the old one.
        world.step(&Step::Join(4));
        for _ in 0..60 {
            for member in 0..5 {
                world.act(member);
                world.check()?;
            }
            world.rig.advance(1_000);
        }
        let owned: Vec<i32> = world.clients.values().flat_map(|client| client.owned.iter().copied()).collect();
        prop_assert_eq!(owned.len(), 6);
        prop_assert_eq!(owned.into_iter().collect::<BTreeSet<_>>().len(), 6);
        prop_assert_eq!(world.rig.group.state(), "Stable");
    }
}
