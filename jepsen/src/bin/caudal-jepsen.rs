//! Runs a cluster under faults, or a suite of such runs. `jepsen/run` builds what this needs, and calls it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use caudal_jepsen::cluster::Programs;
use caudal_jepsen::nemesis::{Fault, Targets};
use caudal_jepsen::run::{Plan, Verdict};
use caudal_jepsen::stop::Stop;
use caudal_jepsen::workload::Workload;
use caudal_jepsen::{net, run, suite};
use clap::Parser;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(name = "jepsen/run", about = "Breaks a cluster on purpose, and checks what its clients saw")]
struct Args {
    /// queue, queue-java, transactions, transactions-java, group, group-consumer, admin, register or life
    #[arg(long, default_value = "queue")]
    workload: String,
    /// Faults, separated by commas; none and mixed are names too
    #[arg(long, default_value = "kill")]
    nemesis: String,
    /// Which nodes faults are done to: one, minority, majority, all, any of these each time, or coordinator
    #[arg(long, default_value = "any")]
    targets: String,
    /// For how many seconds
    #[arg(long, default_value_t = 60)]
    time: u64,
    /// Where all chance comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    nodes: u32,
    /// Where everything goes
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A key of the nodes' configuration, KEY=VALUE
    #[arg(long = "set")]
    set: Vec<String>,
    /// Keeps the nodes' data even when nothing is wrong
    #[arg(long)]
    keep: bool,
    /// Runs a suite: ci, nightly or published
    #[arg(long)]
    suite: Option<String>,
    /// Runs a suite again and again for this many hours
    #[arg(long = "for")]
    hours: Option<f64>,
    /// Only removes what runs that died left behind
    #[arg(long)]
    sweep: bool,
    /// The server's program
    #[arg(long, env = "CAUDAL_BINARY", default_value = "caudal", hide = true)]
    caudal: PathBuf,
    /// The library that is preloaded into it
    #[arg(long, env = "FAULTDISK_LIBRARY", default_value = "faultdisk.so", hide = true)]
    library: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("jepsen: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn start(args: &Args) -> Result<bool> {
    let folder = || args.dir.clone().context("--dir is missing");
    let stop = Stop::default();
    if args.sweep {
        net::sweep().iter().for_each(|name| println!("removed {name}"));
        return Ok(true);
    }
    if let Some(name) = &args.suite {
        let within = args.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
        let mut arguments: Vec<_> = args.set.iter().flat_map(|setting| ["--set".to_owned(), setting.clone()]).collect();
        arguments.extend(args.keep.then(|| "--keep".to_owned()));
        let settings = suite::Settings { name: name.clone(), folder: folder()?, seed: args.seed, within, arguments };
        let _runtime = runtime(&stop)?;
        return suite::run(&settings, &stop);
    }
    let workload = Workload::ALL.into_iter().find(|workload| workload.name() == args.workload);
    let Some(workload) = workload else {
        bail!("there is no workload '{}'; there are {}", args.workload, Workload::ALL.map(Workload::name).join(", "));
    };
    if let Some(setting) = args.set.iter().find(|setting| !setting.contains('=')) {
        bail!("--set {setting}: write KEY=VALUE");
    }
    let plan = Plan {
        workload,
        faults: Fault::parse_list(&args.nemesis)?,
        targets: Targets::parse(&args.targets)?,
        time: Duration::from_secs(args.time),
        seed: args.seed,
        nodes: args.nodes,
        folder: folder()?,
        set: args.set.clone(),
        keep: args.keep,
        programs: Programs { caudal: args.caudal.canonicalize()?, library: args.library.canonicalize()? },
    };
    let verdict = run::run(&plan, || runtime(&stop), &stop)?;
    tell(&verdict, &plan.folder);
    Ok(verdict.valid)
}

/// A runtime whose signals stop the run.
fn runtime(stop: &Stop) -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stop = stop.clone();
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    runtime.handle().spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.stop();
    });
    Ok(runtime)
}

fn tell(verdict: &Verdict, folder: &std::path::Path) {
    for note in &verdict.notes {
        println!("note: {note}");
    }
    let list = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    println!("acknowledged: {}", list(&verdict.operations));
    println!("faults: {}", list(&verdict.faults));
    for problem in &verdict.problems {
        println!("PROBLEM: {problem}");
    }
    println!("{} in {}", if verdict.valid { "valid" } else { "NOT VALID" }, folder.display());
}
