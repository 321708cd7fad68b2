//! Whatever members, networks and coordinators do: no partition has two owners, and when they are left in peace each has one.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    /// A heartbeat; its answer may be lost.
    Beat(usize, bool),
    /// The member has done what it was told to.
    Settle(usize),
    Leave(usize),
    Subscribe(usize, usize),
    Grow(usize),
    Wait(Millis),
    /// A heartbeat whose command is lost with the coordinator.
    Crash(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let member = || 0..4_usize;
    prop_oneof![
        3 => member().prop_map(Step::Join),
        8 => (member(), prop::bool::weighted(0.2)).prop_map(|(member, lost)| Step::Beat(member, lost)),
        6 => member().prop_map(Step::Settle),
        1 => member().prop_map(Step::Leave),
        1 => (member(), 0..3_usize).prop_map(|(member, topics)| Step::Subscribe(member, topics)),
        1 => (0..2_usize).prop_map(Step::Grow),
        2 => (1..20_000_u64).prop_map(Step::Wait),
        1 => member().prop_map(Step::Crash),
    ]
}

const TOPICS: [&str; 2] = ["t", "u"];

/// A member's own view.
#[derive(Clone, Debug, Default)]
struct Client {
    epoch: i32,
    /// What it has.
    owned: Partitions,
    /// What it was told to have.
    told: Partitions,
    topics: Vec<String>,
    /// The next heartbeat says all there is to say.
    full: bool,
}

struct World {
    rig: Rig,
    sizes: [usize; 2],
    clients: BTreeMap<usize, Client>,
}

fn subscription(choice: usize) -> Vec<String> {
    let all: [&[&str]; 3] = [&["t"], &["u"], &["t", "u"]];
    all[choice].iter().map(|name| (*name).to_owned()).collect()
}

impl World {
    fn new() -> Self {
        let mut rig = Rig::new();
        put_topic(&mut rig.image, "u", 2);
        Self { rig, sizes: [6, 2], clients: BTreeMap::new() }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(member) => {
                self.clients.entry(member).or_insert_with(|| Client {
                    topics: subscription(member % 3),
                    full: true,
                    ..Client::default()
                });
                self.beat(member, false);
            }
            Step::Beat(member, lost) => self.beat(member, lost),
            Step::Settle(member) => {
                if let Some(client) = self.clients.get_mut(&member) {
                    client.owned = client.told.clone();
                    client.full = true;
                }
            }
            Step::Leave(member) => {
                if self.clients.remove(&member).is_some() {
                    let _ = self.rig.beat(&alive(&member.to_string(), -1));
                }
            }
            Step::Subscribe(member, choice) => {
                if let Some(client) = self.clients.get_mut(&member) {
                    client.topics = subscription(choice);
                    client.full = true;
                }
            }
            Step::Grow(topic) => {
                self.sizes[topic] += 1;
                put_topic(&mut self.rig.image, TOPICS[topic], self.sizes[topic]);
            }
            Step::Wait(by) => self.rig.advance(by),
            Step::Crash(member) => {
                if let Some(beat) = self.request(member) {
                    let ctx = Context { config: &self.rig.config, now: self.rig.now, image: &self.rig.image };
                    let _ = self.rig.group.heartbeat(ctx, &beat);
                    self.rig.fail_over();
                    self.lose_answer(member);
                }
            }
        }
    }

    fn request(&self, member: usize) -> Option<Heartbeat> {
        let client = self.clients.get(&member)?;
        let mut beat = alive(&member.to_string(), client.epoch);
        if client.full || client.epoch == 0 {
            beat.topic_names = Some(client.topics.clone());
            beat.rebalance_timeout_ms = Some(REBALANCE);
            beat.owned = Some(client.owned.clone());
        }
        Some(beat)
    }

    fn beat(&mut self, member: usize, lost: bool) {
        let Some(beat) = self.request(member) else { return };
        let answer = self.rig.beat(&beat);
        let Some(client) = self.clients.get_mut(&member) else { return };
        match answer {
            _ if lost => self.lose_answer(member),
            Ok(answer) => {
                client.epoch = answer.member_epoch;
                client.full = false;
                if let Some(assignment) = answer.assignment {
                    // It gives up in its own time, and takes when it has given up.
                    client.told = assignment;
                }
            }
            Err(GroupError::FencedMemberEpoch { .. } | GroupError::UnknownMember) => {
                client.epoch = 0;
                client.owned.clear();
                client.told.clear();
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn lose_answer(&mut self, member: usize) {
        if let Some(client) = self.clients.get_mut(&member) {
            client.full = true;
        }
    }

    /// A member that the group no longer knows may think that it has something until it hears so; the others share nothing.
    fn check(&self) -> Result<(), TestCaseError> {
        let mut owners: BTreeMap<(TopicId, i32), String> = BTreeMap::new();
        for (member, client) in &self.clients {
            let id = member.to_string();
            let Some(known) = self.rig.group.members.get(&*id) else { continue };
            if client.epoch != known.row.progress.epoch {
                continue;
            }
            for (topic, partitions) in &client.owned {
                for partition in partitions {
                    let other = owners.insert((*topic, *partition), id.clone());
                    prop_assert_eq!(other, None, "{} has {:?}, too", &id, (topic, partition));
                }
            }
        }
        let mut held = std::collections::BTreeSet::new();
        for member in self.rig.group.members.values() {
            let progress = &member.row.progress;
            for partition in partitions::each(&progress.held).chain(partitions::each(&progress.revoking)) {
                prop_assert!(held.insert(partition), "{:?} is held twice", partition);
            }
        }
        prop_assert_eq!(self.rig.group.taken.iter().copied().collect::<std::collections::BTreeSet<_>>(), held);
        Ok(())
    }

    /// Everyone does as it is told for a while.
    fn calm_down(&mut self) {
        for _ in 0..12 {
            for member in self.clients.keys().copied().collect::<Vec<_>>() {
                self.beat(member, false);
                self.step(&Step::Settle(member));
                self.beat(member, false);
            }
            self.rig.advance(5_000);
        }
    }

    fn check_settled(&self) -> Result<(), TestCaseError> {
        if self.clients.is_empty() {
            return Ok(());
        }
        let mut owned: Vec<(TopicId, i32)> = Vec::new();
        for client in self.clients.values() {
            owned.extend(client.owned.iter().flat_map(|(topic, all)| all.iter().map(|partition| (*topic, *partition))));
        }
        owned.sort_unstable();
        let subscribed =
            |name: &str| self.clients.values().any(|client| client.topics.iter().any(|topic| topic == name));
        let mut all = Vec::new();
        for (name, size) in TOPICS.iter().zip(self.sizes).filter(|(name, _)| subscribed(name)) {
            all.extend((0..i32::try_from(size).unwrap()).map(|partition| (topic_id(name), partition)));
        }
        prop_assert_eq!(owned, all);
        prop_assert_eq!(self.rig.group.state(), "Stable");
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_partition_has_two_owners_and_at_last_each_has_one(steps in vec(any_step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check()?;
        }
        // Those that were left out are silent, and members that are gone time out.
        for _ in 0..12 {
            world.calm_down();
            world.check()?;
        }
        world.check_settled()?;
        let mut again = world.rig.group.describe(world.rig.ctx()).members.into_iter().map(|member| member.assignment);
        let before: BTreeSet<_> = again.by_ref().collect();
        world.rig.fail_over();
        let after = world.rig.group.describe(world.rig.ctx()).members.into_iter().map(|member| member.assignment);
        prop_assert_eq!(after.collect::<BTreeSet<_>>(), before);
    }
}
