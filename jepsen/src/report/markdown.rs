//! The report as Markdown.

use std::fmt::Write as _;

use crate::check::{Finding, Verdict};

use super::Metadata;
use super::series::Series;
use super::timeline::{nodes, seconds};

/// The report.
#[must_use]
pub fn page(metadata: &Metadata, series: &Series, verdict: &Verdict) -> String {
    let mut page = format!("# {}\n\n", headline(verdict));
    for (name, value) in metadata.shown() {
        put(&mut page, &format!("- {}: {}", cell(&name), cell(&value)));
    }
    put(
        &mut page,
        &format!(
            "- history: {} lines, {} records sent, {} read",
            verdict.lines, verdict.records[0], verdict.records[1]
        ),
    );
    put(&mut page, "\n![Timeline](timeline.png)\n");
    for why in &verdict.unknown {
        put(&mut page, &format!("- unknown: {}", cell(why)));
    }
    for finding in &verdict.findings {
        put(&mut page, &format!("\n## {}\n\n{}\n", title(finding), finding.anomaly.meaning()));
        for example in &finding.examples {
            put(&mut page, &format!("- {}", cell(&example.text)));
            for involved in &example.operations {
                put(&mut page, &format!("  - {}", cell(&involved.to_string())));
            }
        }
    }
    for table in tables(series, verdict) {
        put(&mut page, &format!("\n## {}\n", table.title));
        put(&mut page, &format!("| {} |", table.header.join(" | ")));
        put(&mut page, &format!("|{}", "---|".repeat(table.header.len())));
        for row in &table.rows {
            let cells: Vec<_> = row.iter().map(|text| cell(text)).collect();
            put(&mut page, &format!("| {} |", cells.join(" | ")));
        }
    }
    page
}

/// A table that both pages show.
pub(super) struct Rows {
    pub(super) title: &'static str,
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Rows that a table has at most.
const ROWS: usize = 40;

/// The tables that have rows.
pub(super) fn tables(series: &Series, verdict: &Verdict) -> Vec<Rows> {
    let operations = verdict.operations.iter().map(|(name, counts)| {
        let counts = counts.iter().map(u64::to_string);
        let latencies = series.latencies.get(name.as_str());
        let shown = latencies.map_or(vec![String::new(); 4], |latencies| {
            [latencies.median, latencies.p95, latencies.p99, latencies.max].map(millis).to_vec()
        });
        [name.clone()].into_iter().chain(counts).chain(shown).collect()
    });
    let windows = series.windows.iter().map(|window| {
        let key = window.key.clone().unwrap_or_else(|| "all".to_owned());
        vec![key, seconds(window.begins), seconds(window.ends), seconds(window.ends - window.begins)]
    });
    let faults = series
        .faults
        .iter()
        .map(|fault| vec![fault.name.clone(), nodes(&fault.nodes), seconds(fault.begins), seconds(fault.ends)]);
    let errors =
        series.errors.iter().map(|(error, [fail, info])| vec![error.clone(), fail.to_string(), info.to_string()]);
    let tables = [
        Rows {
            title: "Operations",
            header: vec!["operation", "ok", "fail", "info", "median ms", "p95 ms", "p99 ms", "max ms"],
            rows: operations.collect(),
        },
        Rows {
            title: "Longest times without an acknowledgement, over a second",
            header: vec!["partition", "from s", "to s", "seconds"],
            rows: windows.take(ROWS).collect(),
        },
        Rows { title: "Faults", header: vec!["fault", "nodes", "from s", "to s"], rows: faults.take(ROWS).collect() },
        Rows {
            title: "Why operations failed, or are in doubt",
            header: vec!["reason", "fail", "info"],
            rows: errors.take(ROWS).collect(),
        },
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// The verdict in a sentence.
pub(super) fn headline(verdict: &Verdict) -> String {
    let bad: Vec<_> = verdict.findings.iter().filter(|finding| !finding.allowed).collect();
    if bad.is_empty() {
        return verdict.validity.to_string();
    }
    let names: Vec<_> = bad.iter().map(|finding| format!("{} {}", finding.total, finding.anomaly.name())).collect();
    format!("{}: {}", verdict.validity, names.join(", "))
}

pub(super) fn title(finding: &Finding) -> String {
    let allowed = if finding.allowed { " (allowed)" } else { "" };
    format!("{}{allowed}: {}", finding.anomaly.name(), finding.total)
}

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

/// A text that cannot break the page.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', character]),
            character => escaped.push(character),
        }
    }
    escaped
}

fn put(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a string takes all");
}
