//! One seed from start to verdict.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use caudal_types::{Tasks, off_thread};
use rand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::entropy;
use crate::faults::{Schedule, inject};
use crate::invariants::{Invariants, alive, no_panics};
use crate::trace::Trace;
use crate::workload::history::Anomaly;
use crate::workload::ledger::{self, Ledger};
use crate::workload::{self, History, Phase, Setting, admin, consumer};

/// What a run is told.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// Everything follows from it.
    pub seed: u64,
    /// The faults; drawn from the seed if there are none.
    pub schedule: Option<Schedule>,
    /// For how many milliseconds faults begin, when they are drawn.
    pub span: u64,
    /// Write down what happens.
    pub print: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What must not be.
    pub anomaly: Option<Anomaly>,
    /// The faults.
    pub schedule: Schedule,
    /// The trace's digest: runs with the same one did the same.
    pub digest: u64,
    /// How many events the trace has.
    pub events: u64,
    /// How long it lasted, in virtual time.
    pub lasted: Duration,
    /// How often clients achieved something, by kind.
    pub progress: BTreeMap<&'static str, u64>,
}

/// How many nodes a cluster has.
const NODES: u32 = 3;
/// How often the invariants are looked for.
const LOOK: Duration = Duration::from_millis(20);
/// How long the cluster may take to serve its first topic.
const FORM_WITHIN: Duration = Duration::from_secs(30);
/// How long clients work before the first fault and after the last one.
const CALM: Duration = Duration::from_millis(500);
/// How long the cluster may take to be live after the faults, and then to come to rest.
const LIVE_WITHIN: Duration = Duration::from_secs(30);
/// The host that makes the topic, and the one that reads everything in the end.
const FIRST_HOST: u8 = 171;
const LAST_HOST: u8 = 172;

/// Runs a seed. To be called once per process.
///
/// # Panics
/// When there is no thread to be had, or no runtime.
pub fn run(config: &RunConfig) -> Report {
    let config = config.clone();
    // A new thread has drawn nothing yet; what draws for the whole process must not have been used.
    let thread = std::thread::Builder::new().name("simulation".to_owned()).spawn(move || run_here(&config));
    thread.expect("a thread can be started").join().expect("panics in a run are caught by its tasks")
}

fn run_here(config: &RunConfig) -> Report {
    entropy::seed(config.seed);
    off_thread::stay_here();
    no_panics::watch();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O can be made").block_on(run_seed(config))
}

async fn run_seed(config: &RunConfig) -> Report {
    let trace = Trace::new(config.print);
    let mut chance = entropy::generator(config.seed, 0);
    let drawn = Schedule::draw(&mut chance, u64::from(NODES), config.span);
    let partitions = chance.random_range(1..=2);
    let schedule = config.schedule.clone().unwrap_or(drawn);
    let cluster = Cluster::new(config.seed, NODES, trace.clone());
    let history = History::new(trace.clone());
    let (phase, phases) = watch::channel(Phase::Work);
    let setting = Setting {
        net: cluster.net.clone(),
        nodes: Arc::new(cluster.machines.iter().map(|machine| machine.id).collect()),
        history: history.clone(),
        phase: phases,
        seed: config.seed,
        partitions,
    };
    let mut run = Run { cluster, history, setting, phase, invariants: Invariants::default() };
    let verdict = run.play(schedule.clone()).await;
    Report {
        anomaly: verdict.err(),
        schedule,
        digest: trace.digest(),
        events: trace.events(),
        lasted: trace.elapsed(),
        progress: run.history.progress(),
    }
}

struct Run {
    cluster: Cluster,
    history: History,
    setting: Setting,
    phase: watch::Sender<Phase>,
    invariants: Invariants,
}

impl Run {
    async fn play(&mut self, schedule: Schedule) -> Result<(), Anomaly> {
        self.cluster.start_all();
        let topic = admin::create_topics(&self.setting, FIRST_HOST);
        if timeout(FORM_WITHIN, topic).await.is_err() {
            return Err(dead("the cluster was not formed, or its topic not made"));
        }
        let (tasks, faults) = (Tasks::new(), Tasks::new());
        let ledger = Ledger::new(self.history.clone());
        workload::start(&self.setting, &ledger, &tasks);
        let (end, cluster) = (Duration::from_millis(schedule.end()), self.cluster.clone());
        self.watch_for(CALM).await?;
        faults.spawn_to_end("faults", inject::run(cluster, schedule));
        self.watch_for(end + CALM).await?;
        inject::heal(&self.cluster);
        self.become_live().await?;
        self.phase.send_replace(Phase::Finish);
        self.come_to_rest(&tasks).await?;
        self.read_ledger(&ledger).await?;
        self.read_everything().await
    }

    /// Looks for the invariants for so long.
    async fn watch_for(&mut self, time: Duration) -> Result<(), Anomaly> {
        let end = self.cluster.trace.elapsed() + time;
        while self.cluster.trace.elapsed() < end {
            let look = self.cluster.trace.elapsed() + LOOK;
            while let Some(rest) = look.checked_sub(self.cluster.trace.elapsed()).filter(|rest| !rest.is_zero())
                && timeout(rest, self.history.next_ack()).await.is_ok()
            {
                self.invariants.check_acks(&self.cluster, &self.history)?;
            }
            self.invariants.check(&self.cluster, &self.history, false)?;
        }
        Ok(())
    }

    async fn become_live(&mut self) -> Result<(), Anomaly> {
        let (deadline, before) = (self.cluster.trace.elapsed() + LIVE_WITHIN, self.history.progress());
        loop {
            self.watch_for(LOOK).await?;
            let missing = alive::missing(&self.cluster, &self.history, &before);
            if missing.is_empty() {
                return Ok(());
            }
            if self.cluster.trace.elapsed() > deadline {
                return Err(dead(&missing.join("; ")));
            }
        }
    }

    /// Waits until all clients have ended and all replicas have the same.
    async fn come_to_rest(&mut self, clients: &Tasks) -> Result<(), Anomaly> {
        let deadline = self.cluster.trace.elapsed() + LIVE_WITHIN;
        let clients = clients.clone();
        let mut ended: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { clients.finished().await });
        loop {
            let done = timeout(LOOK, &mut ended).await.is_ok();
            self.invariants.check(&self.cluster, &self.history, false)?;
            let restless = if done { alive::restless(&self.cluster) } else { vec!["clients wait".to_owned()] };
            if restless.is_empty() {
                return self.invariants.check(&self.cluster, &self.history, true);
            }
            if self.cluster.trace.elapsed() > deadline {
                return Err(dead(&restless.join("; ")));
            }
            if done {
                ended = Box::pin(async {});
                sleep(LOOK).await;
            }
        }
    }

    /// Each transaction has ended, and is there whole or not at all.
    async fn read_ledger(&mut self, ledger: &Ledger) -> Result<(), Anomaly> {
        let (mut client, _) = self.setting.client(LAST_HOST);
        let deadline = self.cluster.trace.elapsed() + LIVE_WITHIN;
        for partition in 0..ledger::PARTITIONS {
            loop {
                client.find_leader(ledger::LEDGER, partition).await;
                if ledger::read_all(&self.setting, ledger, &mut client, partition).await == Some(true) {
                    break;
                }
                if self.cluster.trace.elapsed() > deadline {
                    return Err(dead(&format!("partition {partition} of the ledger is not stable to its end")));
                }
                sleep(LOOK).await;
            }
        }
        ledger.settle();
        Ok(())
    }

    /// Everything that was acknowledged is read once more.
    async fn read_everything(&mut self) -> Result<(), Anomaly> {
        let (mut client, _) = self.setting.client(LAST_HOST);
        for partition in 0..self.setting.partitions {
            let (mut next, end) = (0, self.history.acked_end(partition));
            let mut tries = 0;
            client.find_leader(workload::TOPIC, partition).await;
            while next < end {
                match consumer::read(&self.setting, &mut client, partition, next, 100).await {
                    Some(after) if after > next => next = after,
                    _ => {
                        tries += 1;
                        client.find_leader(workload::TOPIC, partition).await;
                    }
                }
                if tries > 50 {
                    return Err(dead(&format!("partition {partition} cannot be read from {next} on, up to {end}")));
                }
            }
        }
        self.invariants.check(&self.cluster, &self.history, true)
    }
}

fn dead(text: &str) -> Anomaly {
    Anomaly { rule: "alive", text: text.to_owned() }
}
