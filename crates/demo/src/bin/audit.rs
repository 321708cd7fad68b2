//! Compares what was published with what was invoiced. Exit code 1 when they disagree.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use caudal_demo::report::{self, Invoiced, Published};
use caudal_demo::screen::{count, exit_code, in_colour, money};
use clap::Parser;

/// Compares the reports of `publisher` and `invoices`.
#[derive(Parser)]
struct Args {
    /// The publisher's report.
    published: PathBuf,
    /// The invoice service's report.
    invoiced: PathBuf,
}

fn main() -> ExitCode {
    exit_code(compare(&Args::parse()))
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let (published, invoiced): (Published, Invoiced) = (report::load(&args.published)?, report::load(&args.invoiced)?);
    print_table(&published, &invoiced);
    let disagreements = report::disagreements(&published, &invoiced);
    for line in &disagreements {
        println!("{}", coloured("31", &format!("✗ {line}")));
    }
    ensure!(disagreements.is_empty(), "the reports disagree");
    println!(
        "{}",
        coloured("32", "✓ the totals agree to the cent, for every card; nothing lost, doubled or reordered")
    );
    Ok(())
}

fn print_table(published: &Published, invoiced: &Invoiced) {
    let row = |what: &str, left: &str, right: &str| println!("{what:<34}{left:>20}{right:>20}");
    row("", "published", "invoiced");
    row("purchases", &count(published.purchases), &count(invoiced.lines));
    row("total", &money(published.cents), &money(invoiced.cents));
    row("cards", &count(published.cards.len() as u64), &count(invoiced.cards.len() as u64));
    row("duplicates", "", &count(invoiced.duplicates));
    row("out of order", "", &count(invoiced.out_of_order));
    row("delivered again, recognised", "", &count(invoiced.redelivered));
    row("from purchase to line, p50", "", &format!("{:.1} ms", invoiced.p50_ms));
    row("from purchase to line, p99", "", &format!("{:.1} ms", invoiced.p99_ms));
    row("longest wait for an ack", &format!("{} ms", count(published.longest_gap_ms)), "");
}

fn coloured(colour: &str, line: &str) -> String {
    if in_colour() { format!("\x1b[{colour}m{line}\x1b[0m") } else { line.to_owned() }
}
