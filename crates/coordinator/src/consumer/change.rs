//! What of a group must become a command, and how it is made again from its rows.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use super::members::Member;
use super::{ConsumerGroup, Context};
use crate::command::{Command, ConsumerChange};
use crate::tables::ConsumerRows;

/// What has changed since the last command.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) group: bool,
    pub(super) members: BTreeSet<Arc<str>>,
    pub(super) targets: BTreeSet<Arc<str>>,
}

impl ConsumerGroup {
    /// A group as another coordinator left it: its members go on in their epochs, each with a whole session and all the time to give up partitions.
    pub(crate) fn from_rows(id: Arc<str>, rows: &ConsumerRows, ctx: Context<'_>) -> Self {
        let mut group = Self::new(id);
        group.row = rows.row;
        group.targets = rows.targets.clone();
        for (id, row) in &rows.members {
            group.count(id, row);
            let mut member = Member { row: row.clone(), session_ends: ctx.now, acts_by: None };
            member.acts_by = member.must_act_by(ctx);
            group.members.insert(id.clone(), member);
        }
        let ids: Vec<_> = group.members.keys().cloned().collect();
        for id in ids {
            group.refresh_session(ctx, &id);
        }
        group
    }

    /// The command that brings the rows up to the group, if there is a difference.
    pub(crate) fn take_change(&mut self) -> Option<Command> {
        let Changed { group, members, targets } = mem::take(&mut self.changed);
        if !group && members.is_empty() && targets.is_empty() {
            return None;
        }
        let member = |id: Arc<str>| {
            let row = self.members.get(&id).map(|member| member.row.clone());
            (id, row)
        };
        let target = |id: Arc<str>| {
            let target = self.targets.get(&id).cloned();
            (id, target)
        };
        let change = ConsumerChange {
            row: self.row,
            members: members.into_iter().map(member).collect(),
            targets: targets.into_iter().map(target).collect(),
        };
        Some(Command::ChangeConsumerGroup { group: self.id.clone(), change })
    }
}
