//! What was answered outlives its leader: members do anything, the log takes its time, and leaders go with what was not committed yet.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Join,
    Rejoin(usize),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Commit(usize),
    CommitAsNobody,
    Wait(u64),
    /// One entry is committed.
    Replicate,
    /// The leader goes, and with it what is not committed.
    Failover,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Join),
        3 => (0..4_usize).prop_map(Step::Rejoin),
        5 => (0..4_usize).prop_map(Step::Sync),
        2 => (0..4_usize).prop_map(Step::Heartbeat),
        1 => (0..4_usize).prop_map(Step::Leave),
        3 => (0..4_usize).prop_map(Step::Commit),
        1 => Just(Step::CommitAsNobody),
        3 => (1..8_000_u64).prop_map(Step::Wait),
        6 => Just(Step::Replicate),
        1 => Just(Step::Failover),
    ]
}

struct World {
    rig: Rig,
    joins: Vec<Pending<Result<Joined, GroupError>>>,
    syncs: Vec<Pending<Result<Synced, GroupError>>>,
    leaves: Vec<(String, Pending<()>)>,
    commits: Vec<(i64, Pending<()>)>,
    /// Who was told that it is a member, and of which generation.
    members: Vec<(String, i32)>,
    left: BTreeSet<String>,
    next_offset: i64,
}

impl World {
    fn new() -> Self {
        Self {
            rig: Rig::new(),
            joins: Vec::new(),
            syncs: Vec::new(),
            leaves: Vec::new(),
            commits: Vec::new(),
            members: Vec::new(),
            left: BTreeSet::new(),
            next_offset: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join => self.joins.push(self.rig.join("")),
            Step::Rejoin(who) => {
                let Some((id, _)) = self.member(who) else { return };
                self.joins.push(self.rig.join(&id));
            }
            Step::Sync(who) => {
                let Some((id, generation)) = self.member(who) else { return };
                let made_for = Bytes::from(generation.to_string());
                let assignments = self.members.iter().map(|(id, _)| (id.clone(), made_for.clone())).collect();
                let request = SyncRequest { generation, assignments, ..sync(&id) };
                self.syncs.push(self.rig.leader.sync(&self.rig.tables, request, self.rig.now.monotonic));
            }
            Step::Heartbeat(who) => {
                let Some((id, generation)) = self.member(who) else { return };
                let member = MemberIdentity { generation, ..member(&id) };
                let _ = self.rig.leader.heartbeat(&self.rig.tables, "g", &member, self.rig.now.monotonic);
            }
            Step::Leave(who) => {
                let Some((id, _)) = self.member(who) else { return };
                let (results, pending) =
                    self.rig.leader.leave(&self.rig.tables, "g", &[member(&id)], self.rig.now.monotonic);
                if results == [Ok(())] {
                    self.leaves.push((id, pending));
                }
            }
            Step::Commit(who) => {
                let Some((id, generation)) = self.member(who) else { return };
                self.commit(&MemberIdentity { generation, ..member(&id) });
            }
            Step::CommitAsNobody => self.commit(&nobody()),
            Step::Wait(by) => self.rig.advance(by),
            Step::Replicate => drop(self.rig.replicate()),
            Step::Failover => {
                let config = self.rig.leader.config.clone();
                self.rig.leader = Leader::new(1, config, Arc::default(), &self.rig.tables, self.rig.now.monotonic);
            }
        }
    }

    fn member(&self, who: usize) -> Option<(String, i32)> {
        self.members.iter().rev().nth(who).cloned()
    }

    fn commit(&mut self, identity: &MemberIdentity) {
        self.next_offset += 1;
        let (command, _) = commit_command("g", vec![offset("t", 0, self.next_offset)], &self.rig.image, 10);
        let commit = self.rig.leader.commit(&self.rig.tables, identity, &command.unwrap(), self.rig.now.monotonic);
        self.commits.extend(commit.map(|pending| (self.next_offset, pending)));
    }

    /// What was answered is in the rows.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let row = self.rig.tables.group("g");
        let generation = row.map_or(0, |row| row.generation);
        for joined in answered(&mut self.joins).into_iter().flatten() {
            prop_assert!(joined.generation <= generation);
            self.members.retain(|(id, _)| *id != joined.member_id);
            self.members.push((joined.member_id, joined.generation));
        }
        for synced in answered(&mut self.syncs).into_iter().flatten() {
            let made_for = std::str::from_utf8(&synced.assignment).unwrap().parse().unwrap_or(0);
            prop_assert!(generation >= made_for);
        }
        for (id, pending) in std::mem::take(&mut self.leaves) {
            let mut pending = vec![pending];
            if !answered(&mut pending).is_empty() {
                prop_assert!(
                    row.is_none_or(|row| row.members.iter().all(|member| member.id != id)),
                    "who has left is gone"
                );
                self.left.insert(id);
            } else if let Some(pending) = pending.pop() {
                self.leaves.push((id, pending));
            }
        }
        for (offset, pending) in std::mem::take(&mut self.commits) {
            let mut pending = vec![pending];
            if !answered(&mut pending).is_empty() {
                prop_assert!(self.rig.committed("t") >= Some(offset), "what was acknowledged is there");
            } else if let Some(pending) = pending.pop() {
                self.commits.push((offset, pending));
            }
        }
        let stays_away = row.is_none_or(|row| row.members.iter().all(|member| !self.left.contains(&member.id)));
        prop_assert!(stays_away, "who has left does not come back");
        Ok(())
    }
}

/// Takes the answers that have come. Those whose leader is gone are forgotten.
fn answered<T>(pending: &mut Vec<Pending<T>>) -> Vec<T> {
    let mut answers = Vec::new();
    pending.retain_mut(|answer| match answer.try_recv() {
        Ok(answer) => {
            answers.push(answer);
            false
        }
        Err(error) => error == oneshot::error::TryRecvError::Empty,
    });
    answers
}

proptest! {
    #[test]
    fn what_was_answered_outlives_its_leader(steps in vec(any_step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check()?;
        }
        // At last everything is committed and everyone falls silent: nobody waits any longer.
        for _ in 0..100 {
            world.rig.advance(20_000);
            world.rig.commit_all();
            world.check()?;
        }
        prop_assert!(world.joins.is_empty() && world.syncs.is_empty() && world.leaves.is_empty() && world.commits.is_empty());
        prop_assert!(world.rig.leader.groups.is_empty() && world.rig.leader.timers.is_empty());
        prop_assert!(world.rig.leader.joins.is_empty() && world.rig.leader.syncs.is_empty());
    }
}
