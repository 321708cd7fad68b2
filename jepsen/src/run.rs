//! One run, from an empty folder to a verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, Node, Programs};
use crate::judge;
use crate::nemesis::{Aim, Done, Fault, Nemesis, Schedule, Targets};
use crate::net::delay::Means;
use crate::net::{self, Network};
use crate::recorder::Recorder;
use crate::report::{METADATA, Metadata};
use crate::stop::Stop;
use crate::workload::{self, Run, Workload, drain};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What clients do.
    pub workload: Workload,
    /// What is done to the cluster.
    pub faults: Vec<Fault>,
    /// To how many nodes.
    pub targets: Targets,
    /// How long.
    pub time: Duration,
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u32,
    /// Where everything goes.
    pub folder: PathBuf,
    /// Keys of the nodes' configuration.
    pub set: Vec<String>,
    /// Whether the nodes' data is kept even when nothing is wrong.
    pub keep: bool,
    /// The programs of the nodes.
    pub programs: Programs,
}

/// How a run ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Whether all was right.
    pub valid: bool,
    /// What was wrong.
    pub problems: Vec<String>,
    /// What could not be done here.
    pub skipped: Vec<String>,
    /// How many operations were acknowledged, by name.
    pub operations: BTreeMap<String, u64>,
    /// How often each fault was begun.
    pub faults: BTreeMap<String, u64>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// Runs it, and leaves its folder with a history, the nodes' logs and a verdict.
///
/// # Errors
/// When it cannot be run, which says nothing about the cluster.
pub fn run(plan: &Plan, runtime: impl FnOnce() -> Result<Runtime>, stop: &Stop) -> Result<Verdict> {
    ensure!(
        plan.targets != Targets::Coordinator || !plan.workload.coordinated().is_empty(),
        "--targets coordinator: in the workload {} nothing has a coordinator",
        plan.workload.name()
    );
    let earlier = plan.folder.join("node-1");
    ensure!(
        !earlier.try_exists()?,
        "{} is there from an earlier run; name another folder with --dir",
        earlier.display()
    );
    fs::create_dir_all(&plan.folder).with_context(|| plan.folder.display().to_string())?;
    for left in net::sweep() {
        eprintln!("removed {left}, which a run that died had left");
    }
    let network = Network::create(plan.nodes)?;
    network.enter_hub()?;
    let runtime = runtime()?;
    let delays = Means::probe(&network);
    let (faults, skipped) = possible(&plan.faults, delays);
    let plan = &Plan { faults, ..plan.clone() };
    let recorder = Arc::new(Recorder::create(&plan.folder.join("history.jsonl"))?);
    // What was asked for comes last, and counts.
    let of_workload = plan.workload.settings().iter().map(|setting| (*setting).to_owned());
    let set: Vec<String> = of_workload.chain(plan.set.iter().cloned()).collect();
    let cluster = Cluster::start(network, plan.nodes, &plan.folder, &plan.programs, &set)?;
    write_metadata(plan, delays)?;
    let addresses = cluster.nodes().iter().map(Node::listener).collect();
    let (library, handle) = (plan.workload.library(), runtime.handle().clone());
    let admins = cluster.nodes().iter().map(Node::admin_listener).collect();
    let run = Run::new(Arc::clone(&recorder), addresses, handle, plan.seed, library)
        .with_admins(admins)
        .with_protocol(plan.workload.protocol());
    let run = Arc::new(run);
    let aim = Aim::new(run.requests.clone(), plan.workload.coordinated());
    let nemesis = Nemesis::new(&cluster, Arc::clone(&recorder), stop.clone(), delays).with_aim(aim);
    let mut problems = perform(plan, &run, &nemesis, stop)?;
    recorder.flush()?;
    let done = nemesis.done();
    problems.extend(shut_down(&cluster, &done));
    problems.extend(missed(plan, &done));
    let counters = counters(&cluster)?;
    drop(cluster);
    if stop.is_stopped() {
        bail!("interrupted, and not judged");
    }
    if let Some(failure) = done.failures.first() {
        bail!("a fault could not be injected: {failure}");
    }
    let verdict = judge::judge(plan, problems, skipped, &done)?;
    fs::write(plan.folder.join("counters.json"), serde_json::to_vec_pretty(&counters)?)?;
    if verdict.valid && !plan.keep {
        remove_data(&plan.folder, plan.nodes)?;
    }
    Ok(verdict)
}

/// The faults that this machine can do, and what is said of the others.
fn possible(faults: &[Fault], delays: Option<Means>) -> (Vec<Fault>, Vec<String>) {
    let mut skipped = Vec::new();
    let mut possible = faults.to_vec();
    if delays.is_none() && faults.contains(&Fault::Delay) {
        skipped.push("delay: the kernel has neither netem nor NFQUEUE for iptables".to_owned());
        possible.retain(|fault| *fault != Fault::Delay);
    }
    for skip in &skipped {
        eprintln!("SKIPPED: {skip}");
    }
    (possible, skipped)
}

/// A run that is about coordinators, and found none, has not exercised what it is for.
fn missed(plan: &Plan, done: &Done) -> Option<String> {
    if plan.targets != Targets::Coordinator || plan.faults.is_empty() {
        return None;
    }
    let (what, count) = if plan.workload.is_transactional() {
        ("a coordinator in the midst of a transaction", done.in_transaction)
    } else {
        ("a coordinator", done.aimed)
    };
    (count == 0).then(|| format!("not exercised: no fault struck {what}"))
}

/// The part in which things happen: what is wrong beside what the history tells.
fn perform(plan: &Plan, run: &Arc<Run>, nemesis: &Nemesis<'_>, stop: &Stop) -> Result<Vec<String>> {
    plan.workload.prepare(run).context("the first topics cannot be made")?;
    let mut threads = plan.workload.start(run)?;
    let watched = Arc::clone(run);
    threads.push(workload::thread("leaders", move || drain::watch_leaders(&watched))?);
    let mut schedule = Schedule::new(plan.seed, plan.faults.clone(), plan.targets, plan.nodes);
    if plan.faults.is_empty() {
        stop.wait(plan.time);
    } else {
        nemesis.run(&mut schedule, Instant::now() + plan.time);
    }
    nemesis.heal()?;
    if stop.is_stopped() {
        run.stop.stop();
        join_all(threads);
        bail!("interrupted");
    }
    let healed = nemesis
        .await_ready(LIVE_WITHIN)
        .and_then(|()| drain::write_everywhere(run, LIVE_WITHIN).context("after everything was healed"));
    // Business as usual for a while: what faults left behind may show only then.
    stop.wait(AFTERWARDS);
    run.stop.stop();
    let mut problems = join_all(threads);
    let drained = healed.and_then(|_| drain::drain(run, plan.workload, DRAINED_WITHIN));
    problems.extend(drained.err().map(|error| format!("not live: {error:#}")));
    Ok(problems)
}

/// Waits until the threads have ended: what is wrong with those that do not. A client that gets no answer ends by itself, within the time that it gives
/// its operations.
fn join_all(threads: Vec<JoinHandle<()>>) -> Vec<String> {
    let (deadline, look) = (Instant::now() + ENDED_WITHIN, Stop::default());
    while !threads.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
        look.wait(Duration::from_millis(20));
    }
    threads.into_iter().filter_map(problem_of).collect()
}

fn problem_of(thread: JoinHandle<()>) -> Option<String> {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    if !thread.is_finished() {
        return Some(format!("a client ({name}) did not end within {ENDED_WITHIN:?}"));
    }
    thread.join().is_err().then(|| format!("{name} panicked"))
}

/// Stops the nodes, and says what was wrong with their processes.
fn shut_down(cluster: &Cluster, done: &Done) -> Vec<String> {
    let mut problems = Vec::new();
    for node in cluster.nodes() {
        let ends = node.own_ends();
        if !ends.is_empty() && !done.excused.contains(&node.id()) {
            problems.push(format!("node {} ended by itself: {}", node.id(), ends.join(", ")));
        }
        if !node.take_down_gently(STOPPED_WITHIN) {
            problems.push(format!("node {} did not stop within {STOPPED_WITHIN:?} of SIGTERM", node.id()));
        }
        let log = fs::read_to_string(node.folder().join("log")).unwrap_or_default();
        let panics = log.lines().filter(|line| line.contains("panicked at") || line.contains("panicked\""));
        problems.extend(panics.map(|line| format!("node {}: {line}", node.id())));
    }
    problems
}

fn counters(cluster: &Cluster) -> Result<BTreeMap<u32, BTreeMap<&'static str, u64>>> {
    cluster.nodes().iter().map(|node| Ok((node.id(), node.control().counters()?))).collect()
}

/// What the run is, for whoever finds its folder.
fn write_metadata(plan: &Plan, delays: Option<Means>) -> Result<()> {
    let faults: Vec<_> = plan.faults.iter().map(|fault| fault.name()).collect();
    let nemesis = if faults.is_empty() { "none".to_owned() } else { faults.join(",") };
    let targets = format!("{:?}", plan.targets).to_lowercase();
    let mut command = format!(
        "jepsen/run --workload {} --nemesis {nemesis} --targets {targets} --time {} --seed {} --nodes {}",
        plan.workload.name(),
        plan.time.as_secs(),
        plan.seed,
        plan.nodes
    );
    plan.set.iter().for_each(|setting| command.push_str(&format!(" --set {setting}")));
    let version = net::run(&plan.programs.caudal.display().to_string(), &["--version"])?;
    let more = [
        ("command", command),
        ("caudal", version.trim().to_owned()),
        ("librdkafka", rdkafka::util::get_rdkafka_version().1),
        ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned()),
        ("packets delayed by", delays.map_or("nothing".to_owned(), |means| format!("{means:?}"))),
    ];
    let metadata = Metadata {
        workload: plan.workload.name().to_owned(),
        nemesis: format!("{nemesis} ({targets})"),
        seed: plan.seed,
        duration: plan.time.as_secs(),
        nodes: Some(plan.nodes as usize),
        bound: None,
        more: more.map(|(name, text)| (name.to_owned(), text)).into(),
    };
    Ok(fs::write(plan.folder.join(METADATA), serde_json::to_vec_pretty(&metadata)?)?)
}

/// What only takes space once a run was right.
fn remove_data(folder: &Path, nodes: u32) -> Result<()> {
    for node in 1..=nodes {
        for part in ["data", "undo"] {
            fs::remove_dir_all(folder.join(format!("node-{node}")).join(part))?;
        }
    }
    Ok(())
}

const LIVE_WITHIN: Duration = Duration::from_secs(60);
const AFTERWARDS: Duration = Duration::from_secs(4);
const ENDED_WITHIN: Duration = Duration::from_secs(60);
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
