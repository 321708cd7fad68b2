//! What the programs write down at the end, and how it is compared.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the publisher wrote: only what was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Purchases acknowledged.
    pub purchases: u64,
    /// Purchases whose fate the publisher does not know: it gave up on them.
    pub failed: u64,
    /// The sum.
    pub cents: u64,
    /// The sum of each card.
    pub cards: BTreeMap<String, u64>,
    /// The longest time that a partition went without an acknowledgement, in milliseconds.
    pub longest_gap_ms: u64,
}

/// What the invoice service wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Invoiced {
    /// Lines of invoices.
    pub lines: u64,
    /// The sum.
    pub cents: u64,
    /// The sum of each card's invoice.
    pub cards: BTreeMap<String, u64>,
    /// Purchases that were in the log twice.
    pub duplicates: u64,
    /// Purchases that were in the log behind a later one.
    pub out_of_order: u64,
    /// Records delivered again after a failure, which the ledger recognised.
    pub redelivered: u64,
    /// From the purchase to its line, in milliseconds: the median.
    pub p50_ms: f64,
    /// From the purchase to its line, in milliseconds: 99 % are faster.
    pub p99_ms: f64,
}

/// Writes a report. It appears whole or not at all, so that whoever waits for the file never reads half of it.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let json = serde_json::to_vec_pretty(report)?;
    std::fs::write(&unfinished, json).with_context(|| format!("cannot write {}", unfinished.display()))?;
    std::fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a report.
///
/// # Errors
/// When the file cannot be read.
pub fn load<R: DeserializeOwned>(path: &Path) -> anyhow::Result<R> {
    let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&json).with_context(|| format!("{} is no report", path.display()))
}

/// Everything in which the two disagree; nothing, if all is well.
pub fn disagreements(published: &Published, invoiced: &Invoiced) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |what: &str, published: u64, invoiced: u64| {
        if published != invoiced {
            wrong.push(format!("{what}: {published} published, {invoiced} invoiced"));
        }
    };
    expect("purchases", published.purchases, invoiced.lines);
    expect("cents", published.cents, invoiced.cents);
    let cards: std::collections::BTreeSet<&String> = published.cards.keys().chain(invoiced.cards.keys()).collect();
    for card in cards {
        let total = |totals: &BTreeMap<String, u64>| totals.get(card).copied().unwrap_or(0);
        expect(&format!("cents of {card}"), total(&published.cards), total(&invoiced.cards));
    }
    let never = [
        ("purchases were not acknowledged", published.failed),
        ("purchases are in the log twice", invoiced.duplicates),
        ("purchases are in the log out of order", invoiced.out_of_order),
    ];
    wrong.extend(never.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")));
    if published.purchases == 0 {
        wrong.push("nothing was published".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Published, Invoiced) {
        let cards = BTreeMap::from([("a".to_owned(), 100), ("b".to_owned(), 50)]);
        let published = Published { purchases: 3, cents: 150, cards: cards.clone(), ..Published::default() };
        let invoiced = Invoiced { lines: 3, cents: 150, cards, ..Invoiced::default() };
        (published, invoiced)
    }

    #[test]
    fn agreement_is_silent() {
        let (published, invoiced) = pair();
        assert!(disagreements(&published, &invoiced).is_empty());
    }

    #[test]
    fn every_disagreement_is_told() {
        let (published, invoiced) = pair();
        let tells = |change: fn(&mut Published, &mut Invoiced), what: &str| {
            let (mut published, mut invoiced) = (published.clone(), invoiced.clone());
            change(&mut published, &mut invoiced);
            let told = disagreements(&published, &invoiced);
            assert!(told.iter().any(|line| line.contains(what)), "{what}: {told:?}");
        };
        tells(|_, invoiced| invoiced.lines = 2, "purchases: 3 published, 2 invoiced");
        tells(|_, invoiced| invoiced.cents = 149, "cents: 150 published, 149 invoiced");
        tells(|_, invoiced| *invoiced.cards.get_mut("a").unwrap() += 1, "cents of a");
        tells(|published, _| published.failed = 1, "not acknowledged");
        tells(|_, invoiced| invoiced.duplicates = 1, "twice");
        tells(|_, invoiced| invoiced.out_of_order = 1, "out of order");
        tells(|published, invoiced| (published.purchases, invoiced.lines) = (0, 0), "nothing was published");
    }

    #[test]
    fn reports_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("published.json");
        let (published, _) = pair();
        save(&path, &published).unwrap();
        assert_eq!(load::<Published>(&path).unwrap(), published);
        assert!(load::<Published>(&folder.path().join("none")).is_err());
    }
}
