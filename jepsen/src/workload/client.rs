//! What a workload needs of a client library.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::history::{Key, Offset, Value};

/// Records by partition, in the order in which they were returned.
pub type Records = BTreeMap<Key, Vec<(Offset, Value)>>;

/// What became of a record that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Acknowledged, and where, if the broker said so.
    Ok(Option<Offset>),
    /// Never left the client.
    Refused(String),
    /// It may be there, or come.
    Unknown(String),
}

/// What became of something that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It happened.
    Ok(T),
    /// It did not.
    Fail(String),
    /// It may have.
    Info(String),
}

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it begins.
    pub bootstrap: String,
    /// Whether its producer is idempotent; one that is not never sends a record twice by itself.
    pub idempotent: bool,
    /// Its consumer group.
    pub group: String,
    /// How it is a member of that group; for librdkafka only, the workloads of Java have the classic protocol.
    pub protocol: Protocol,
    /// Whether offsets are committed by themselves.
    pub auto_commit: bool,
    /// The transactional id, if what it sends goes in transactions.
    pub transactional_id: Option<String>,
}

/// A client: a producer and a consumer. It is used by one thread.
pub trait Client: Send {
    /// Sends records, all at once, and waits for what becomes of each.
    fn send(&mut self, records: &[(Key, Value)]) -> Vec<Sent>;

    /// Reads what comes next.
    ///
    /// # Errors
    /// When nothing was read because something is wrong; there is nothing to be done about it but to try again.
    fn poll(&mut self) -> Result<Records>;

    /// Reads these partitions from now on, from an offset or from the start.
    ///
    /// # Errors
    /// When the library refuses.
    fn assign(&mut self, from: &BTreeMap<Key, Option<Offset>>) -> Result<()>;

    /// Reads what its group gives it of these topics.
    ///
    /// # Errors
    /// When the library refuses.
    fn subscribe(&mut self, topics: &[String]) -> Result<()>;

    /// The partitions that its group gave it or took away since this was asked last.
    fn rebalanced(&mut self) -> Vec<Key>;

    /// Begins a transaction, of which all that is sent from now on is a part.
    ///
    /// # Errors
    /// When none can be begun; another client with the same transactional id may.
    fn begin(&mut self) -> Result<()>;

    /// Ends it, with these offsets for the group, and waits until that is done: `Fail` says that it is aborted, or will be.
    fn end(&mut self, commit: bool, offsets: &BTreeMap<Key, Offset>) -> Outcome<()>;

    /// Commits offsets, and waits until that is done.
    fn commit(&mut self, offsets: &BTreeMap<Key, Offset>) -> Outcome<()>;

    /// The offsets committed by its group.
    ///
    /// # Errors
    /// When nobody tells.
    fn committed(&mut self, keys: &[Key]) -> Result<BTreeMap<Key, Offset>>;
}

/// Which client library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Library {
    /// librdkafka.
    #[default]
    Librdkafka,
    /// Apache Kafka's own.
    Java,
}

/// A protocol of consumer groups, `group.protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The members give each other their partitions.
    #[default]
    Classic,
    /// The coordinator does (KIP-848).
    Consumer,
}

/// The key of a partition.
pub fn key(topic: &str, partition: u32) -> Key {
    format!("{topic}-{partition}")
}

/// The topic and the number of a partition.
///
/// # Panics
/// When it is no key.
pub fn parse_key(key: &str) -> (&str, i32) {
    let (topic, partition) = key.rsplit_once('-').expect("a key has a dash");
    (topic, partition.parse().expect("a key ends in a number"))
}

/// How long a record may take to be acknowledged before nobody knows what becomes of it.
pub const SEND_WITHIN: Duration = Duration::from_secs(8);
/// How long a request may take.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(3);
/// How long a transaction may take; longer than a record may, as the libraries ask for.
pub const TRANSACTION_WITHIN: Duration = Duration::from_secs(10);
/// How long a poll waits for records.
pub const POLL_WITHIN: Duration = Duration::from_millis(300);
/// The most records of one poll.
pub const POLL_MAX: usize = 500;
