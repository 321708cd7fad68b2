//! The committed figures, and how those of today compare.

use std::fmt::Write;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::counts::Instructions;

/// How much a figure may grow, in percent.
const GROWTH_MAX: f64 = 10.0;

const HEAD: &str = "\
# Instructions that a node spends on a request, and the compiler that made them so. Written by `scripts/guard --renew`; see docs/benchmarks.md.
";

/// What was counted when the baseline was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// What `rustc --version` said.
    pub(crate) compiler: String,
    /// Per request.
    pub(crate) instructions: Instructions,
}

/// One workload, then and now; `None` where there is no figure.
type Line = (String, Option<u64>, Option<u64>);

/// The baseline beside today's figures.
#[derive(Debug)]
pub(crate) struct Comparison {
    compiler: String,
    lines: Vec<Line>,
}

impl Baseline {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        toml::from_str(text).context("the baseline cannot be read")
    }

    pub(crate) fn text(&self) -> anyhow::Result<String> {
        Ok(format!("{HEAD}{}", toml::to_string(self)?))
    }

    pub(crate) fn compare(&self, counted: &Instructions) -> Comparison {
        let mut names: Vec<_> = self.instructions.keys().chain(counted.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        let line = |name: String| {
            let (before, now) = (self.instructions.get(&name).copied(), counted.get(&name).copied());
            (name, before, now)
        };
        Comparison { compiler: self.compiler.clone(), lines: names.into_iter().map(line).collect() }
    }
}

impl Comparison {
    /// The figures for people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:<40} {:>12} {:>12} {:>8}", "instructions per request", "baseline", "now", "growth");
        for (name, before, now) in &self.lines {
            let show = |figure: &Option<u64>| figure.map_or("-".to_owned(), |figure| figure.to_string());
            let growth = growth(*before, *now).map_or("-".to_owned(), |growth| format!("{growth:+.1}%"));
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{name:<40} {:>12} {:>12} {growth:>8}", show(before), show(now));
        }
        text
    }

    /// Whether all is well.
    pub(crate) fn verdict(&self, compiler: &str) -> anyhow::Result<()> {
        let other = self.compiler != compiler;
        let hint =
            if other { format!(" (the baseline is of {}, this of {compiler})", self.compiler) } else { String::new() };
        let unpaired: Vec<_> = self.lines.iter().filter(|line| growth(line.1, line.2).is_none()).map(name).collect();
        ensure!(
            unpaired.is_empty(),
            "the baseline knows other workloads: {unpaired:?}; scripts/guard --renew writes a new one"
        );
        let grown = |line: &&Line| growth(line.1, line.2).is_some_and(|growth| growth > GROWTH_MAX);
        let grown: Vec<_> = self.lines.iter().filter(grown).map(name).collect();
        ensure!(
            grown.is_empty(),
            "more than {GROWTH_MAX}% more instructions than the baseline{hint}: {grown:?}. Where they go: scripts/guard --functions. If they are worth it: scripts/guard --renew, and say why in the commit"
        );
        if self.lines.iter().any(|line| growth(line.1, line.2).is_some_and(|growth| growth < -GROWTH_MAX)) {
            println!("some figures fell by more than {GROWTH_MAX}%: scripts/guard --renew keeps what was won");
        }
        Ok(())
    }
}

fn name(line: &Line) -> &str {
    &line.0
}

/// In percent.
fn growth(before: Option<u64>, now: Option<u64>) -> Option<f64> {
    let (before, now) = (before? as f64, now? as f64);
    Some((now - before) * 100.0 / before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(figures: &[(&str, u64)]) -> Instructions {
        figures.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
    }

    fn baseline() -> Baseline {
        Baseline { compiler: "rustc 1".to_owned(), instructions: figures(&[("fetch", 1000), ("produce", 2000)]) }
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        assert_eq!(Baseline::parse(&baseline().text().unwrap()).unwrap(), baseline());
        assert!(Baseline::parse("compiler = 3").is_err());
    }

    #[test]
    fn growth_beyond_the_bound_fails_and_names_the_workload() {
        let verdict =
            |fetch, produce| baseline().compare(&figures(&[("fetch", fetch), ("produce", produce)])).verdict("rustc 1");
        verdict(1100, 500).unwrap();
        let error = verdict(1000, 2201).unwrap_err().to_string();
        assert!(error.contains("[\"produce\"]"), "{error}");
    }

    #[test]
    fn another_compiler_is_named_as_a_cause() {
        let grown = baseline().compare(&figures(&[("fetch", 2000), ("produce", 2000)]));
        assert!(grown.verdict("rustc 2").unwrap_err().to_string().contains("this of rustc 2"));
    }

    #[test]
    fn a_workload_on_one_side_only_fails() {
        for counted in [figures(&[("fetch", 1000)]), figures(&[("fetch", 1), ("produce", 1), ("more", 1)])] {
            assert!(baseline().compare(&counted).verdict("rustc 1").is_err());
        }
    }
}
