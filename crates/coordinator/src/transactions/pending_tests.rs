use std::iter::zip;

use bytes::Bytes;
use caudal_raft::{CommittedEntry, StateMachine};
use caudal_storage::keys::state;
use caudal_storage::{ColumnFamily, Durability, Engine, MemEngine, WriteBatch};
use caudal_types::RaftGroupId;
use proptest::prelude::*;

use super::*;
use crate::codec::Writer;
use crate::command::{Command, Entry, OffsetCommit, write_list};
use crate::fetch::fetch;
use crate::machine::ShardMachine;
use crate::model::OffsetKey;
use crate::rows::PENDING_KIND;
use crate::{GroupError, OffsetsQuestion};

const GROUP: &str = "g";
const SHARD: RaftGroupId = RaftGroupId(7);
const AT: At = At { index: 1, time: 1 };
const A: ProducerId = 1;
const B: ProducerId = 2;

fn commit(partition: i32, offset: i64) -> TopicCommit {
    let offsets =
        vec![OffsetCommit { partition, offset, leader_epoch: -1, retention_ms: None, metadata: String::new() }];
    TopicCommit { topic: "t".into(), id: TopicId::NIL, offsets }
}

fn add(pending: &mut Pending, number: u64, epoch: i16, commit: TopicCommit) -> Reply {
    let producer = ProducerIdentity { id: 7, epoch };
    pending.apply(&GROUP.into(), PendingCommand::Add { producer, number, topics: vec![commit] }, AT).reply
}

fn end(pending: &mut Pending, number: u64, epoch: i16, commit: bool) -> Vec<(i32, i64)> {
    let producer = ProducerIdentity { id: 7, epoch };
    let effect = pending.apply(&GROUP.into(), PendingCommand::End { producer, number, commit }, AT);
    assert_eq!(effect.reply, Reply::Done);
    let offsets = effect.committed.iter().flat_map(|topic| &topic.offsets);
    offsets.map(|offset| (offset.partition, offset.offset)).collect()
}

#[test]
fn offsets_become_visible_with_their_transaction_and_once() {
    let mut pending = Pending::default();
    assert_eq!(add(&mut pending, 1, 0, commit(0, 5)), Reply::Done);
    assert_eq!(add(&mut pending, 1, 0, commit(1, 6)), Reply::Done);
    assert_eq!(add(&mut pending, 1, 0, commit(0, 7)), Reply::Done);
    assert!(pending.has(GROUP, "t", 0) && !pending.has(GROUP, "t", 2) && pending.has_any(GROUP));
    assert_eq!(end(&mut pending, 1, 0, true), [(0, 7), (1, 6)]);
    assert!(!pending.has_any(GROUP));
    assert_eq!(end(&mut pending, 1, 0, true), [], "told again");
    assert_eq!(add(&mut pending, 2, 0, commit(0, 9)), Reply::Done);
    assert_eq!(end(&mut pending, 1, 0, true), [], "the one before does not end this one");
    assert_eq!(end(&mut pending, 2, 0, false), [], "aborted");
}

#[test]
fn what_comes_late_is_refused() {
    let mut pending = Pending::default();
    let late = Reply::Refused(Refusal::InvalidState);
    assert_eq!(end(&mut pending, 3, 1, true), []);
    assert_eq!(add(&mut pending, 3, 1, commit(0, 5)), late, "it was told of the end before");
    assert_eq!(add(&mut pending, 2, 1, commit(0, 5)), late);
    assert_eq!(add(&mut pending, 4, 0, commit(0, 5)), Reply::Refused(Refusal::OldEpoch));
    assert_eq!(add(&mut pending, 4, 1, commit(0, 5)), Reply::Done);
    let forget = |number| PendingCommand::Forget { producer_id: 7, number };
    pending.apply(&GROUP.into(), forget(4), AT);
    assert!(pending.has_any(GROUP), "not before it has ended");
    assert_eq!(end(&mut pending, 4, 1, true), [(0, 5)]);
    pending.apply(&GROUP.into(), forget(4), AT);
    assert_eq!(pending, Pending::default());
}

/// A shard over an engine, with the log played by hand.
struct Rig {
    engine: MemEngine,
    machine: ShardMachine,
    index: u64,
    /// The number of each producer's transaction, from 1 on.
    numbers: BTreeMap<ProducerId, u64>,
}

impl Rig {
    fn new() -> Self {
        Self::over(MemEngine::new())
    }

    fn over(engine: MemEngine) -> Self {
        let machine = ShardMachine::open(&engine, SHARD).unwrap();
        Self { engine, machine, index: 0, numbers: BTreeMap::new() }
    }

    fn apply(&mut self, command: &Command) {
        self.index += 1;
        let payload = Entry::encode(100, 0, &[command.encode()]);
        let entry = CommittedEntry { index: self.index, term: 1, payload, command: true };
        let mut batch = WriteBatch::new();
        let replies = self.machine.apply(&[entry], &mut batch).unwrap();
        self.engine.write(batch, Durability::Synced).unwrap();
        if matches!(command, Command::Pending { .. }) {
            assert_eq!(Reply::decode(replies[0].clone()), Ok(Reply::Done));
        }
    }

    fn add(&mut self, id: ProducerId, partition: i32, offset: i64) {
        let number = *self.numbers.entry(id).or_insert(1);
        let producer = ProducerIdentity { id, epoch: 0 };
        let command = PendingCommand::Add { producer, number, topics: vec![commit(partition, offset)] };
        self.apply(&Command::Pending { group: GROUP.into(), command });
    }

    fn end(&mut self, id: ProducerId, commit: bool) {
        let number = *self.numbers.entry(id).or_insert(1);
        let command = PendingCommand::End { producer: ProducerIdentity { id, epoch: 0 }, number, commit };
        self.apply(&Command::Pending { group: GROUP.into(), command });
        self.numbers.insert(id, number + 1);
    }

    fn plain(&mut self, partition: i32, offset: i64) {
        self.apply(&Command::CommitOffsets { group: GROUP.into(), topics: vec![commit(partition, offset)] });
    }

    fn delete(&mut self, partition: i32) {
        self.apply(&Command::RemoveOffsets { group: GROUP.into(), keys: vec![("t".into(), partition)] });
    }

    fn restart(&mut self) {
        self.machine = ShardMachine::open(&self.engine, SHARD).unwrap();
    }

    /// Goes on as another replica, which has all from a snapshot.
    fn replace(&mut self) {
        let snapshot = self.machine.snapshot().unwrap();
        let other = Self::new();
        (self.engine, self.machine) = (other.engine, other.machine);
        let mut batch = WriteBatch::new();
        self.machine.install(&snapshot, &mut batch).unwrap();
        self.engine.write(batch, Durability::Synced).unwrap();
    }

    fn fetch(&self, partition: i32, stable: bool) -> Result<Option<i64>, GroupError> {
        let key: OffsetKey = ("t".into(), partition);
        let question = OffsetsQuestion { group_id: GROUP.to_owned(), member: None, keys: Some(vec![key]), stable };
        let told = fetch(&self.machine.tables().read(), &question).pop().unwrap().1;
        told.map(|committed| committed.map(|committed| committed.offset))
    }

    /// Asserts what is told of a partition while transactions have it.
    fn assert_open(&self, partition: i32, committed: Option<i64>) {
        assert_eq!(self.fetch(partition, false), Ok(committed));
        assert_eq!(self.fetch(partition, true), Err(GroupError::UnstableOffset));
    }

    /// Asserts what is told of a partition that no transaction has.
    fn assert_stable(&self, partition: i32, committed: Option<i64>) {
        assert_eq!(self.fetch(partition, false), Ok(committed));
        assert_eq!(self.fetch(partition, true), Ok(committed));
    }
}

/// What may happen to a shard between two entries: nothing, or one of these.
const BETWEEN: [fn(&mut Rig); 3] = [|_| (), Rig::restart, Rig::replace];

const OUTCOMES: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

/// Begins with what `begin` does; then both transactions end, in either order, with each outcome. What must be told in the end is said by `expected`,
/// from whether A and B are committed.
fn check_both_orders(begin: fn(&mut Rig), expected: fn(bool, bool) -> i64) {
    for between in BETWEEN {
        for [a_commits, b_commits] in OUTCOMES {
            for ends in [[(A, a_commits), (B, b_commits)], [(B, b_commits), (A, a_commits)]] {
                let mut rig = Rig::new();
                begin(&mut rig);
                between(&mut rig);
                let [(first, commits), (second, also_commits)] = ends;
                rig.end(first, commits);
                between(&mut rig);
                let so_far = if first == A { expected(commits, false) } else { expected(false, commits) };
                rig.assert_open(0, Some(so_far));
                rig.end(second, also_commits);
                between(&mut rig);
                rig.assert_stable(0, Some(expected(a_commits, b_commits)));
            }
        }
    }
}

#[test]
fn of_two_transactions_the_one_whose_offset_came_later_counts() {
    // The later ones are smaller: it does not matter which is the largest.
    let begin = |rig: &mut Rig| {
        rig.plain(0, 30);
        rig.add(A, 0, 20);
        rig.add(B, 0, 10);
        rig.assert_open(0, Some(30));
    };
    check_both_orders(begin, |a, b| match (a, b) {
        (_, true) => 10,
        (true, false) => 20,
        (false, false) => 30,
    });
}

#[test]
fn a_plain_commit_between_two_transactions_outdates_the_earlier_one() {
    let begin = |rig: &mut Rig| {
        rig.add(A, 0, 20);
        rig.plain(0, 15);
        rig.assert_open(0, Some(15));
        rig.add(B, 0, 10);
    };
    check_both_orders(begin, |_, b| if b { 10 } else { 15 });
}

#[test]
fn a_plain_commit_behind_two_transactions_counts_whatever_becomes_of_them() {
    let begin = |rig: &mut Rig| {
        rig.add(A, 0, 20);
        rig.add(B, 0, 10);
        rig.plain(0, 15);
    };
    check_both_orders(begin, |_, _| 15);
}

#[test]
fn a_transaction_that_commits_its_offset_again_is_the_later_one() {
    let begin = |rig: &mut Rig| {
        rig.add(A, 0, 20);
        rig.add(B, 0, 10);
        rig.plain(0, 15);
        rig.add(A, 0, 5);
    };
    check_both_orders(begin, |a, _| if a { 5 } else { 15 });
}

#[test]
fn each_partition_counts_for_itself() {
    let mut rig = Rig::new();
    for (partition, offset) in zip([0, 1], [20, 21]) {
        rig.add(A, partition, offset);
    }
    for (partition, offset) in zip([0, 2], [10, 12]) {
        rig.add(B, partition, offset);
    }
    rig.end(B, true);
    rig.assert_open(0, Some(10));
    rig.assert_open(1, None);
    rig.assert_stable(2, Some(12));
    rig.end(A, true);
    for (partition, offset) in zip([0, 1, 2], [10, 21, 12]) {
        rig.assert_stable(partition, Some(offset));
    }
}

#[test]
fn what_transactions_had_before_rows_told_its_index_is_before_all_else() {
    let earlier = |id: ProducerId, offset: i64| {
        let mut row = Writer::new();
        // Version, epoch, number, ended, updated at, topics.
        row.u8(1);
        row.i16(0);
        row.u64(1);
        row.u8(0);
        row.i64(100);
        write_list(&mut row, &[commit(0, offset)], |row, topic| topic.write(row));
        (PendingRowKey { group: GROUP.into(), producer_id: id }.encode(), row.finish())
    };
    let engine_with = |rows: Vec<(Bytes, Bytes)>| {
        let (engine, mut batch) = (MemEngine::new(), WriteBatch::new());
        for (key, row) in rows {
            batch.put(ColumnFamily::State, state::key(SHARD, PENDING_KIND, &key), row);
        }
        engine.write(batch, Durability::Synced).unwrap();
        engine
    };
    for between in BETWEEN {
        let mut rig = Rig::over(engine_with(vec![earlier(A, 20)]));
        between(&mut rig);
        rig.add(B, 0, 10);
        rig.end(B, true);
        between(&mut rig);
        rig.assert_open(0, Some(10));
        rig.end(A, true);
        rig.assert_stable(0, Some(10));

        let mut rig = Rig::over(engine_with(vec![earlier(A, 20), earlier(B, 10)]));
        between(&mut rig);
        rig.end(B, true);
        rig.assert_open(0, Some(10));
        rig.end(A, true);
        rig.assert_stable(0, Some(20));
    }
}

/// Kafka's rule, by the place of each offset in the log.
#[derive(Debug, Default)]
struct Model {
    committed: BTreeMap<i32, (u64, i64)>,
    pending: BTreeMap<ProducerId, BTreeMap<i32, (u64, i64)>>,
}

impl Model {
    fn end(&mut self, id: ProducerId, commit: bool) {
        for (partition, record) in self.pending.remove(&id).unwrap_or_default() {
            let is_later = self.committed.get(&partition).is_none_or(|(place, _)| record.0 > *place);
            if commit && is_later {
                self.committed.insert(partition, record);
            }
        }
    }

    fn delete(&mut self, partition: i32) {
        self.committed.remove(&partition);
        for offsets in self.pending.values_mut() {
            offsets.remove(&partition);
        }
    }

    fn check(&self, rig: &Rig, partition: i32) {
        let committed = self.committed.get(&partition).map(|(_, offset)| *offset);
        if self.pending.values().any(|offsets| offsets.contains_key(&partition)) {
            rig.assert_open(partition, committed);
        } else {
            rig.assert_stable(partition, committed);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(ProducerId, i32),
    Plain(i32),
    End(ProducerId, bool),
    Delete(i32),
    Restart,
    Replace,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_i64, 0..2).prop_map(|(id, partition)| Step::Add(id, partition)),
        2 => (0..2).prop_map(Step::Plain),
        4 => (1..4_i64, any::<bool>()).prop_map(|(id, commit)| Step::End(id, commit)),
        1 => (0..2).prop_map(Step::Delete),
        1 => Just(Step::Restart),
        1 => Just(Step::Replace),
    ]
}

proptest! {
    #[test]
    fn offsets_are_what_kafka_says(steps in prop::collection::vec(any_step(), 1..40)) {
        let (mut rig, mut model) = (Rig::new(), Model::default());
        for (step, place) in zip(steps, 1_u64..) {
            // Later ones are smaller.
            let offset = 1_000 - i64::try_from(place).unwrap();
            match step {
                Step::Add(id, partition) => {
                    rig.add(id, partition, offset);
                    model.pending.entry(id).or_default().insert(partition, (place, offset));
                }
                Step::Plain(partition) => {
                    rig.plain(partition, offset);
                    model.committed.insert(partition, (place, offset));
                }
                Step::End(id, commit) => {
                    rig.end(id, commit);
                    model.end(id, commit);
                }
                Step::Delete(partition) => {
                    rig.delete(partition);
                    model.delete(partition);
                }
                Step::Restart => rig.restart(),
                Step::Replace => rig.replace(),
            }
            model.check(&rig, 0);
            model.check(&rig, 1);
        }
    }
}
