//! What clients do during a run.
//!
//! # Layout
//! - [`client`]: what is needed of a client library
//! - `rdkafka`, [`java`]: the libraries; `librdkafka` configures clients, `plain` sends by itself
//! - [`queue`]: sends and polls
//! - [`transactions`]: the same in transactions
//! - [`group`]: a consumer group that commits what it processed
//! - [`admin`]: topics that come, grow and go
//! - [`register`]: a topic's setting as a register
//! - [`life`]: logs of which retention, DeleteRecords and log compaction take parts away; `keyed` is its client
//! - [`request`]: single requests to single nodes
//! - [`drain`]: reading everything at the end

pub mod admin;
pub mod client;
pub mod drain;
pub mod group;
pub mod java;
mod keyed;
mod librdkafka;
pub mod life;
mod plain;
pub mod queue;
mod rdkafka;
pub mod register;
pub mod request;
pub mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Handle;

use self::rdkafka::Rdkafka;
use crate::history::{Key, Kind, Op};
use crate::recorder::Recorder;
use crate::stop::Stop;
use client::{Client, Library, Protocol, Settings, key};
use plain::Plain;
use request::{Coordinated, Requests};

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Sends and polls.
    Queue,
    /// The same with Apache Kafka's own client.
    QueueJava,
    /// Sends and polls in transactions.
    Transactions,
    /// The same with Apache Kafka's own client, which speaks version 2 of transactions.
    TransactionsJava,
    /// A consumer group with the classic protocol.
    Group,
    /// The same with the consumer protocol (KIP-848).
    GroupConsumer,
    /// Topics that come, grow and go.
    Admin,
    /// A topic's setting.
    Register,
    /// Logs that are cleaned.
    Life,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Queue,
        Self::QueueJava,
        Self::Transactions,
        Self::TransactionsJava,
        Self::Group,
        Self::GroupConsumer,
        Self::Admin,
        Self::Register,
        Self::Life,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::QueueJava => "queue-java",
            Self::Transactions => "transactions",
            Self::TransactionsJava => "transactions-java",
            Self::Group => "group",
            Self::GroupConsumer => "group-consumer",
            Self::Admin => "admin",
            Self::Register => "register",
            Self::Life => "life",
        }
    }

    /// Makes the topics that it begins with.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn prepare(self, run: &Run) -> Result<()> {
        let topics: &[(&str, u32)] = match self {
            Self::Queue | Self::QueueJava => &[("q1", 2), ("q2", 1), ("q3", 1)],
            Self::Transactions | Self::TransactionsJava => &[("t1", 2), ("t2", 1)],
            Self::Group | Self::GroupConsumer => &[("g1", 4)],
            Self::Admin => &[("a0", 1)],
            Self::Register => &[],
            Self::Life => {
                life::prepare(run)?;
                &[("l0", 1)]
            }
        };
        topics.iter().try_for_each(|(topic, partitions)| run.create_topic(topic, *partitions))
    }

    /// Starts its threads; they end when the run is stopped.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start(self, run: &Arc<Run>) -> Result<Vec<JoinHandle<()>>> {
        match self {
            Self::Queue | Self::QueueJava => queue::start(run),
            Self::Transactions | Self::TransactionsJava => transactions::start(run),
            Self::Group | Self::GroupConsumer => group::start(run),
            Self::Admin => admin::start(run),
            Self::Register => register::start(run),
            Self::Life => life::start(run),
        }
    }

    /// What the nodes are configured with for it.
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Life => life::SETTINGS,
            Self::GroupConsumer => group::CONSUMER_SETTINGS,
            _ => &[],
        }
    }

    /// The protocol with which its consumers are members of groups.
    pub fn protocol(self) -> Protocol {
        if self == Self::GroupConsumer { Protocol::Consumer } else { Protocol::Classic }
    }

    /// What nodes coordinate for it: the groups and transactional ids that are in use all the time.
    pub fn coordinated(self) -> Vec<Coordinated> {
        let group = |name: &str| Coordinated::Group(name.to_owned());
        match self {
            Self::Queue | Self::QueueJava => vec![group(queue::GROUP)],
            // Of its group also, but what is struck in the midst are to be transactions.
            Self::Transactions | Self::TransactionsJava => {
                transactions::ids().map(Coordinated::TransactionalId).collect()
            }
            Self::Group | Self::GroupConsumer => vec![group(group::GROUP)],
            Self::Life => life::ids().map(Coordinated::TransactionalId).collect(),
            Self::Admin | Self::Register => Vec::new(),
        }
    }

    /// The client library that it uses.
    pub fn library(self) -> Library {
        if matches!(self, Self::QueueJava | Self::TransactionsJava) { Library::Java } else { Library::Librdkafka }
    }

    /// Whether markers of transactions are among the records.
    pub fn is_transactional(self) -> bool {
        matches!(self, Self::Transactions | Self::TransactionsJava)
    }
}

/// What the threads of a run share.
#[derive(Debug)]
pub struct Run {
    /// The history.
    pub recorder: Arc<Recorder>,
    /// What all clients are given.
    pub bootstrap: String,
    /// Where nodes tell of themselves.
    pub admins: Vec<String>,
    /// Single requests.
    pub requests: Requests,
    /// When to end.
    pub stop: Stop,
    /// What all chance comes from.
    pub seed: u64,
    /// The library of most clients.
    pub library: Library,
    /// How consumers are members of groups.
    pub protocol: Protocol,
    /// About how long each worker rests between two operations.
    pub pace: Duration,
    topics: Mutex<BTreeMap<String, u32>>,
}

impl Run {
    /// A run that has no topics yet.
    pub fn new(recorder: Arc<Recorder>, addresses: Vec<String>, runtime: Handle, seed: u64, library: Library) -> Self {
        let (bootstrap, requests) = (addresses.join(","), Requests::new(addresses, runtime));
        let (stop, pace, topics) = (Stop::default(), Duration::from_millis(10), Mutex::default());
        let (admins, protocol) = (Vec::new(), Protocol::default());
        Self { recorder, bootstrap, admins, requests, stop, seed, library, protocol, pace, topics }
    }

    /// The same, whose nodes tell of themselves at these addresses.
    #[must_use]
    pub fn with_admins(self, admins: Vec<String>) -> Self {
        Self { admins, ..self }
    }

    /// The same, whose consumers are members of groups with this protocol.
    #[must_use]
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// Chance for one of its threads.
    pub fn random(&self, thread: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(thread))
    }

    /// Rests between two operations; whether it is time to end.
    pub fn rest(&self, random: &mut StdRng) -> bool {
        self.stop.wait(self.pace.mul_f64(random.random_range(0.0..2.0)))
    }

    /// The topics that there are, with how many partitions each has.
    pub fn topics(&self) -> BTreeMap<String, u32> {
        self.topics.lock().clone()
    }

    /// Notes a topic, or that it has grown.
    pub fn has_topic(&self, topic: &str, partitions: u32) {
        self.topics.lock().insert(topic.to_owned(), partitions);
    }

    /// Notes that a topic is deleted, or is about to be.
    pub fn has_no_topic(&self, topic: &str) {
        self.topics.lock().remove(topic);
    }

    /// All partitions.
    pub fn keys(&self) -> Vec<Key> {
        let topics = self.topics.lock();
        topics.iter().flat_map(|(topic, partitions)| (0..*partitions).map(|partition| key(topic, partition))).collect()
    }

    /// A new client.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn client(&self, idempotent: bool, group: &str, auto_commit: bool) -> Result<Box<dyn Client>> {
        self.open(self.settings(idempotent, group, auto_commit))
    }

    /// A new client whose sends go in transactions.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn transactional_client(&self, transactional_id: String, group: &str) -> Result<Box<dyn Client>> {
        self.open(Settings { transactional_id: Some(transactional_id), ..self.settings(true, group, false) })
    }

    fn settings(&self, idempotent: bool, group: &str, auto_commit: bool) -> Settings {
        let (bootstrap, group) = (self.bootstrap.clone(), group.to_owned());
        Settings { bootstrap, idempotent, group, protocol: self.protocol, auto_commit, transactional_id: None }
    }

    fn open(&self, settings: Settings) -> Result<Box<dyn Client>> {
        let idempotent = settings.idempotent;
        Ok(match self.library {
            Library::Java => Box::new(java::Java::open(&settings)?),
            Library::Librdkafka if idempotent => Box::new(Rdkafka::open(&settings)),
            Library::Librdkafka => Box::new(Plain::new(self.requests.clone(), Rdkafka::open(&settings))),
        })
    }

    /// Notes what a client has heard of its group; to be called before the operation in which it did is completed.
    pub(crate) fn note_rebalances(&self, process: u32, client: &mut dyn client::Client) {
        let keys = client.rebalanced();
        if !keys.is_empty() {
            self.recorder.note(process, Kind::Ok, Op::Rebalance { keys }, None);
        }
    }

    fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        let process = self.recorder.new_process();
        let op = Op::CreateTopic { topic: topic.to_owned(), partitions };
        self.recorder.note(process, Kind::Invoke, op.clone(), None);
        match self.requests.create_topic(1, topic, partitions) {
            client::Outcome::Ok(()) => {
                self.recorder.note(process, Kind::Ok, op, None);
                self.has_topic(topic, partitions);
                Ok(())
            }
            client::Outcome::Fail(error) | client::Outcome::Info(error) => Err(anyhow::anyhow!("{error}")),
        }
    }
}

/// Starts a named thread.
pub(crate) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    Ok(thread::Builder::new().name(name.to_owned()).spawn(work)?)
}
