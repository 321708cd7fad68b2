//! What of a group must become a command.

use std::mem;

use super::ClassicGroup;
use crate::command::Command;

/// What has changed since the last command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that is stored.
    #[default]
    None,
    /// These members, by the ids that the row has, are gone, and the group waits for the others to join again.
    Removed(Vec<String>),
    /// The members have their assignments.
    Assigned,
    /// More than the above.
    Whole,
}

impl ClassicGroup {
    /// The command that brings the row up to the group, if there is a difference.
    pub(crate) fn take_change(&mut self) -> Option<Command> {
        match mem::take(&mut self.change) {
            Change::None => None,
            Change::Removed(members) => {
                Some(Command::RemoveMembers { group: self.id.clone(), members, leader: self.leader.clone() })
            }
            Change::Assigned => Some(Command::Assign {
                group: self.id.clone(),
                generation: self.generation,
                assignments: self.members.values().map(|m| (m.row.id.clone(), m.row.assignment.clone())).collect(),
            }),
            Change::Whole => {
                for (id, member) in &mut self.members {
                    member.stored_as = Some(id.clone());
                }
                Some(Command::PutGroup { group: self.id.clone(), row: self.to_row() })
            }
        }
    }

    pub(super) fn note_removed(&mut self, stored_as: Option<String>) {
        let Some(id) = stored_as else { return };
        match &mut self.change {
            Change::None => self.change = Change::Removed(vec![id]),
            Change::Removed(members) => members.push(id),
            Change::Assigned | Change::Whole => self.change = Change::Whole,
        }
    }

    pub(super) fn note_assigned(&mut self) {
        self.change = if self.change == Change::None { Change::Assigned } else { Change::Whole };
    }
}
