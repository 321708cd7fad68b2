//! What the disk does at best: 16 KiB appended and fdatasync'ed, over and over. No system that keeps its word acknowledges faster.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::latency::Latencies;

const APPEND: usize = 16 * 1024;

/// Of the command `disk`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder in the file system that is asked about
    #[arg(long)]
    folder: PathBuf,
    /// For how long
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Measures, and tells the percentiles.
///
/// # Errors
/// When the folder cannot be written to.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut file = tempfile::tempfile_in(&args.folder)?;
    let bytes = crate::payload::blank(APPEND);
    let mut latencies = Latencies::whole();
    let deadline = Instant::now() + Duration::from_secs_f64(args.seconds);
    while Instant::now() < deadline {
        let start = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        latencies.add(start.elapsed().as_micros() as u64);
    }
    let (p50, p99) = (latencies.percentile_ms(50.0), latencies.percentile_ms(99.0));
    println!("{}", json!({"fdatasync p50 ms": p50, "fdatasync p99 ms": p99}));
    Ok(())
}
