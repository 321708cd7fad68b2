//! Judges a stored history, or makes one to measure how fast it is judged.
//!
//! It exits with 0 when the history is valid, with 1 when it shows anomalies, and with 2 when it does not tell, or cannot be read.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use caudal_jepsen::check::generate::{Mix, Shape, generate};
use caudal_jepsen::check::{Options, Validity, Verdict, check, load};
use caudal_jepsen::history;
use caudal_jepsen::report::{self, Metadata};
use clap::{Parser, ValueEnum};

/// Judges a stored history.
#[derive(Debug, Parser)]
struct Arguments {
    /// The history, as JSON lines.
    history: PathBuf,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
    /// For how many seconds sends may go unacknowledged while a majority of the nodes is not hindered.
    #[arg(long)]
    bound: Option<u64>,
    /// How many nodes the cluster has; without, as many as the history tells of.
    #[arg(long)]
    nodes: Option<usize>,
    /// Write the report of the run, `report.md`, `index.html` and `timeline.png`, into the folder of the history.
    #[arg(long)]
    report: bool,
    /// First write a history of so many operations of a simulated log that does nothing wrong.
    #[arg(long, value_name = "OPERATIONS")]
    generate: Option<u64>,
    /// What the generated history is made of.
    #[arg(long, value_enum, default_value_t = Content::Queue)]
    mix: Content,
    /// The seed of the generated history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Content {
    Queue,
    Transactions,
    Group,
    Admin,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(verdict) => ExitCode::from(match verdict.validity {
            Validity::Valid => 0,
            Validity::Anomalies => 1,
            Validity::Unknown => 2,
        }),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    if let Some(operations) = arguments.generate {
        write(arguments, operations).context("cannot write the history")?;
    }
    let begun = Instant::now();
    let file =
        File::open(&arguments.history).with_context(|| format!("cannot open {}", arguments.history.display()))?;
    let table = load(file)?;
    let loaded = begun.elapsed();
    let folder = arguments.history.parent().unwrap_or(Path::new("."));
    let metadata = Metadata::of_run(folder)?;
    let mut options = Options::default();
    options.nodes = arguments.nodes.or(metadata.nodes);
    options.bound = arguments.bound.or(metadata.bound).map_or(options.bound, Duration::from_secs);
    let verdict = check(&table, &options);
    if arguments.report {
        if !report::png::has_fonts() {
            eprintln!("no fonts on this machine: the picture will have no texts");
        }
        report::write(folder, &metadata, &table, &verdict).context("cannot write the report")?;
    }
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &verdict)?;
        writeln!(out)?;
    } else {
        write!(out, "{verdict}")?;
    }
    let (all, operations) = (begun.elapsed(), table.operations.len());
    eprintln!(
        "{operations} operations: read in {:.1} s, judged in {:.1} s",
        loaded.as_secs_f64(),
        (all - loaded).as_secs_f64()
    );
    // Giving back the memory piece by piece would take longer than the process has left.
    std::mem::forget(table);
    Ok(verdict)
}

fn write(arguments: &Arguments, operations: u64) -> anyhow::Result<()> {
    let mix = match arguments.mix {
        Content::Queue => Mix::Queue,
        Content::Transactions => Mix::Transactions,
        Content::Group => Mix::Group,
        Content::Admin => Mix::Admin,
    };
    let shape = Shape { seed: arguments.seed, operations, processes: 12, partitions: 12, mix };
    let mut to = BufWriter::with_capacity(1 << 20, File::create(&arguments.history)?);
    generate(&shape, |event| history::write(event, &mut to))?;
    Ok(to.flush()?)
}
