//! Where the instructions go, by function: for whoever has to find out why a figure grew.

use std::collections::HashMap;

/// How many functions are told per workload.
const SHOWN: usize = 12;
/// Longer names are cut.
const NAME_MAX: usize = 110;

/// The functions that had the most instructions of their own in a file of callgrind's with uncompressed names.
pub(crate) fn most(text: &str) -> String {
    let mut own: HashMap<&str, u64> = HashMap::new();
    let (mut function, mut of_callee) = ("", false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            // The next line tells what the callee took, which is told at the callee as well.
            of_callee = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if !of_callee {
                *own.entry(function).or_default() += cost.unwrap_or(0);
            }
            of_callee = false;
        }
    }
    let total: u64 = own.values().sum();
    let mut own: Vec<_> = own.into_iter().collect();
    own.sort_unstable_by_key(|(name, cost)| (std::cmp::Reverse(*cost), *name));
    let line = |(name, cost): &(&str, u64)| {
        let name: String = name.chars().take(NAME_MAX).collect();
        format!("{:>6.1}%  {name}\n", *cost as f64 * 100.0 / total as f64)
    };
    own.iter().take(SHOWN).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_told_its_own_instructions_only() {
        let text =
            "totals: 9\nfl=a.rs\nfn=caller\n10 20\ncfn=callee\ncalls=2 7\n* 60\n+3 10\n\nfn=callee\n7 60\n7 10\n";
        assert_eq!(most(text), "  70.0%  callee\n  30.0%  caller\n");
    }
}
