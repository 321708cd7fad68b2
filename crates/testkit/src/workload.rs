//! What clients do while things break, and the history of it.
//!
//! # Layout
//! - [`history`]: what clients sent, were told and saw, and whether that fits together
//! - [`producer`]: idempotent producers, each on one partition, with several batches under way
//! - [`consumer`]: readers of whole partitions, again and again
//! - [`latest`]: readers of the ends of partitions, each of one
//! - [`committer`]: writers and readers of committed offsets
//! - [`member`]: members of a consumer group, and [`membership`], what they were told
//! - [`transactor`]: transactional producers, and [`ledger`], what they were told and what is read of it
//! - [`relaxed`]: a topic that is acknowledged before it is synced, and its writer
//! - [`prices`]: a compacted topic, its writer and reader
//! - [`admin`]: topics made and deleted
//! - [`trimmer`]: records deleted

pub mod admin;
pub mod committer;
pub mod consumer;
pub mod history;
pub mod latest;
pub mod ledger;
pub mod member;
pub mod membership;
pub mod prices;
pub mod producer;
pub mod relaxed;
pub mod transactor;
pub mod trimmer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::Tasks;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::sleep;

pub use self::history::History;
use self::ledger::Ledger;
use self::membership::Membership;
use crate::client::{self, Client, Nodes};
use crate::net::{Host, Net};

/// A partition of the workload's topic.
pub type Partition = i32;

/// The topic that is written to.
pub const TOPIC: &str = "orders";
/// How many bytes of each of its partitions are kept at least.
pub const RETENTION_BYTES: u64 = 6_000;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Clients do what they do.
    Work,
    /// Nobody begins anything new.
    Finish,
}

/// What every client has.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The network.
    pub net: Net,
    /// The nodes.
    pub nodes: Nodes,
    /// What all clients did.
    pub history: History,
    /// How far the run has come.
    pub phase: watch::Receiver<Phase>,
    /// The seed of the run.
    pub seed: u64,
    /// How many partitions the topic has.
    pub partitions: Partition,
}

/// The first host of each kind of client.
const PRODUCERS: Host = 101;
const CONSUMERS: Host = 121;
const LATEST: Host = 131;
const COMMITTERS: Host = 141;
const OFFSET_READERS: Host = 151;
const ADMIN: Host = 161;
const MEMBERS: Host = 165;
const TRANSACTORS: Host = 181;
const LEDGER_READER: Host = 191;
const TRIMMER: Host = 195;
const PRICES: Host = 197;
const RELAXED: Host = 198;

/// How many producers each partition has.
const PRODUCERS_PER_PARTITION: Host = 2;
/// How many consumer groups there are.
const GROUPS: Host = 2;
/// How many transactional producers there are.
const TRANSACTORS_COUNT: Host = 2;
/// How many members the group has that shares something out.
const MEMBERS_COUNT: Host = 3;

impl Setting {
    /// A client on a host of its own.
    pub fn client(&self, host: Host) -> (Client, StdRng) {
        let nodes = self.nodes.as_ref().clone();
        (Client::new(&self.net, host, nodes, client::chance(self.seed, host)), client::chance(!self.seed, host))
    }

    /// Whether clients still do what they do.
    pub fn works(&self) -> bool {
        *self.phase.borrow() == Phase::Work
    }
}

/// Starts all clients; they end by themselves in [`Phase::Finish`], when what they had begun is done.
pub fn start(setting: &Setting, ledger: &Ledger, tasks: &Tasks) {
    let partitions = Host::try_from(setting.partitions).unwrap_or_default();
    for number in 0..partitions * PRODUCERS_PER_PARTITION {
        let partition = Partition::from(number % partitions);
        tasks.spawn_to_end("producer", producer::run(setting.clone(), PRODUCERS + number, partition));
    }
    tasks.spawn_to_end("consumer", consumer::run(setting.clone(), CONSUMERS));
    for number in 0..partitions {
        let partition = Partition::from(number);
        tasks.spawn_to_end("latest", latest::run(setting.clone(), LATEST + number, partition));
    }
    for number in 0..GROUPS {
        tasks.spawn_to_end("committer", committer::write(setting.clone(), COMMITTERS + number, number));
        tasks.spawn_to_end(
            "offset reader",
            committer::read(setting.clone(), OFFSET_READERS + number, group_name(number)),
        );
    }
    let membership = Membership::new(setting.history.clone());
    for number in 0..MEMBERS_COUNT {
        tasks.spawn_to_end("member", member::run(setting.clone(), membership.clone(), MEMBERS + number));
    }
    let reader = committer::read(setting.clone(), MEMBERS + MEMBERS_COUNT, member::GROUP.into());
    tasks.spawn_to_end("offset reader", reader);
    for number in 0..TRANSACTORS_COUNT {
        tasks.spawn_to_end("transactor", transactor::run(setting.clone(), ledger.clone(), TRANSACTORS + number));
    }
    tasks.spawn_to_end("ledger reader", ledger::run(setting.clone(), ledger.clone(), LEDGER_READER));
    tasks.spawn_to_end("prices", prices::run(setting.clone(), PRICES));
    tasks.spawn_to_end("relaxed", relaxed::run(setting.clone(), RELAXED));
    tasks.spawn_to_end("admin", admin::run(setting.clone(), ADMIN));
    tasks.spawn_to_end("trimmer", trimmer::run(setting.clone(), ledger.clone(), TRIMMER));
}

/// Waits a while.
async fn pause(chance: &mut StdRng, longest_ms: u64) {
    let wait = chance.random_range(1..=longest_ms);
    sleep(Duration::from_millis(wait)).await;
}

/// Tries `attempt` until it succeeds.
async fn persist<T, F: Future<Output = Option<T>>>(chance: &mut StdRng, mut attempt: impl FnMut() -> F) -> T {
    loop {
        if let Some(done) = attempt().await {
            return done;
        }
        pause(chance, 100).await;
    }
}

/// A shared handle's name for a group.
fn group_name(number: Host) -> Arc<str> {
    format!("group-{number}").into()
}
