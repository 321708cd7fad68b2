//! What commands show: the same facts as text for people or as JSON for programs, and notes beside them on the standard error.

use std::io::{self, Write};

use caudal_client::Silent;
use clap::Args;
use serde::Serialize;

/// In which form a command shows its facts.
#[derive(Args, Clone, Copy, Debug)]
pub struct Form {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Facts that can be shown: [`Serialize`] gives the JSON, of which each name and type is a promise (docs/cli.md).
pub(crate) trait Shown: Serialize {
    /// Writes them for people.
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()>;
}

impl Form {
    pub(crate) fn show(self, facts: &impl Shown, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        if self.json {
            return json(facts, out);
        }
        Ok(facts.print(out)?)
    }
}

/// Writes JSON for people to read and for programs.
pub(crate) fn json(facts: &impl Serialize, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    // Made whole before it is written: an error on the way is the output's, such as a broken pipe.
    let text = serde_json::to_string_pretty(facts)?;
    Ok(writeln!(out, "{text}")?)
}

/// A note on the standard error, where it is in nobody's way.
pub(crate) fn note(text: &str) {
    // Nobody can be told that the standard error does not work.
    let _ = writeln!(io::stderr(), "caudal: {text}");
}

/// A node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NotAnswered {
    node: i32,
    reason: String,
}

/// Names the nodes that did not answer on the standard error, and gives them for the JSON.
pub(crate) fn not_answered(silent: &[Silent]) -> Vec<NotAnswered> {
    for silent in silent {
        note(&format!("node {} did not answer, what only it knows is missing: {}", silent.node, silent.error));
    }
    silent.iter().map(|silent| NotAnswered { node: silent.node, reason: silent.error.to_string() }).collect()
}

/// `-` for what there is not.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `1 setting`, `2 settings`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Bytes as people read them.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (i128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (i64::MAX, "8191.9 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
