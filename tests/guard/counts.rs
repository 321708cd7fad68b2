//! What callgrind wrote: one file each time that [`boundary`](crate::workloads::boundary) was entered, with the instructions since the time before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::functions;
use crate::workloads::{ROUNDS, WORKLOADS, Workload};

/// Each workload has a part for what led up to it, and one for each round.
const PARTS: usize = 1 + ROUNDS;

/// Instructions per request, by the workload's name.
pub(crate) type Instructions = BTreeMap<String, u64>;

/// What callgrind wrote in a folder, in order.
pub(crate) struct Parts(Vec<String>);

impl Parts {
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut parts = BTreeMap::new();
        for file in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let text = fs::read_to_string(file?.path())?;
            if text.lines().any(|line| line.starts_with("desc: Trigger: --dump-before=")) {
                parts.insert(number(&text, "part: ")?, text);
            }
        }
        let expected = WORKLOADS.len() * PARTS;
        ensure!(parts.len() == expected, "callgrind wrote {} parts instead of {expected}", parts.len());
        Ok(Self(parts.into_values().collect()))
    }

    /// Instructions per request.
    pub(crate) fn instructions(&self) -> anyhow::Result<Instructions> {
        let totals: Vec<_> = self.0.iter().map(|text| number(text, "totals: ")).collect::<Result<_, _>>()?;
        Ok(per_request(&totals))
    }

    /// What the last round of each workload spent its instructions on.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&'static str, String)> {
        let last = self.0.chunks(PARTS).filter_map(<[String]>::last);
        WORKLOADS.iter().zip(last).map(|(workload, text)| (workload.name, functions::most(text)))
    }
}

fn number(text: &str, field: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let line = line.with_context(|| format!("callgrind wrote no line {field:?}"))?;
    line.trim().parse().with_context(|| format!("callgrind wrote {field}{line}"))
}

fn per_request(totals: &[u64]) -> Instructions {
    let figure = |(workload, totals): (&Workload, &[u64])| {
        (workload.name.to_owned(), median(&totals[1..]) / workload.requests as u64)
    };
    WORKLOADS.iter().zip(totals.chunks(PARTS)).map(figure).collect()
}

/// The median leaves out what timers did in one round or another.
fn median(rounds: &[u64]) -> u64 {
    let mut rounds = rounds.to_vec();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workloads_figure_is_the_median_of_its_rounds() {
        let mut parts = vec![0; WORKLOADS.len() * (1 + ROUNDS)];
        parts[0] = u64::MAX;
        for (round, part) in parts[1..=ROUNDS].iter_mut().enumerate() {
            *part = (round as u64 + 1) * WORKLOADS[0].requests as u64;
        }
        assert_eq!(per_request(&parts)[WORKLOADS[0].name], ROUNDS as u64 / 2 + 1);
    }

    #[test]
    fn callgrinds_lines_are_read() {
        let text = "version: 1\npart: 12\n\ndesc: Trigger: --dump-before=x\nevents: Ir\ntotals: 3456\n";
        assert_eq!((number(text, "part: ").unwrap(), number(text, "totals: ").unwrap()), (12, 3456));
        assert!(number(text, "nothing: ").is_err());
    }
}
