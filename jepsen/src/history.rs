//! A history: what each process asked of the cluster, and what it was told, one event a line.
//!
//! A process asks one thing at a time. Each invocation is followed by one completion of the same process: `ok` (it happened),
//! `fail` (it did not, and never will), or `info` (nobody knows). After an `info` the process goes on under a new number, since
//! what it asked for may still happen.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

/// A partition, as `topic-partition`.
pub type Key = String;

/// What is written: an integer that no other record of the history has.
pub type Value = u64;

/// An offset of a partition.
pub type Offset = i64;

/// What an event says of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen, and never will.
    Fail,
    /// It may have happened, or may happen still.
    Info,
}

/// A part of a [`Op::Work`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Micro {
    /// Appends a record; the offset is what the broker answered, where it did.
    Send {
        /// To which partition.
        key: Key,
        /// What.
        value: Value,
        /// Where the broker says it is.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        offset: Option<Offset>,
    },
    /// Reads what comes next; empty in the invocation.
    Poll {
        /// The records by partition, in the order in which the client returned them.
        records: BTreeMap<Key, Vec<(Offset, Value)>>,
    },
}

/// A record with a name (Kafka's key), of a partition that is cleaned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// To which partition.
    pub key: Key,
    /// Its name.
    pub name: u32,
    /// What; `None` says that the name has no value from now on (a tombstone).
    pub value: Option<Value>,
    /// Where the broker says it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<Offset>,
}

/// A record with a name, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where it was.
    pub offset: Offset,
    /// Its name.
    pub name: u32,
    /// What it said.
    pub value: Option<Value>,
}

/// Where a log begins, as a node said that led it in this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The leader epoch.
    pub epoch: i32,
    /// The first offset.
    pub offset: Offset,
}

/// What a process does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "kebab-case")]
pub enum Op {
    /// Sends and polls; all or nothing when `transactional`.
    Work {
        /// Its parts, in order.
        micros: Vec<Micro>,
        /// Whether they are one transaction.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        transactional: bool,
    },
    /// Reads these partitions from now on, from where it was in those that it read before, from the start in others.
    Assign {
        /// The partitions.
        keys: Vec<Key>,
    },
    /// Reads what its consumer group gives it of these topics from now on.
    Subscribe {
        /// The topics.
        topics: Vec<String>,
    },
    /// The group gave these partitions to the process's consumer, or took them away, during whatever the process does meanwhile. It is
    /// not asked for: only an `ok`, with no invocation, between those of the operation that it falls into or outside of any.
    Rebalance {
        /// The partitions that came or went.
        keys: Vec<Key>,
    },
    /// Processed these records and commits the offsets behind them.
    Commit {
        /// The consumer group.
        group: String,
        /// The next offset to be read, by partition.
        offsets: BTreeMap<Key, Offset>,
    },
    /// Asks which offsets are committed; empty in the invocation.
    Committed {
        /// The consumer group.
        group: String,
        /// The answer: no entry where there is none.
        offsets: BTreeMap<Key, Offset>,
    },
    /// Creates a topic.
    CreateTopic {
        /// Its name.
        topic: String,
        /// How many partitions.
        partitions: u32,
    },
    /// Deletes a topic.
    DeleteTopic {
        /// Its name.
        topic: String,
    },
    /// Gives a topic more partitions.
    GrowTopic {
        /// Its name.
        topic: String,
        /// How many it has then.
        partitions: u32,
    },
    /// Sets one of a topic's settings: a register.
    WriteConfig {
        /// The topic.
        topic: String,
        /// What the register holds then.
        value: Value,
    },
    /// Reads the same setting; `value` is the answer.
    ReadConfig {
        /// The topic.
        topic: String,
        /// What the register holds; `None` in the invocation, and where there is no such topic.
        value: Option<Value>,
    },
    /// Lists the topics; empty in the invocation.
    ListTopics {
        /// The names, and how many partitions each has.
        topics: BTreeMap<String, u32>,
    },
    /// Reads all partitions to their ends, after all faults are healed: what is not read by then is lost.
    Drain {
        /// The end of each partition as ListOffsets gives it; empty in the invocation.
        ends: BTreeMap<Key, Offset>,
    },
    /// Writes records with names, one after the other; all or nothing when `transactional`.
    Put {
        /// The records.
        puts: Vec<Put>,
        /// Whether they are one transaction.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        transactional: bool,
    },
    /// Reads a partition of records with names from its start to its end, only what is committed.
    Scan {
        /// The partition.
        key: Key,
        /// Whether it is compacted.
        compacted: bool,
        /// Whether everything is healed and nobody writes any more.
        last: bool,
        /// What was there; empty in the invocation.
        records: Vec<Kept>,
        /// How far it was read: everything before this offset.
        end: Offset,
        /// Where the log began afterwards, where that could be told for certain.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        start: Option<Start>,
    },
    /// Lets go of what is before an offset (DeleteRecords).
    Trim {
        /// The partition.
        key: Key,
        /// Before which offset.
        before: Offset,
        /// Where the log begins then, as the broker says.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        start: Option<Offset>,
    },
    /// What the nemesis does; not judged, but drawn.
    Fault {
        /// Such as `kill`.
        name: String,
        /// To which nodes.
        nodes: Vec<u32>,
        /// Whether it begins (or happens), or ends.
        begins: bool,
    },
    /// Who leads a partition, as seen by the runner; not judged, but drawn.
    Leader {
        /// The partition.
        key: Key,
        /// The node.
        node: Option<u32>,
        /// The leader epoch.
        epoch: i32,
    },
}

/// A line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since the run began, by the runner's own clock.
    pub time: u64,
    /// Who; the nemesis is process [`NEMESIS`].
    pub process: u32,
    /// What is said of the operation.
    pub kind: Kind,
    /// The operation; in a completion with what was answered.
    #[serde(flatten)]
    pub op: Op,
    /// Why it failed, or why nobody knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// The process number of the nemesis and of whoever watches the leaders.
pub const NEMESIS: u32 = u32::MAX;

/// The topic of a partition.
#[must_use]
pub fn topic_of(key: &str) -> &str {
    key.rsplit_once('-').map_or(key, |(topic, _)| topic)
}

/// Reads a history.
///
/// # Errors
/// When a line cannot be read, or is no event; it says which.
pub fn read(from: impl BufRead) -> anyhow::Result<Vec<Event>> {
    let parse = |(at, line): (usize, std::io::Result<String>)| {
        serde_json::from_str(&line?).map_err(|error| anyhow::anyhow!("line {}: {error}", at + 1))
    };
    from.lines().enumerate().map(parse).collect()
}

/// Writes one event as a line.
///
/// # Errors
/// When it cannot be written.
pub fn write(event: &Event, mut to: impl Write) -> anyhow::Result<()> {
    serde_json::to_writer(&mut to, event)?;
    Ok(to.write_all(b"\n")?)
}
