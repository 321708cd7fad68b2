//! Counts the instructions that a node spends on requests: a growth shows on every machine, however fast or busy. `scripts/guard` runs it.
//!
//! - `caudal-guard work FOLDER`, under callgrind: one node in this process, its data in FOLDER, and a client with fixed requests
//! - `caudal-guard check COUNTS BASELINE COMPILER [--renew]`: reads what callgrind counted and compares it with the baseline, or writes a new one
//! - `caudal-guard functions COUNTS`: where the instructions go
//!
//! # Layout
//! - [`counts`]: what callgrind wrote
//! - [`functions`]: where they went
//! - [`baseline`]: the committed figures, and the comparison
//! - [`node`]: the node and its client
//! - [`workloads`]: the requests

mod baseline;
mod counts;
mod functions;
mod node;
mod workloads;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::baseline::Baseline;
use crate::counts::Parts;

const CLOSE_WITHIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["work", folder] => work(Path::new(folder)),
        ["check", folder, file, compiler] => check(Path::new(folder), Path::new(file), compiler),
        ["check", folder, file, compiler, "--renew"] => renew(Path::new(folder), Path::new(file), compiler),
        ["functions", folder] => functions(Path::new(folder)),
        _ => Err(anyhow::anyhow!("caudal-guard is run by scripts/guard")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guard: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread for everything asynchronous, so that two runs do the same.
fn work(folder: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(workloads::run(folder))?;
    drop(runtime);
    // A database that is still open when the process ends aborts it.
    caudal_storage::wait_until_closed(CLOSE_WITHIN);
    Ok(())
}

fn check(folder: &Path, file: &Path, compiler: &str) -> anyhow::Result<()> {
    let counted = Parts::read(folder)?.instructions()?;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let comparison = Baseline::parse(&text)?.compare(&counted);
    println!("{}", comparison.table());
    comparison.verdict(compiler)
}

fn renew(folder: &Path, file: &Path, compiler: &str) -> anyhow::Result<()> {
    let baseline = Baseline { compiler: compiler.to_owned(), instructions: Parts::read(folder)?.instructions()? };
    std::fs::write(file, baseline.text()?)?;
    println!("{}", baseline.compare(&baseline.instructions).table());
    Ok(())
}

fn functions(folder: &Path) -> anyhow::Result<()> {
    for (workload, functions) in Parts::read(folder)?.functions() {
        println!("{workload}\n{functions}");
    }
    Ok(())
}
