//! The rows of a shard in memory, the same on every replica: what commands do to them, and what the coordinator reads.

mod consumers;
mod offsets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use caudal_types::{TimestampMs, TopicId};

use crate::command::{At, Command, Entry, TopicCommit};
use crate::model::OffsetKey;
use crate::rows::{ConsumerMemberKey, GroupRow, MetaRow, OffsetRow, OffsetRowKey, PendingRowKey, RestState};
use crate::transactions::command::PendingCommand;
use crate::transactions::pending::Pending;
use crate::transactions::reply::Reply;
use crate::transactions::table::Transactions;

pub(crate) use consumers::ConsumerRows;
pub(crate) use offsets::{Stamp, TopicOffsets};

/// A group's committed offsets, by topic and partition.
pub(crate) type GroupOffsets = BTreeMap<Arc<str>, TopicOffsets>;

/// The rows of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) meta: MetaRow,
    pub(crate) transactions: Transactions,
    /// Offsets whose transactions have not ended.
    pub(crate) pending: Pending,
    groups: BTreeMap<Arc<str>, GroupRow>,
    consumers: BTreeMap<Arc<str>, ConsumerRows>,
    offsets: BTreeMap<Arc<str>, GroupOffsets>,
    /// How many offsets there are of each topic.
    topics: BTreeMap<(Arc<str>, TopicId), usize>,
}

/// Which rows have changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) groups: BTreeSet<Arc<str>>,
    pub(crate) consumers: BTreeSet<Arc<str>>,
    pub(crate) consumer_members: BTreeSet<ConsumerMemberKey>,
    pub(crate) consumer_targets: BTreeSet<ConsumerMemberKey>,
    pub(crate) offsets: BTreeSet<OffsetRowKey>,
    pub(crate) transactions: BTreeSet<Arc<str>>,
    pub(crate) pending: BTreeSet<PendingRowKey>,
}

impl Tables {
    pub(crate) fn group(&self, group: &str) -> Option<&GroupRow> {
        self.groups.get(group)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupRow)> {
        self.groups.iter()
    }

    pub(crate) fn offsets(&self, group: &str) -> Option<&GroupOffsets> {
        self.offsets.get(group)
    }

    pub(crate) fn offset(&self, group: &str, topic: &str, partition: i32) -> Option<OffsetRow> {
        self.offsets.get(group)?.get(topic)?.get(partition)
    }

    fn stamp(&self, group: &str, topic: &str, partition: i32) -> Option<Stamp> {
        self.offsets.get(group)?.get(topic)?.stamp(partition)
    }

    /// Of which partitions the group has offsets.
    pub(crate) fn offset_keys(&self, group: &str) -> impl Iterator<Item = OffsetKey> {
        self.offsets
            .get(group)
            .into_iter()
            .flatten()
            .flat_map(|(topic, partitions)| partitions.stamps().map(move |stamp| (topic.clone(), stamp.partition)))
    }

    /// All offsets, by key.
    pub(crate) fn all_offsets(&self) -> impl Iterator<Item = (OffsetRowKey, OffsetRow)> {
        self.offsets.iter().flat_map(|(group, topics)| {
            let with_group = |((topic, partition), row)| (OffsetRowKey { group: group.clone(), topic, partition }, row);
            flatten(topics).map(with_group)
        })
    }

    /// The ids of all groups that have a row or offsets, be it in transactions.
    pub(crate) fn group_ids(&self) -> BTreeSet<Arc<str>> {
        let with_rows = self.groups.keys().chain(self.consumers.keys());
        with_rows.chain(self.offsets.keys()).chain(self.pending.groups()).cloned().collect()
    }

    /// Whether the group has a row or offsets, be it in transactions.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        let has_row = self.groups.contains_key(group) || self.consumers.contains_key(group);
        has_row || self.offsets.contains_key(group) || self.pending.has_any(group)
    }

    /// The topics of which there are offsets.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &(Arc<str>, TopicId)> {
        self.topics.keys()
    }

    /// Applies the commands of the entry at `index` in order, and adds the rows that change to `changes`. A command about a transaction has a reply, and
    /// comes alone.
    pub(crate) fn apply(&mut self, index: u64, entry: Entry, changes: &mut Changes) -> Option<Reply> {
        let at = At { index, time: entry.time };
        self.meta.applied_index = index;
        self.meta.image_version = self.meta.image_version.max(entry.image_version);
        let mut reply = None;
        for command in entry.commands {
            reply = match command {
                Command::Transaction { id, command } => {
                    let reply = self.transactions.apply(&id, command, entry.time);
                    changes.transactions.insert(id);
                    Some(reply)
                }
                Command::Pending { group, command } => Some(self.apply_pending(&group, command, at, changes)),
                command => {
                    self.apply_command(command, at, changes);
                    None
                }
            };
        }
        reply
    }

    fn apply_pending(&mut self, group: &Arc<str>, command: PendingCommand, at: At, changes: &mut Changes) -> Reply {
        changes.pending.insert(PendingRowKey { group: group.clone(), producer_id: command.producer_id() });
        let effect = self.pending.apply(group, command, at);
        changes.pending.extend(effect.outdated);
        for topic in effect.committed {
            self.commit(group, topic, at.time, changes);
        }
        effect.reply
    }

    fn apply_command(&mut self, command: Command, at: At, changes: &mut Changes) {
        let time = at.time;
        match command {
            // See `apply`.
            Command::Transaction { .. } | Command::Pending { .. } => {}
            Command::Nothing => {}
            Command::PutGroup { group, row } => {
                self.remove_consumer_group(&group, changes);
                changes.groups.insert(group.clone());
                self.groups.insert(group, GroupRow { state_since: time, ..row });
            }
            Command::Assign { group, generation, assignments } => {
                self.change_group(group, time, changes, |row| assign(row, generation, assignments));
            }
            Command::RemoveMembers { group, members, leader } => {
                self.change_group(group, time, changes, |row| remove_members(row, &members, leader));
            }
            Command::DeleteGroup { group } => self.delete_group(group, changes),
            Command::ForgetGroup { group, generation } => self.forget_group(group, generation, changes),
            Command::CommitOffsets { group, topics } => {
                for topic in topics {
                    self.supersede(&group, &topic, at.index, changes);
                    self.commit(&group, topic, time, changes);
                }
            }
            Command::RemoveOffsets { group, keys } => {
                for key in keys {
                    changes.pending.extend(self.pending.drop_partition(&group, &key.0, key.1));
                    self.remove_offset(&group, key, changes);
                }
            }
            Command::ExpireOffsets { group, offsets } => {
                for ((topic, partition), committed_at) in offsets {
                    let stamp = self.stamp(&group, &topic, partition);
                    if stamp.is_some_and(|stamp| stamp.committed_at == committed_at) {
                        self.remove_offset(&group, (topic, partition), changes);
                    }
                }
            }
            Command::RemoveTopics { topics } => {
                for (topic, id) in topics {
                    self.remove_topic(&topic, id, changes);
                }
            }
            Command::ChangeConsumerGroup { group, change } => self.change_consumer_group(group, change, changes),
        }
    }

    fn change_group(
        &mut self,
        group: Arc<str>,
        time: TimestampMs,
        changes: &mut Changes,
        change: impl FnOnce(&mut GroupRow) -> bool,
    ) {
        if let Some(row) = self.groups.get_mut(&group)
            && change(row)
        {
            row.state_since = time;
            changes.groups.insert(group);
        }
    }

    fn delete_group(&mut self, group: Arc<str>, changes: &mut Changes) {
        let keys: Vec<_> = self.offset_keys(&group).collect();
        for key in keys {
            self.remove_offset(&group, key, changes);
        }
        changes.pending.extend(self.pending.drop_offsets(&group));
        self.remove_consumer_group(&group, changes);
        if self.groups.remove(&group).is_some() {
            changes.groups.insert(group);
        }
    }

    fn forget_group(&mut self, group: Arc<str>, generation: i32, changes: &mut Changes) {
        self.forget_consumer_group(&group, generation, changes);
        let is_idle = |row: &GroupRow| row.state == RestState::Empty && row.generation == generation;
        let has_offsets = self.offsets.contains_key(&group) || self.pending.has_any(&group);
        if self.groups.get(&group).is_some_and(is_idle) && !has_offsets {
            self.groups.remove(&group);
            changes.groups.insert(group);
        }
    }

    fn commit(&mut self, group: &Arc<str>, commit: TopicCommit, time: TimestampMs, changes: &mut Changes) {
        for offset in commit.offsets {
            let row = OffsetRow {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                committed_at: time,
                expires_at: offset.retention_ms.map(|retention| time.saturating_add(retention)),
                topic_id: commit.id,
                metadata: offset.metadata.into(),
            };
            let key = OffsetRowKey { group: group.clone(), topic: commit.topic.clone(), partition: offset.partition };
            self.put_offset(key.clone(), row);
            changes.offsets.insert(key);
        }
    }

    /// The later commit counts: a transaction that ends behind it must not bring back what it has from before.
    fn supersede(&mut self, group: &Arc<str>, commit: &TopicCommit, index: u64, changes: &mut Changes) {
        // Mostly there is nothing, but for ends of earlier transactions.
        if !self.pending.has_any(group) {
            return;
        }
        let committed: Vec<_> = commit.offsets.iter().map(|offset| (offset.partition, index)).collect();
        changes.pending.extend(self.pending.outdate(group, &commit.topic, &committed));
    }

    fn remove_topic(&mut self, topic: &Arc<str>, id: TopicId, changes: &mut Changes) {
        let mut gone = Vec::new();
        for (group, topics) in &self.offsets {
            let stamps = topics.get(topic).into_iter().flat_map(TopicOffsets::stamps);
            gone.extend(stamps.filter(|stamp| stamp.topic_id == id).map(|stamp| (group.clone(), stamp.partition)));
        }
        for (group, partition) in gone {
            self.remove_offset(&group, (topic.clone(), partition), changes);
        }
        // A topic that has the name next must not begin where a transaction was in this one.
        changes.pending.extend(self.pending.drop_topic(topic, id));
    }

    /// Puts a group's row, as it was stored.
    pub(crate) fn put_group(&mut self, group: Arc<str>, row: GroupRow) {
        self.groups.insert(group, row);
    }

    /// Puts an offset's row, as it was stored.
    pub(crate) fn put_offset(&mut self, key: OffsetRowKey, row: OffsetRow) {
        *self.topics.entry((key.topic.clone(), row.topic_id)).or_default() += 1;
        let topics = self.offsets.entry(key.group).or_default();
        if let Some(old) = topics.entry(key.topic.clone()).or_default().insert(key.partition, row) {
            self.discount(key.topic, old.topic_id);
        }
    }

    fn remove_offset(&mut self, group: &Arc<str>, (topic, partition): OffsetKey, changes: &mut Changes) {
        let Some(topics) = self.offsets.get_mut(group) else { return };
        let Some(partitions) = topics.get_mut(&topic) else { return };
        let Some(old) = partitions.remove(partition) else { return };
        if partitions.is_empty() {
            topics.remove(&topic);
        }
        if topics.is_empty() {
            self.offsets.remove(group);
        }
        changes.offsets.insert(OffsetRowKey { group: group.clone(), topic: topic.clone(), partition });
        self.discount(topic, old.topic_id);
    }

    fn discount(&mut self, topic: Arc<str>, id: TopicId) {
        let key = (topic, id);
        if let Some(count) = self.topics.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.topics.remove(&key);
            }
        }
    }
}

#[cfg(test)]
impl Tables {
    /// Applies an entry behind all that are applied.
    pub(crate) fn apply_next(&mut self, entry: Entry, changes: &mut Changes) -> Option<Reply> {
        self.apply(self.meta.applied_index + 1, entry, changes)
    }
}

fn flatten<'a>(
    topics: impl IntoIterator<Item = (&'a Arc<str>, &'a TopicOffsets)>,
) -> impl Iterator<Item = (OffsetKey, OffsetRow)> {
    let with_topic = |(topic, partitions): (&'a Arc<str>, &'a TopicOffsets)| {
        partitions.iter().map(move |(partition, row)| ((topic.clone(), partition), row))
    };
    topics.into_iter().flat_map(with_topic)
}

fn assign(row: &mut GroupRow, generation: i32, assignments: Vec<(String, Bytes)>) -> bool {
    if row.generation != generation {
        return false;
    }
    let mut assignments: BTreeMap<String, Bytes> = assignments.into_iter().collect();
    for member in &mut row.members {
        member.assignment = assignments.remove(&member.id).unwrap_or_default();
    }
    row.state = RestState::Stable;
    true
}

fn remove_members(row: &mut GroupRow, members: &[String], leader: Option<String>) -> bool {
    row.members.retain(|member| !members.contains(&member.id));
    row.leader = leader;
    row.state = RestState::PreparingRebalance;
    true
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::command::OffsetCommit;
    use crate::rows::MemberRow;

    fn apply(tables: &mut Tables, time: i64, commands: Vec<Command>) -> Changes {
        let mut changes = Changes::default();
        tables.apply_next(Entry { time, image_version: 0, commands }, &mut changes);
        changes
    }

    fn commit(group: &str, topic: &str, id: u128, offset: i64) -> Command {
        let commit =
            OffsetCommit { partition: 0, offset, leader_epoch: 1, retention_ms: Some(50), metadata: String::new() };
        let id = TopicId(Uuid::from_u128(id));
        Command::CommitOffsets {
            group: group.into(),
            topics: vec![TopicCommit { topic: topic.into(), id, offsets: vec![commit] }],
        }
    }

    fn group(generation: i32, members: &[&str]) -> GroupRow {
        let member = |id: &&str| MemberRow { id: (*id).to_owned(), ..MemberRow::default() };
        GroupRow { generation, members: members.iter().map(member).collect(), ..GroupRow::default() }
    }

    #[test]
    fn the_last_commit_counts_and_topics_are_counted() {
        let mut tables = Tables::default();
        let changes = apply(&mut tables, 100, vec![commit("g", "t", 1, 5), commit("g", "t", 2, 6)]);
        assert_eq!(changes.offsets.len(), 1);
        let row = tables.offset("g", "t", 0).unwrap();
        assert_eq!((row.offset, row.committed_at, row.expires_at), (6, 100, Some(150)));
        assert_eq!(tables.topics().collect::<Vec<_>>(), [&("t".into(), TopicId(Uuid::from_u128(2)))]);
    }

    #[test]
    fn a_deleted_topic_takes_only_its_own_offsets_along() {
        let mut tables = Tables::default();
        apply(&mut tables, 100, vec![commit("a", "t", 1, 5), commit("b", "t", 2, 6), commit("b", "u", 3, 7)]);
        let changes = apply(
            &mut tables,
            200,
            vec![Command::RemoveTopics { topics: vec![("t".into(), TopicId(Uuid::from_u128(1)))] }],
        );
        assert_eq!(changes.offsets.len(), 1);
        assert_eq!(tables.offset("a", "t", 0), None);
        assert!(!tables.has_group("a"));
        assert!(tables.offset("b", "t", 0).is_some() && tables.offset("b", "u", 0).is_some());
    }

    #[test]
    fn an_offset_committed_again_does_not_expire() {
        let mut tables = Tables::default();
        let expire = || Command::ExpireOffsets { group: "g".into(), offsets: vec![(("t".into(), 0), 100)] };
        apply(&mut tables, 100, vec![commit("g", "t", 1, 5)]);
        apply(&mut tables, 101, vec![commit("g", "t", 1, 6)]);
        apply(&mut tables, 102, vec![expire()]);
        assert_eq!(tables.offset("g", "t", 0).map(|row| row.offset), Some(6));
        apply(&mut tables, 100, vec![commit("g", "t", 1, 7), expire()]);
        assert_eq!(tables.offset("g", "t", 0), None);
    }

    #[test]
    fn only_an_idle_group_is_forgotten() {
        let mut tables = Tables::default();
        let forget = |generation| Command::ForgetGroup { group: "g".into(), generation };
        apply(
            &mut tables,
            1,
            vec![Command::PutGroup { group: "g".into(), row: group(3, &[]) }, commit("g", "t", 1, 5)],
        );
        apply(&mut tables, 2, vec![forget(3)]);
        assert!(tables.group("g").is_some(), "it has offsets");
        apply(
            &mut tables,
            3,
            vec![Command::RemoveOffsets { group: "g".into(), keys: vec![("t".into(), 0)] }, forget(2)],
        );
        assert!(tables.group("g").is_some(), "it has another generation");
        apply(&mut tables, 4, vec![forget(3)]);
        assert!(!tables.has_group("g"));
    }

    #[test]
    fn a_group_goes_with_its_offsets() {
        let mut tables = Tables::default();
        apply(
            &mut tables,
            1,
            vec![Command::PutGroup { group: "g".into(), row: group(3, &[]) }, commit("g", "t", 1, 5)],
        );
        let changes = apply(&mut tables, 2, vec![Command::DeleteGroup { group: "g".into() }]);
        assert_eq!((changes.groups.len(), changes.offsets.len()), (1, 1));
        assert!(!tables.has_group("g"));
        assert_eq!(tables.topics().count(), 0);
    }

    #[test]
    fn assignments_belong_to_their_generation() {
        let mut tables = Tables::default();
        apply(&mut tables, 1, vec![Command::PutGroup { group: "g".into(), row: group(3, &["a", "b"]) }]);
        let assign = |generation| Command::Assign {
            group: "g".into(),
            generation,
            assignments: vec![("a".to_owned(), Bytes::from_static(b"x")), ("z".to_owned(), Bytes::from_static(b"y"))],
        };
        assert!(apply(&mut tables, 2, vec![assign(2)]).groups.is_empty());
        apply(&mut tables, 3, vec![assign(3)]);
        let row = tables.group("g").unwrap();
        assert_eq!((row.state, row.state_since), (RestState::Stable, 3));
        let assignments: Vec<&[u8]> = row.members.iter().map(|member| member.assignment.as_ref()).collect();
        assert_eq!(assignments, [b"x".as_ref(), b""]);
    }

    #[test]
    fn removed_members_leave_a_group_that_must_rebalance() {
        let mut tables = Tables::default();
        apply(&mut tables, 1, vec![Command::PutGroup { group: "g".into(), row: group(3, &["a", "b"]) }]);
        let leader = Some("b".to_owned());
        apply(
            &mut tables,
            2,
            vec![Command::RemoveMembers { group: "g".into(), members: vec!["a".to_owned()], leader }],
        );
        let row = tables.group("g").unwrap();
        assert_eq!(
            (row.state, row.members.len(), row.leader.as_deref()),
            (RestState::PreparingRebalance, 1, Some("b"))
        );
    }
}
