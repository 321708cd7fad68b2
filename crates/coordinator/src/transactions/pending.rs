//! The offsets that transactions have for consumer groups: what commands do to them, on every replica.
//!
//! Several transactions may have an offset of the same partition, and somebody may commit one without a transaction meanwhile. Of those that are
//! committed the one counts whose entry comes last in the log, in whatever order the transactions end (Kafka's rule). So an offset that is committed makes
//! outdated what transactions have of the partition from before it. That stays where it is until they end: as with Kafka, whoever asks for stable offsets is
//! refused until then.

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_types::{ProducerId, TimestampMs, TopicId, mutant};

use super::ProducerIdentity;
use super::command::PendingCommand;
use super::reply::{Refusal, Reply};
use crate::command::{At, TopicCommit};
use crate::rows::{PendingOffset, PendingRow, PendingRowKey, PendingTopics};

/// What follows from a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) reply: Reply,
    /// The offsets that are committed now.
    pub(crate) committed: Vec<TopicCommit>,
    /// Whose rows have changed besides the producer's own.
    pub(crate) outdated: Vec<PendingRowKey>,
}

impl Effect {
    fn of(reply: Reply) -> Self {
        Self { reply, committed: Vec::new(), outdated: Vec::new() }
    }
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
        let mut rows = self.0.get(group).into_iter().flat_map(BTreeMap::values);
        rows.any(|row| row.topics.get(topic).is_some_and(|offsets| offsets.contains_key(&partition)))
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
        let topics = self.0.values().flat_map(BTreeMap::values).flat_map(|row| &row.topics);
        topics.flat_map(|(topic, offsets)| offsets.values().map(move |offset| (topic, offset.topic_id)))
    }

    /// Drops the offsets that transactions have for a group that is deleted; returns whose they were.
    pub(crate) fn drop_offsets(&mut self, group: &Arc<str>) -> Vec<PendingRowKey> {
        self.drop_where(group, |_, _| true)
    }

    /// Drops the offsets that transactions have in a topic that is deleted; returns whose they were.
    pub(crate) fn drop_topic(&mut self, topic: &str, id: TopicId) -> Vec<PendingRowKey> {
        let groups: Vec<_> = self.0.keys().cloned().collect();
        let is_gone = |name: &str, offset: &PendingOffset| name == topic && offset.topic_id == id;
        groups.iter().flat_map(|group| self.drop_where(group, is_gone)).collect()
    }

    /// Drops the offsets that transactions have for a partition of a group; returns whose they were.
    pub(crate) fn drop_partition(&mut self, group: &Arc<str>, topic: &str, partition: i32) -> Vec<PendingRowKey> {
        self.drop_where(group, |name, offset| name == topic && offset.commit.partition == partition)
    }

    /// Offsets of a topic are committed, each of a partition and from the entry of an index: what transactions have of the partitions from before is
    /// outdated. Returns whose it is.
    pub(crate) fn outdate(&mut self, group: &Arc<str>, topic: &str, committed: &[(i32, u64)]) -> Vec<PendingRowKey> {
        self.change(group, |row| {
            let Some(offsets) = row.topics.get_mut(topic) else { return false };
            let mut is_changed = false;
            for (partition, index) in committed {
                let offset = offsets.get_mut(partition).filter(|offset| !offset.outdated && offset.index < *index);
                if let Some(offset) = offset {
                    offset.outdated = true;
                    is_changed = true;
                }
            }
            is_changed
        })
    }

    fn drop_where(&mut self, group: &Arc<str>, is_gone: impl Fn(&str, &PendingOffset) -> bool) -> Vec<PendingRowKey> {
        self.change(group, |row| {
            let mut is_changed = false;
            row.topics.retain(|topic, offsets| {
                let before = offsets.len();
                offsets.retain(|_, offset| !is_gone(topic, offset));
                is_changed |= offsets.len() < before;
                !offsets.is_empty()
            });
            is_changed
        })
    }

    /// Changes what each producer has for a group; returns who has something else now.
    fn change(&mut self, group: &Arc<str>, change: impl Fn(&mut PendingRow) -> bool) -> Vec<PendingRowKey> {
        let rows = self.0.get_mut(group).into_iter().flatten();
        let changed = rows.filter_map(|(&producer_id, row)| change(row).then_some(producer_id));
        changed.map(|producer_id| PendingRowKey { group: group.clone(), producer_id }).collect()
    }

    pub(crate) fn apply(&mut self, group: &Arc<str>, command: PendingCommand, at: At) -> Effect {
        match command {
            PendingCommand::Add { producer, number, topics } => {
                let early = if mutant::active("offsets_visible_before_commit") { topics.clone() } else { Vec::new() };
                Effect { committed: early, ..Effect::of(self.add(group, producer, number, topics, at)) }
            }
            PendingCommand::End { producer, number, commit } => {
                let topics = self.end(group, producer, number, at.time);
                if commit { self.commit(group, topics) } else { Effect::of(Reply::Done) }
            }
            PendingCommand::Forget { producer_id, number } => {
                self.forget(group, producer_id, number);
                Effect::of(Reply::Done)
            }
        }
    }

    fn add(
        &mut self,
        group: &Arc<str>,
        producer: ProducerIdentity,
        number: u64,
        topics: Vec<TopicCommit>,
        at: At,
    ) -> Reply {
        let (epoch, nothing) = (producer.epoch, PendingTopics::new());
        let fresh = PendingRow { epoch, number, ended: false, updated_at: at.time, topics: nothing };
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
        row.updated_at = at.time;
        for commit in topics {
            row.put(commit, at.index);
        }
        Reply::Done
    }

    /// Ends a transaction, also one that is not known; returns its offsets.
    fn end(&mut self, group: &Arc<str>, producer: ProducerIdentity, number: u64, time: TimestampMs) -> PendingTopics {
        let (producers, topics) = (self.0.entry(group.clone()).or_default(), PendingTopics::new());
        let ended = PendingRow { epoch: producer.epoch, number, ended: true, updated_at: time, topics };
        match producers.get_mut(&producer.id) {
            Some(row) if row.number > number || (row.number == number && row.ended) => PendingTopics::new(),
            Some(row) if row.number == number => std::mem::replace(row, ended).topics,
            Some(_) | None => {
                producers.insert(producer.id, ended);
                PendingTopics::new()
            }
        }
    }

    /// A transaction that had these is committed: what of it is not outdated counts from now on.
    fn commit(&mut self, group: &Arc<str>, topics: PendingTopics) -> Effect {
        let mut effect = Effect::of(Reply::Done);
        // A topic at a time, and not a partition: others' rows are then looked through once for each topic.
        for (topic, offsets) in topics {
            let newest: Vec<_> = offsets.into_values().filter(|offset| !offset.outdated).collect();
            let committed: Vec<_> = newest.iter().map(|offset| (offset.commit.partition, offset.index)).collect();
            effect.outdated.extend(self.outdate(group, &topic, &committed));
            effect.committed.extend(commits(&topic, newest));
        }
        effect
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

/// Offsets under a topic's name, as commits of the topics that had it.
fn commits(topic: &Arc<str>, offsets: Vec<PendingOffset>) -> Vec<TopicCommit> {
    let mut commits: Vec<TopicCommit> = Vec::new();
    for PendingOffset { topic_id: id, commit, .. } in offsets {
        match commits.last_mut().filter(|last| last.id == id) {
            Some(last) => last.offsets.push(commit),
            None => commits.push(TopicCommit { topic: topic.clone(), id, offsets: vec![commit] }),
        }
    }
    commits
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
