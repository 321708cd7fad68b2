//! Writes histories by hand.

use std::collections::BTreeMap;

use caudal_jepsen::check::{Options, Table, Verdict, check, load};
use caudal_jepsen::history::{Event, Kind, Micro, NEMESIS, Offset, Op, Value, write};

/// The partition of most histories.
pub(crate) const Q: &str = "q-0";

/// Another.
pub(crate) const R: &str = "r-0";

/// A history that grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<Event>,
    time: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The events that follow happen from this second on.
    pub(crate) fn at(mut self, seconds: u64) -> Self {
        self.time = seconds * 1_000_000_000;
        self
    }

    pub(crate) fn event(mut self, process: u32, kind: Kind, op: Op) -> Self {
        self.time += 1_000_000;
        self.events.push(Event { time: self.time, process, kind, op, error: None });
        self
    }

    /// An invocation and its completion.
    pub(crate) fn did(self, process: u32, kind: Kind, op: Op) -> Self {
        let invocation = asked(&op);
        self.event(process, Kind::Invoke, invocation).event(process, kind, op)
    }

    pub(crate) fn ok(self, process: u32, op: Op) -> Self {
        self.did(process, Kind::Ok, op)
    }

    pub(crate) fn sent(self, process: u32, value: Value, offset: Offset) -> Self {
        self.ok(process, work([send(Q, value, offset)]))
    }

    pub(crate) fn polled(self, process: u32, records: &[(Offset, Value)]) -> Self {
        self.ok(process, work([poll(Q, records)]))
    }

    pub(crate) fn fault(self, name: &str, nodes: &[u32], begins: bool) -> Self {
        self.event(NEMESIS, Kind::Info, Op::Fault { name: name.to_owned(), nodes: nodes.to_vec(), begins })
    }

    /// Everything was read up to this end of the partition.
    pub(crate) fn drained(self, end: Offset) -> Self {
        self.drained_all(&[(Q, end)])
    }

    pub(crate) fn drained_all(self, ends: &[(&str, Offset)]) -> Self {
        self.ok(99, Op::Drain { ends: by_key(ends) })
    }

    pub(crate) fn table(&self) -> Table {
        let mut text = Vec::new();
        self.events.iter().for_each(|event| write(event, &mut text).expect("it goes into memory"));
        load(&text[..]).expect("the history can be read")
    }

    pub(crate) fn verdict(&self) -> Verdict {
        check(&self.table(), &Options { nodes: Some(3), ..Options::default() })
    }
}

/// What is asked for, without the answer.
fn asked(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Work { micros, .. } => micros.iter_mut().for_each(|micro| match micro {
            Micro::Send { offset, .. } => *offset = None,
            Micro::Poll { records } => records.clear(),
        }),
        Op::Committed { offsets, .. } => offsets.clear(),
        Op::ReadConfig { value, .. } => *value = None,
        Op::ListTopics { topics } => topics.clear(),
        Op::Drain { ends } => ends.clear(),
        Op::Put { puts, .. } => puts.iter_mut().for_each(|put| put.offset = None),
        Op::Scan { records, end, start, .. } => {
            records.clear();
            (*end, *start) = (0, None);
        }
        Op::Trim { start, .. } => *start = None,
        _ => {}
    }
    op
}

pub(crate) fn by_key<T: Copy>(entries: &[(&str, T)]) -> BTreeMap<String, T> {
    entries.iter().map(|(key, entry)| ((*key).to_owned(), *entry)).collect()
}

pub(crate) fn work<const N: usize>(micros: [Micro; N]) -> Op {
    Op::Work { micros: micros.to_vec(), transactional: false }
}

pub(crate) fn transaction<const N: usize>(micros: [Micro; N]) -> Op {
    Op::Work { micros: micros.to_vec(), transactional: true }
}

pub(crate) fn send(key: &str, value: Value, offset: Offset) -> Micro {
    Micro::Send { key: key.to_owned(), value, offset: Some(offset) }
}

/// A send of which nothing was told.
pub(crate) fn silent(key: &str, value: Value) -> Micro {
    Micro::Send { key: key.to_owned(), value, offset: None }
}

pub(crate) fn poll(key: &str, records: &[(Offset, Value)]) -> Micro {
    Micro::Poll { records: [(key.to_owned(), records.to_vec())].into() }
}

pub(crate) fn assign(keys: &[&str]) -> Op {
    Op::Assign { keys: keys.iter().map(|key| (*key).to_owned()).collect() }
}

pub(crate) fn subscribe(topics: &[&str]) -> Op {
    Op::Subscribe { topics: topics.iter().map(|topic| (*topic).to_owned()).collect() }
}

pub(crate) fn rebalance(keys: &[&str]) -> Op {
    Op::Rebalance { keys: keys.iter().map(|key| (*key).to_owned()).collect() }
}

pub(crate) fn commit(offset: Offset) -> Op {
    Op::Commit { group: "g".to_owned(), offsets: by_key(&[(Q, offset)]) }
}

pub(crate) fn committed(offset: Option<Offset>) -> Op {
    Op::Committed { group: "g".to_owned(), offsets: offset.map(|offset| (Q.to_owned(), offset)).into_iter().collect() }
}

pub(crate) fn write_config(value: Value) -> Op {
    Op::WriteConfig { topic: "t".to_owned(), value }
}

pub(crate) fn read_config(value: Option<Value>) -> Op {
    Op::ReadConfig { topic: "t".to_owned(), value }
}

pub(crate) fn create(partitions: u32) -> Op {
    Op::CreateTopic { topic: "t".to_owned(), partitions }
}

pub(crate) fn list(partitions: Option<u32>) -> Op {
    Op::ListTopics { topics: partitions.map(|count| ("t".to_owned(), count)).into_iter().collect() }
}
