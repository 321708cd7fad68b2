//! What all rules need to know of a history: who sent each record, who read it, and which record lies at which offset.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::history::{Kind, Offset, Op, Value, topic_of};

use super::log::{Log, LogBuilder};
use super::table::{NO_OFFSET, Table};

/// A record: the place of its send in [`Table::sends`], or a number behind them for what nobody sent.
pub type RecordId = u32;

/// What was derived from a history.
#[derive(Debug)]
pub struct Index {
    /// Which record each of [`Table::records`] is.
    pub ids: Vec<RecordId>,
    /// What was read of a partition that nobody sent there, by number behind the sends.
    pub garbage: Vec<(u32, Value)>,
    /// Whether an `ok` operation read the record, by record.
    pub read: Vec<bool>,
    /// Whether the send surely happened, by place in [`Table::sends`]: it is acknowledged; or it is in doubt, and it, or another part of
    /// the same transaction, was read.
    pub happened: Vec<bool>,
    /// The first offset at which each record was seen, or [`NO_OFFSET`].
    pub offsets: Vec<Offset>,
    /// What lies where, by partition.
    pub logs: Vec<Log>,
    /// What a partition's topic went through, by partition.
    pub lives: Vec<Life>,
    /// A value that was sent twice: the history is not one that can be judged.
    pub sent_twice: Option<Value>,
}

/// What a topic went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Somebody may have deleted it: its records need not be there any more.
    pub deleted: bool,
    /// It may have been there twice: its offsets may stand for two records.
    pub recreated: bool,
}

impl Index {
    /// Derives it.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let (ids, garbage, sent_twice) = resolve(table);
        let read = read(table, &ids, garbage.len());
        let happened = happened(table, &read);
        let (logs, offsets) = logs(table, &ids, &happened, garbage.len());
        Self { ids, garbage, read, happened, offsets, logs, lives: lives(table), sent_twice }
    }

    /// The value of a record.
    #[must_use]
    pub fn value(&self, table: &Table, id: RecordId) -> Value {
        let id = id as usize;
        table.sends.get(id).map_or_else(|| self.garbage[id - table.sends.len()].1, |send| send.value)
    }

    /// The last offset at which a record of a partition was seen.
    #[must_use]
    pub fn last_offset(&self, key: u32, id: RecordId) -> Option<Offset> {
        let first = self.offsets[id as usize];
        let last = self.logs[key as usize].duplicates.get(&id).and_then(|offsets| offsets.last().copied());
        last.or((first != NO_OFFSET).then_some(first))
    }

    /// The operation that sent a record, where one did.
    #[must_use]
    pub fn writer(&self, table: &Table, id: RecordId) -> Option<usize> {
        table.sends.get(id as usize).map(|send| send.operation as usize)
    }
}

/// Finds the send of each record that was read.
fn resolve(table: &Table) -> (Vec<RecordId>, Vec<(u32, Value)>, Option<Value>) {
    let mut by_value: HashMap<Value, RecordId, FxBuildHasher> = HashMap::default();
    by_value.reserve(table.sends.len());
    let mut sent_twice = None;
    for (id, send) in (0..).zip(&table.sends) {
        if by_value.insert(send.value, id).is_some() {
            sent_twice = Some(send.value);
        }
    }
    let mut garbage = Vec::new();
    let mut garbage_ids: HashMap<(u32, Value), RecordId, FxBuildHasher> = HashMap::default();
    let mut ids = Vec::with_capacity(table.records.len());
    for (at, run) in table.runs.iter().enumerate() {
        for record in &table.records[table.records_of(at)] {
            let sent = by_value.get(&record.value).copied();
            ids.push(sent.filter(|id| table.sends[*id as usize].key == run.key).unwrap_or_else(|| {
                *garbage_ids.entry((run.key, record.value)).or_insert_with(|| {
                    garbage.push((run.key, record.value));
                    u32::try_from(table.sends.len() + garbage.len() - 1).expect("fewer records than fit in memory")
                })
            }));
        }
    }
    (ids, garbage, sent_twice)
}

fn read(table: &Table, ids: &[RecordId], garbage: usize) -> Vec<bool> {
    let mut read = vec![false; table.sends.len() + garbage];
    for (at, operation) in table.operations.iter().enumerate() {
        if operation.kind == Kind::Ok {
            for id in ids_of(table, ids, at) {
                read[*id as usize] = true;
            }
        }
    }
    read
}

/// The records that an operation read, in order.
fn ids_of<'i>(table: &Table, ids: &'i [RecordId], operation: usize) -> &'i [RecordId] {
    let runs = table.runs_of(operation);
    if runs.is_empty() {
        return &[];
    }
    let start = table.records_of(runs.start).start;
    let end = table.records_of(runs.end - 1).end;
    &ids[start..end]
}

fn happened(table: &Table, read: &[bool]) -> Vec<bool> {
    let mut happened = vec![false; table.sends.len()];
    for (at, operation) in table.operations.iter().enumerate() {
        let (start, sends) = table.sends_of(at);
        let all = start..start + sends.len();
        match operation.kind {
            Kind::Ok => happened[all].fill(true),
            Kind::Info if operation.is_transaction() => {
                let any = read[all.clone()].contains(&true);
                happened[all].fill(any);
            }
            Kind::Info => happened[all.clone()].copy_from_slice(&read[all]),
            Kind::Fail | Kind::Invoke => {}
        }
    }
    happened
}

fn logs(table: &Table, ids: &[RecordId], happened: &[bool], garbage: usize) -> (Vec<Log>, Vec<Offset>) {
    let mut builder = LogBuilder::new(table.keys.len(), table.sends.len() + garbage);
    for ((id, send), happened) in (0..).zip(&table.sends).zip(happened) {
        // Of a send that may not have happened only reads tell where it is.
        if *happened && send.offset != NO_OFFSET {
            builder.put(send.key, send.offset, id);
        }
    }
    // Whoever polls is never told what did not happen, so all polls count, also those of operations that failed.
    for (at, run) in table.runs.iter().enumerate() {
        let records = table.records_of(at);
        for (record, id) in table.records[records.clone()].iter().zip(&ids[records]) {
            builder.put(run.key, record.offset, *id);
        }
    }
    builder.build()
}

fn lives(table: &Table) -> Vec<Life> {
    let mut topics: HashMap<&str, (u32, bool)> = HashMap::new();
    for (_, operation, op) in table.all_others() {
        match op {
            Op::CreateTopic { topic, .. } if operation.kind != Kind::Fail => topics.entry(topic).or_default().0 += 1,
            Op::DeleteTopic { topic } if operation.kind != Kind::Fail => topics.entry(topic).or_default().1 = true,
            _ => {}
        }
    }
    let life = |key: &str| {
        let (created, deleted) = topics.get(topic_of(key)).copied().unwrap_or_default();
        Life {
            deleted,
            recreated: deleted && created > 0 && (created > 1 || created_after_deletion(table, topic_of(key))),
        }
    };
    table.keys.iter().map(life).collect()
}

/// Whether a topic that was there before the history was made again after it was deleted.
fn created_after_deletion(table: &Table, topic: &str) -> bool {
    let mut deleted = None;
    table.all_others().filter(|(_, operation, _)| operation.kind != Kind::Fail).any(|(_, operation, op)| match op {
        Op::DeleteTopic { topic: name } if name == topic => {
            deleted.get_or_insert(operation.invoked);
            false
        }
        Op::CreateTopic { topic: name, .. } if name == topic => deleted.is_some_and(|at| operation.completed > at),
        _ => false,
    })
}
