//! The offsets that transactions have for consumer groups: what commands do to them, on every replica.

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_types::{ProducerId, TimestampMs, TopicId, mutant};

use super::ProducerIdentity;
use super::command::PendingCommand;
use super::reply::{Refusal, Reply};
use crate::command::TopicCommit;
use crate::rows::{PendingRow, PendingRowKey};

/// What follows from a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) reply: Reply,
    /// The offsets that are committed now.
    pub(crate) committed: Vec<TopicCommit>,
}

/// The offsets of the transactions of all groups of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending(BTreeMap<Arc<str>, BTreeMap<ProducerId, PendingRow>>);

impl Pending {
    pub(crate) fn get(&self, key: &PendingRowKey) -> Option<&PendingRow> {
        self.0.get(&key.group)?.get(&key.producer_id)
    }

    pub(crate) fn put(&mut self, key: PendingRowKey, row: PendingRow) {
        self.0.entry(key.group).or_default().insert(key.producer_id, row);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PendingRowKey, &PendingRow)> {
        self.0.iter().flat_map(|(group, producers)| {
            producers.iter().map(|(&producer_id, row)| (PendingRowKey { group: group.clone(), producer_id }, row))
        })
    }

    /// Whether a transaction that has not ended has an offset of the partition.
    pub(crate) fn has(&self, group: &str, topic: &str, partition: i32) -> bool {
        let is_it = |commit: &TopicCommit| {
            &*commit.topic == topic && commit.offsets.iter().any(|offset| offset.partition == partition)
        };
        self.0.get(group).into_iter().flat_map(BTreeMap::values).flat_map(|row| &row.topics).any(is_it)
    }

    /// Whether transactions that have not ended have offsets for the group.
    pub(crate) fn has_any(&self, group: &str) -> bool {
        self.0.get(group).into_iter().flat_map(BTreeMap::values).any(|row| !row.topics.is_empty())
    }

    /// The groups for which transactions that have not ended have offsets.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        let has_any = |(_, producers): &(&Arc<str>, &BTreeMap<ProducerId, PendingRow>)| {
            producers.values().any(|row| !row.topics.is_empty())
        };
        self.0.iter().filter(has_any).map(|(group, _)| group)
    }

    /// The topics of which transactions that have not ended have offsets, some more than once.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, TopicId)> {
        let rows = self.0.values().flat_map(BTreeMap::values);
        rows.flat_map(|row| &row.topics).map(|commit| (&commit.topic, commit.id))
    }

    /// Drops the offsets that transactions have for a group that is deleted; returns whose they were.
    pub(crate) fn drop_offsets(&mut self, group: &Arc<str>) -> Vec<PendingRowKey> {
        self.drop_where(group, |_, _| true)
    }

    /// Drops the offsets that transactions have in a topic that is deleted; returns whose they were.
    pub(crate) fn drop_topic(&mut self, topic: &str, id: TopicId) -> Vec<PendingRowKey> {
        let groups: Vec<_> = self.0.keys().cloned().collect();
        let is_gone = |commit: &TopicCommit, _| &*commit.topic == topic && commit.id == id;
        groups.iter().flat_map(|group| self.drop_where(group, is_gone)).collect()
    }

    /// Drops the offsets that transactions have for a partition of a group; returns whose they were.
    pub(crate) fn drop_partition(&mut self, group: &Arc<str>, topic: &str, partition: i32) -> Vec<PendingRowKey> {
        self.drop_where(group, |commit, number| &*commit.topic == topic && number == partition)
    }

    fn drop_where(&mut self, group: &Arc<str>, is_gone: impl Fn(&TopicCommit, i32) -> bool) -> Vec<PendingRowKey> {
        let mut dropped = Vec::new();
        for (&producer_id, row) in self.0.get_mut(group).into_iter().flatten() {
            let count = |row: &PendingRow| row.topics.iter().map(|topic| topic.offsets.len()).sum::<usize>();
            let before = count(row);
            for commit in &mut row.topics {
                let mut offsets = std::mem::take(&mut commit.offsets);
                offsets.retain(|offset| !is_gone(commit, offset.partition));
                commit.offsets = offsets;
            }
            row.topics.retain(|topic| !topic.offsets.is_empty());
            if count(row) < before {
                dropped.push(PendingRowKey { group: group.clone(), producer_id });
            }
        }
        dropped
    }

    pub(crate) fn apply(&mut self, group: &Arc<str>, command: PendingCommand, time: TimestampMs) -> Effect {
        let (reply, committed) = match command {
            PendingCommand::Add { producer, number, topics } => {
                let early = if mutant::active("offsets_visible_before_commit") { topics.clone() } else { Vec::new() };
                (self.add(group, producer, number, topics, time), early)
            }
            PendingCommand::End { producer, number, commit } => {
                let topics = self.end(group, producer, number, time);
                (Reply::Done, if commit { topics } else { Vec::new() })
            }
            PendingCommand::Forget { producer_id, number } => {
                self.forget(group, producer_id, number);
                (Reply::Done, Vec::new())
            }
        };
        Effect { reply, committed }
    }

    fn add(
        &mut self,
        group: &Arc<str>,
        producer: ProducerIdentity,
        number: u64,
        topics: Vec<TopicCommit>,
        time: TimestampMs,
    ) -> Reply {
        let fresh = PendingRow { epoch: producer.epoch, number, ended: false, updated_at: time, topics: Vec::new() };
        let row = self.0.entry(group.clone()).or_default().entry(producer.id).or_insert_with(|| fresh.clone());
        if producer.epoch < row.epoch {
            return Reply::Refused(Refusal::OldEpoch);
        }
        if number < row.number || (number == row.number && row.ended) {
            return Reply::Refused(Refusal::InvalidState);
        }
        if number > row.number {
            *row = fresh;
        }
        row.epoch = producer.epoch;
        row.updated_at = time;
        for commit in topics {
            merge(&mut row.topics, commit);
        }
        Reply::Done
    }

    /// Ends a transaction, also one that is not known; returns its offsets.
    fn end(
        &mut self,
        group: &Arc<str>,
        producer: ProducerIdentity,
        number: u64,
        time: TimestampMs,
    ) -> Vec<TopicCommit> {
        let producers = self.0.entry(group.clone()).or_default();
        let ended = PendingRow { epoch: producer.epoch, number, ended: true, updated_at: time, topics: Vec::new() };
        match producers.get_mut(&producer.id) {
            Some(row) if row.number > number || (row.number == number && row.ended) => Vec::new(),
            Some(row) if row.number == number => std::mem::replace(row, ended).topics,
            Some(_) | None => {
                producers.insert(producer.id, ended);
                Vec::new()
            }
        }
    }

    fn forget(&mut self, group: &Arc<str>, producer_id: ProducerId, number: u64) {
        let Some(producers) = self.0.get_mut(group) else { return };
        if producers.get(&producer_id).is_some_and(|row| row.ended && row.number == number) {
            producers.remove(&producer_id);
        }
        if producers.is_empty() {
            self.0.remove(group);
        }
    }
}

/// The later offset of a partition takes the place of an earlier one.
fn merge(topics: &mut Vec<TopicCommit>, commit: TopicCommit) {
    let Some(known) = topics.iter_mut().find(|known| known.topic == commit.topic && known.id == commit.id) else {
        topics.push(commit);
        return;
    };
    for offset in commit.offsets {
        known.offsets.retain(|before| before.partition != offset.partition);
        known.offsets.push(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::OffsetCommit;

    const GROUP: &str = "g";

    fn commit(partition: i32, offset: i64) -> TopicCommit {
        let offsets =
            vec![OffsetCommit { partition, offset, leader_epoch: -1, retention_ms: None, metadata: String::new() }];
        TopicCommit { topic: "t".into(), id: TopicId::NIL, offsets }
    }

    fn add(pending: &mut Pending, number: u64, epoch: i16, commit: TopicCommit) -> Reply {
        let producer = ProducerIdentity { id: 7, epoch };
        pending.apply(&GROUP.into(), PendingCommand::Add { producer, number, topics: vec![commit] }, 1).reply
    }

    fn end(pending: &mut Pending, number: u64, epoch: i16, commit: bool) -> Vec<(i32, i64)> {
        let producer = ProducerIdentity { id: 7, epoch };
        let effect = pending.apply(&GROUP.into(), PendingCommand::End { producer, number, commit }, 1);
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
        assert_eq!(end(&mut pending, 1, 0, true), [(1, 6), (0, 7)]);
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
        pending.apply(&GROUP.into(), forget(4), 1);
        assert!(pending.has_any(GROUP), "not before it has ended");
        assert_eq!(end(&mut pending, 4, 1, true), [(0, 5)]);
        pending.apply(&GROUP.into(), forget(4), 1);
        assert_eq!(pending, Pending::default());
    }
}
