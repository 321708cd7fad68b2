//! The command `sim`: many seeds, each in a process of its own.
//!
//! # Layout
//! - [`child`]: one seed in a process of its own, as its parent sees it
//! - [`sweep`]: seed after seed, several at a time
//! - [`mutants`]: which planted defects are caught, by what, and how fast

pub mod child;
pub mod mutants;
pub mod sweep;

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use clap::Parser;

use self::child::{Child, Outcome};
use self::sweep::Sweep;
use crate::faults::Schedule;
use crate::run::{RunConfig, run};
use crate::shrink::shrink;

/// Runs simulated clusters with faults, and looks whether what must hold does.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// The first seed; a random one with --soak.
    seed: Option<u64>,
    /// Run this many seeds, one after another; 1 if neither this nor --for is given.
    #[arg(long)]
    count: Option<u64>,
    /// Begin new seeds for so many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Run until something fails, from a random seed on.
    #[arg(long)]
    soak: bool,
    /// How many seeds run at a time; as many as there are processors by default.
    #[arg(long)]
    jobs: Option<usize>,
    /// The faults, as a failure prints them, instead of those of the seed.
    #[arg(long)]
    schedule: Option<Schedule>,
    /// For how long faults begin, in milliseconds of virtual time.
    #[arg(long, default_value_t = 3000)]
    span: u64,
    /// Run the seed in this process, and print what happens.
    #[arg(long)]
    replay: bool,
    /// Run the seed in this process, for a parent that reads the outcome.
    #[arg(long, hide = true)]
    child: bool,
    /// Look whether each planted defect is caught.
    #[arg(long)]
    mutants: bool,
    /// Only the planted defects with this in their names.
    #[arg(long, requires = "mutants")]
    only: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When a process cannot be started.
pub fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.child || arguments.replay {
        return Ok(one(&arguments));
    }
    if arguments.mutants {
        return mutants::run(arguments.seed.unwrap_or(1), arguments.seconds.unwrap_or(120), arguments.only.as_deref());
    }
    many(&arguments)
}

fn one(arguments: &Arguments) -> ExitCode {
    if arguments.replay {
        // The log of the nodes, when it is asked for; without the time of day, so that the same seed prints the same.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().without_time().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let report = run(&RunConfig {
        seed: arguments.seed.unwrap_or(1),
        schedule: arguments.schedule.clone(),
        span: arguments.span,
        print: arguments.replay,
    });
    println!("{}", child::print(&report));
    // What is left of the processes that crashed is not worth waiting for.
    std::process::exit(i32::from(report.anomaly.is_some()))
}

fn many(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None if arguments.soak => u64::from(rand::random::<u32>()) << 16,
        None => 1,
    };
    let endless = arguments.soak || arguments.seconds.is_some();
    let sweep = Sweep {
        seed,
        count: arguments.count.unwrap_or(if endless { u64::MAX } else { 1 }),
        until: arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        jobs: arguments.jobs.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)),
        child: Child { span: arguments.span, schedule: arguments.schedule.clone(), mutant: None },
        report_every: Duration::from_secs(if arguments.soak { 60 } else { 20 }),
    };
    let summary = sweep.run()?;
    println!("{summary}");
    let Some((seed, outcome)) = summary.failure else { return Ok(ExitCode::SUCCESS) };
    explain(&sweep.child, seed, &outcome)?;
    Ok(ExitCode::FAILURE)
}

/// Says what went wrong with a seed and how to see it again, and looks for a shorter schedule.
fn explain(child: &Child, seed: u64, outcome: &Outcome) -> anyhow::Result<()> {
    println!("seed {seed} fails: {}", outcome.anomaly.as_deref().unwrap_or("?"));
    println!("  faults: {}", outcome.schedule);
    println!("  replay: scripts/sim {seed} --span {} --replay", child.span);
    let fails = |schedule: &Schedule| {
        let shorter = Child { schedule: Some(schedule.clone()), ..child.clone() };
        shorter.run(seed).is_ok_and(|outcome| outcome.anomaly.is_some())
    };
    let Ok(schedule) = outcome.schedule.parse::<Schedule>() else { return Ok(()) };
    let shorter = shrink(&schedule, SHRINKING, fails);
    if shorter != schedule {
        let outcome = Child { schedule: Some(shorter.clone()), ..child.clone() }.run(seed)?;
        println!("  shorter: scripts/sim {seed} --replay --schedule '{shorter}'");
        println!("  which fails: {}", outcome.anomaly.as_deref().unwrap_or("?"));
    }
    Ok(())
}

/// How many shorter schedules are tried.
const SHRINKING: usize = 60;
