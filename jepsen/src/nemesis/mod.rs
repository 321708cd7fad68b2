//! Who breaks things: faults drawn by a seed, one after the other or two at once, each begun and ended.
//!
//! # Layout
//! - [`fault`]: the faults, and their names
//! - [`schedule`]: which faults, when, and on which nodes
//! - [`aim`]: which node coordinates something
//! - `network`, `process`, `disk`: how they are done

pub mod aim;
mod disk;
pub mod fault;
mod network;
mod process;
pub mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::disk::power;
use crate::net::delay::Means;
use crate::net::rules::Rules;
use crate::recorder::Recorder;
use crate::stop::Stop;
pub use aim::{Aim, Aimed};
pub use fault::Fault;
pub use schedule::{Episode, Schedule, Targets};

/// Breaks one cluster.
#[derive(Debug)]
pub struct Nemesis<'a> {
    cluster: &'a Cluster,
    recorder: Arc<Recorder>,
    stop: Stop,
    rules: Rules,
    delays: Option<Means>,
    aim: Option<Aim>,
    done: Mutex<Done>,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// How often each fault was begun.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many of them struck a coordinator that some node had told of.
    pub aimed: u64,
    /// How many of those did so in the midst of a transaction.
    pub in_transaction: u64,
    /// Nodes whose files were damaged, or whose disks failed: they may refuse to serve, if they say so.
    pub excused: BTreeSet<u32>,
    /// Nodes whose files were damaged.
    pub damaged: BTreeSet<u32>,
    /// What is worth telling.
    pub notes: Vec<String>,
    /// What went wrong in breaking things: a run in which that happens says nothing.
    pub failures: Vec<String>,
}

impl<'a> Nemesis<'a> {
    /// Not doing anything yet.
    pub fn new(cluster: &'a Cluster, recorder: Arc<Recorder>, stop: Stop, delays: Option<Means>) -> Self {
        let (rules, done) = (Rules::default(), Mutex::default());
        Self { cluster, recorder, stop, rules, delays, aim: None, done }
    }

    /// The same, which finds coordinators in this way.
    #[must_use]
    pub fn with_aim(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// Goes through a schedule until `end`.
    pub fn run(&self, schedule: &mut Schedule, end: Instant) {
        loop {
            let round = schedule.next_round();
            // What is begun is ended: the last round may be shorter.
            if self.stop.wait_until((Instant::now() + round.rest).min(end)) || Instant::now() >= end {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            thread::scope(|scope| {
                for mut episode in round.episodes {
                    episode.hold = episode.hold.min(left);
                    scope.spawn(move || self.perform(episode));
                }
            });
        }
    }

    fn perform(&self, mut episode: Episode) {
        let name = episode.fault.name();
        let found = self.aim.as_ref().filter(|_| episode.aimed).and_then(|aim| aim.take(episode.seed, &self.stop));
        let mut done = self.done.lock();
        *done.counts.entry(name).or_default() += 1;
        done.aimed += u64::from(found.is_some());
        done.in_transaction += u64::from(found.as_ref().is_some_and(|aimed| aimed.in_transaction));
        drop(done);
        let detail = found.map(|aimed| {
            episode.nodes = vec![aimed.node];
            aimed.to_string()
        });
        let episode = &episode;
        self.recorder.fault(name, &episode.nodes, true, detail);
        let performed = match episode.fault {
            Fault::Kill | Fault::Pause | Fault::RestartStorm | Fault::Transfer => {
                self.process(episode);
                Ok(())
            }
            Fault::Partition(_) | Fault::AnyPartition | Fault::Flapping | Fault::Delay | Fault::Loss => {
                self.network(episode)
            }
            Fault::ClockJump
            | Fault::ClockStrobe
            | Fault::SlowDisk
            | Fault::FullDisk
            | Fault::IoErrors
            | Fault::PowerLoss
            | Fault::Damage(_)
            | Fault::Outvote(_) => self.disk(episode),
        };
        if let Err(error) = performed {
            self.done.lock().failures.push(format!("{name}: {error:#}"));
        }
        self.recorder.fault(name, &episode.nodes, false, None);
    }

    /// Ends all faults, and starts what does not run.
    ///
    /// # Errors
    /// When that cannot be done, which says nothing of the cluster.
    pub fn heal(&self) -> Result<()> {
        self.rules.partition(self.cluster.network(), &BTreeMap::new())?;
        for node in self.cluster.nodes() {
            self.rules.lose(self.cluster.network(), node.id(), 0)?;
            node.control().heal()?;
            node.signal(Signal::CONT);
        }
        for node in self.cluster.nodes() {
            // As operators are told: mend the disk, restart the node.
            let excused = self.done.lock().excused.contains(&node.id());
            if excused && node.is_running() && !node.is_sound() {
                self.note(format!(
                    "node {} took no more writes after its disk had failed, and was restarted",
                    node.id()
                ));
                node.kill();
            }
            node.start()?;
        }
        Ok(())
    }

    /// Waits until all nodes serve that can be asked to.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn await_ready(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        self.mend_damaged(deadline)?;
        self.cluster
            .await_ready(deadline.saturating_duration_since(Instant::now()))
            .context("after everything was healed")
    }

    /// A node with damaged files may refuse to start; then operators are told to start it on an empty folder.
    fn mend_damaged(&self, deadline: Instant) -> Result<()> {
        let damaged = self.done.lock().damaged.clone();
        let patience = (Instant::now() + DAMAGED_WITHIN).min(deadline);
        for node in damaged.into_iter().map(|id| self.cluster.node(id)) {
            while node.is_running() && node.unready().is_some() && Instant::now() < patience {
                self.stop.wait(LOOK);
            }
            if node.is_running() {
                self.note(format!("node {} runs with its damaged files", node.id()));
                continue;
            }
            let why = node.last_words();
            self.note(format!(
                "node {} did not start with its damaged files, and got an empty folder: {why}",
                node.id()
            ));
            std::fs::rename(node.data(), node.folder().join("damaged"))?;
            std::fs::create_dir(node.data())?;
            power::forget(&node.undo())?;
            node.start()?;
        }
        Ok(())
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.done.lock().clone()
    }

    /// Waits while a fault lasts; whether the run is to end.
    fn hold(&self, episode: &Episode) -> bool {
        self.stop.wait(episode.hold)
    }

    fn note(&self, note: String) {
        self.done.lock().notes.push(note);
    }
}

const LOOK: Duration = Duration::from_millis(100);
const DAMAGED_WITHIN: Duration = Duration::from_secs(20);
