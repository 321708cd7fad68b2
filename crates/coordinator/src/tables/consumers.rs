//! The rows of consumer groups (KIP-848) in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Changes, Tables};
use crate::command::ConsumerChange;
use crate::consumer::Partitions;
use crate::rows::{ConsumerGroupRow, ConsumerMemberKey, ConsumerMemberRow};

/// The rows of one consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerRows {
    pub(crate) row: ConsumerGroupRow,
    pub(crate) members: BTreeMap<Arc<str>, ConsumerMemberRow>,
    pub(crate) targets: BTreeMap<Arc<str>, Partitions>,
}

impl Tables {
    pub(crate) fn consumer_group(&self, group: &str) -> Option<&ConsumerRows> {
        self.consumers.get(group)
    }

    pub(crate) fn consumer_groups(&self) -> impl Iterator<Item = (&Arc<str>, &ConsumerRows)> {
        self.consumers.iter()
    }

    /// A group is of one protocol: what it was before as a classic group is gone.
    pub(super) fn change_consumer_group(&mut self, group: Arc<str>, change: ConsumerChange, changes: &mut Changes) {
        if self.groups.remove(&group).is_some() {
            changes.groups.insert(group.clone());
        }
        let rows = self.consumers.entry(group.clone()).or_default();
        rows.row = change.row;
        for (member, row) in change.members {
            changes.consumer_members.insert(ConsumerMemberKey { group: group.clone(), member: member.clone() });
            put(&mut rows.members, member, row);
        }
        for (member, target) in change.targets {
            changes.consumer_targets.insert(ConsumerMemberKey { group: group.clone(), member: member.clone() });
            put(&mut rows.targets, member, target);
        }
        changes.consumers.insert(group);
    }

    pub(super) fn remove_consumer_group(&mut self, group: &Arc<str>, changes: &mut Changes) {
        let Some(rows) = self.consumers.remove(group) else { return };
        let key = |member| ConsumerMemberKey { group: group.clone(), member };
        changes.consumer_members.extend(rows.members.into_keys().map(key));
        changes.consumer_targets.extend(rows.targets.into_keys().map(key));
        changes.consumers.insert(group.clone());
    }

    /// The group is gone if it has no members, is still of this epoch, and has no offsets.
    pub(super) fn forget_consumer_group(&mut self, group: &Arc<str>, epoch: i32, changes: &mut Changes) {
        let is_idle = |rows: &ConsumerRows| rows.members.is_empty() && rows.row.epoch == epoch;
        if self.consumers.get(group).is_some_and(is_idle) && !self.offsets.contains_key(group) {
            self.remove_consumer_group(group, changes);
        }
    }

    /// Puts a group's row, as it was stored.
    pub(crate) fn put_consumer_group(&mut self, group: Arc<str>, row: ConsumerGroupRow) {
        self.consumers.entry(group).or_default().row = row;
    }

    /// Puts a member's row, as it was stored.
    pub(crate) fn put_consumer_member(&mut self, key: ConsumerMemberKey, row: ConsumerMemberRow) {
        self.consumers.entry(key.group).or_default().members.insert(key.member, row);
    }

    /// Puts a member's target, as it was stored.
    pub(crate) fn put_consumer_target(&mut self, key: ConsumerMemberKey, target: Partitions) {
        self.consumers.entry(key.group).or_default().targets.insert(key.member, target);
    }
}

fn put<T>(rows: &mut BTreeMap<Arc<str>, T>, member: Arc<str>, row: Option<T>) {
    match row {
        Some(row) => drop(rows.insert(member, row)),
        None => drop(rows.remove(&member)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Entry};
    use crate::rows::GroupRow;

    fn apply(tables: &mut Tables, command: Command) -> Changes {
        let mut changes = Changes::default();
        tables.apply_next(Entry { time: 1, image_version: 0, commands: vec![command] }, &mut changes);
        changes
    }

    fn change(epoch: i32, members: &[(&str, bool)]) -> Command {
        let row = ConsumerGroupRow { epoch, ..ConsumerGroupRow::default() };
        let member = |(id, is_there): &(&str, bool)| ((*id).into(), is_there.then(ConsumerMemberRow::default));
        let target = |(id, is_there): &(&str, bool)| ((*id).into(), is_there.then(Partitions::new));
        let change = ConsumerChange {
            row,
            members: members.iter().map(member).collect(),
            targets: members.iter().map(target).collect(),
        };
        Command::ChangeConsumerGroup { group: "g".into(), change }
    }

    #[test]
    fn only_what_is_named_changes() {
        let mut tables = Tables::default();
        apply(&mut tables, change(1, &[("a", true), ("b", true)]));
        let changes = apply(&mut tables, change(2, &[("a", false), ("c", true)]));
        let rows = tables.consumer_group("g").unwrap();
        assert_eq!(rows.row.epoch, 2);
        assert_eq!(rows.members.keys().map(|id| &**id).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!((changes.consumer_members.len(), changes.consumer_targets.len()), (2, 2));
    }

    #[test]
    fn a_group_has_rows_of_one_protocol() {
        let mut tables = Tables::default();
        apply(&mut tables, Command::PutGroup { group: "g".into(), row: GroupRow::default() });
        let changes = apply(&mut tables, change(1, &[("a", true)]));
        assert!(tables.group("g").is_none() && changes.groups.len() == 1);
        let changes = apply(&mut tables, Command::PutGroup { group: "g".into(), row: GroupRow::default() });
        assert!(tables.consumer_group("g").is_none() && tables.group("g").is_some());
        assert_eq!(
            (changes.consumers.len(), changes.consumer_members.len(), changes.consumer_targets.len()),
            (1, 1, 1)
        );
    }

    #[test]
    fn only_a_group_without_members_is_forgotten() {
        let mut tables = Tables::default();
        let forget = |generation| Command::ForgetGroup { group: "g".into(), generation };
        apply(&mut tables, change(1, &[("a", true)]));
        apply(&mut tables, forget(1));
        assert!(tables.has_group("g"), "it has a member");
        apply(&mut tables, change(2, &[("a", false)]));
        apply(&mut tables, forget(1));
        assert!(tables.has_group("g"), "it has another epoch");
        apply(&mut tables, forget(2));
        assert!(!tables.has_group("g"));
    }

    #[test]
    fn a_deleted_group_leaves_no_row() {
        let mut tables = Tables::default();
        apply(&mut tables, change(1, &[("a", true)]));
        let changes = apply(&mut tables, Command::DeleteGroup { group: "g".into() });
        assert!(!tables.has_group("g"));
        assert_eq!(
            (changes.consumers.len(), changes.consumer_members.len(), changes.consumer_targets.len()),
            (1, 1, 1)
        );
    }
}
