//! The transactional ids of a shard in memory, the same on every replica.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use caudal_types::TimestampMs;

use super::command::TransactionCommand;
use super::decide::decide;
use super::reply::Reply;
use crate::rows::{TransactionRow, TransactionState};

/// The rows, and which of them need attention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    rows: BTreeMap<Arc<str>, TransactionRow>,
    /// Those that go on.
    ongoing: BTreeSet<Arc<str>>,
    /// Those that are decided, and whose participants are to be told.
    prepared: BTreeSet<Arc<str>>,
}

impl Transactions {
    pub(crate) fn get(&self, id: &str) -> Option<&TransactionRow> {
        self.rows.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &TransactionRow)> {
        self.rows.iter()
    }

    /// The transactions that go on.
    pub(crate) fn ongoing(&self) -> impl Iterator<Item = (&Arc<str>, &TransactionRow)> {
        self.ongoing.iter().filter_map(|id| Some((id, self.rows.get(id)?)))
    }

    /// The transactions that are decided and not complete.
    pub(crate) fn prepared(&self) -> impl Iterator<Item = (&Arc<str>, &TransactionRow)> {
        self.prepared.iter().filter_map(|id| Some((id, self.rows.get(id)?)))
    }

    /// Puts a row, or removes it.
    pub(crate) fn put(&mut self, id: Arc<str>, row: Option<TransactionRow>) {
        let state = row.as_ref().map(|row| row.state);
        note(&mut self.ongoing, &id, state == Some(TransactionState::Ongoing));
        note(&mut self.prepared, &id, state.is_some_and(TransactionState::is_prepared));
        match row {
            Some(row) => self.rows.insert(id, row),
            None => self.rows.remove(&id),
        };
    }

    pub(crate) fn apply(&mut self, id: &Arc<str>, command: TransactionCommand, time: TimestampMs) -> Reply {
        let (row, reply) = decide(self.rows.remove(id), command, time);
        self.put(id.clone(), row);
        reply
    }
}

fn note(set: &mut BTreeSet<Arc<str>>, id: &Arc<str>, belongs: bool) {
    if belongs {
        set.insert(id.clone());
    } else {
        set.remove(id);
    }
}
