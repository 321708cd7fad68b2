//! Invoices, kept so that nothing counts twice.
//!
//! A consumer group delivers at least once: after a failure it reads again from its last commit. What makes that exactly once is a ledger that
//! remembers up to which offset of each partition it has written lines; a real service keeps that beside its lines, in the same database
//! transaction.

use std::collections::{BTreeMap, HashSet};

use crate::CompraEfetuada;

/// A line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The purchase.
    pub purchase: u64,
    /// Where it was made.
    pub merchant: String,
    /// How much.
    pub cents: u64,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is a new line.
    Written,
    /// It was delivered before, and its line is there: harmless.
    Redelivered,
    /// The same purchase is in the log a second time: it should not be.
    Duplicate,
}

/// The invoices of all cards.
#[derive(Debug, Default)]
pub struct Ledger {
    invoices: BTreeMap<String, Vec<Line>>,
    next_offsets: BTreeMap<i32, i64>,
    last_purchases: BTreeMap<i32, u64>,
    seen: HashSet<u64>,
    /// Lines written.
    pub lines: u64,
    /// Their sum.
    pub cents: u64,
    /// Records delivered again.
    pub redelivered: u64,
    /// Purchases found twice in the log.
    pub duplicates: u64,
    /// Purchases found behind a later one of their partition.
    pub out_of_order: u64,
}

impl Ledger {
    /// Writes the line of a record that lies at `offset` of `partition`.
    pub fn write(&mut self, partition: i32, offset: i64, purchase: &CompraEfetuada) -> Entry {
        if offset < self.next_offset(partition) {
            self.redelivered += 1;
            return Entry::Redelivered;
        }
        self.next_offsets.insert(partition, offset + 1);
        if !self.seen.insert(purchase.id) {
            self.duplicates += 1;
            return Entry::Duplicate;
        }
        let last = self.last_purchases.insert(partition, purchase.id);
        if last.is_some_and(|last| last > purchase.id) {
            self.out_of_order += 1;
        }
        self.lines += 1;
        self.cents += purchase.cents;
        let line = Line { purchase: purchase.id, merchant: purchase.merchant.clone(), cents: purchase.cents };
        self.invoices.entry(purchase.card.clone()).or_default().push(line);
        Entry::Written
    }

    /// The next offset that has no line yet.
    pub fn next_offset(&self, partition: i32) -> i64 {
        self.next_offsets.get(&partition).copied().unwrap_or(0)
    }

    /// The invoice of a card.
    pub fn invoice(&self, card: &str) -> &[Line] {
        self.invoices.get(card).map_or(&[], Vec::as_slice)
    }

    /// What each card owes, in cents: the sums of the lines.
    pub fn totals(&self) -> BTreeMap<String, u64> {
        let total = |lines: &Vec<Line>| lines.iter().map(|line| line.cents).sum();
        self.invoices.iter().map(|(card, lines)| (card.clone(), total(lines))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purchase(id: u64, card: &str, cents: u64) -> CompraEfetuada {
        CompraEfetuada { id, card: card.to_owned(), merchant: "Cinema".to_owned(), cents, time: 0 }
    }

    #[test]
    fn lines_add_up_per_card() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.write(0, 0, &purchase(1, "a", 100)), Entry::Written);
        assert_eq!(ledger.write(1, 0, &purchase(2, "b", 250)), Entry::Written);
        assert_eq!(ledger.write(0, 1, &purchase(3, "a", 1)), Entry::Written);
        assert_eq!(ledger.totals(), BTreeMap::from([("a".to_owned(), 101), ("b".to_owned(), 250)]));
        assert_eq!((ledger.lines, ledger.cents, ledger.invoice("a").len()), (3, 351, 2));
    }

    #[test]
    fn what_is_delivered_again_counts_once() {
        let mut ledger = Ledger::default();
        ledger.write(0, 0, &purchase(1, "a", 100));
        ledger.write(0, 1, &purchase(2, "a", 100));
        assert_eq!(ledger.write(0, 0, &purchase(1, "a", 100)), Entry::Redelivered);
        assert_eq!((ledger.cents, ledger.redelivered, ledger.duplicates), (200, 1, 0));
    }

    #[test]
    fn duplicates_and_disorder_in_the_log_are_told() {
        let mut ledger = Ledger::default();
        ledger.write(0, 0, &purchase(2, "a", 100));
        assert_eq!(ledger.write(0, 1, &purchase(2, "a", 100)), Entry::Duplicate);
        ledger.write(0, 2, &purchase(1, "a", 100));
        assert_eq!((ledger.cents, ledger.duplicates, ledger.out_of_order), (200, 1, 1));
    }
}
