//! Whether every record was seen, once, and each producer's in order.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::payload::{self, Origin};

/// What has been seen of a topic.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of each producer, a bit per sequence number.
    bits: HashMap<u32, Vec<u64>>,
    /// Of each partition and producer, the last sequence number.
    last: HashMap<(i32, u32), u64>,
    records: u64,
    bytes: u64,
    duplicated: u64,
    out_of_order: u64,
    foreign: u64,
}

impl Seen {
    /// A record came from `partition`.
    pub fn add(&mut self, partition: i32, record: &[u8]) {
        self.records += 1;
        self.bytes += record.len() as u64;
        let Some(Origin { producer, sequence }) = payload::origin(record) else {
            self.foreign += 1;
            return;
        };
        let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        let bits = self.bits.entry(producer).or_default();
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        self.duplicated += u64::from(bits[word] & bit != 0);
        bits[word] |= bit;
        let last = self.last.insert((partition, producer), sequence);
        self.out_of_order += u64::from(last.is_some_and(|last| last > sequence));
    }

    /// How many records were seen, duplicates and all.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many bytes these had.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many sequence numbers are missing below the highest one seen of their producer.
    fn holes(&self) -> u64 {
        let holes = |bits: &Vec<u64>| {
            let highest = bits.last().map_or(0, |word| bits.len() as u64 * 64 - u64::from(word.leading_zeros()));
            highest - bits.iter().map(|word| u64::from(word.count_ones())).sum::<u64>()
        };
        self.bits.values().map(holes).sum()
    }

    /// The figures that the harness judges.
    #[must_use]
    pub fn figures(&self) -> Map<String, Value> {
        [
            ("records", self.records),
            ("holes", self.holes()),
            ("duplicated", self.duplicated),
            ("out of order", self.out_of_order),
            ("foreign", self.foreign),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(seen: &mut Seen, partition: i32, producer: u32, sequence: u64) {
        let mut record = payload::blank(20);
        payload::stamp(&mut record, Origin { producer, sequence });
        seen.add(partition, &record);
    }

    fn figures(seen: &Seen) -> [u64; 5] {
        let figures = seen.figures();
        ["records", "holes", "duplicated", "out of order", "foreign"].map(|name| figures[name].as_u64().unwrap())
    }

    #[test]
    fn a_whole_topic_is_whole() {
        let mut seen = Seen::default();
        (0..200).for_each(|n| see(&mut seen, (n % 3) as i32, 1, n));
        (0..64).for_each(|n| see(&mut seen, 0, 2, n));
        assert_eq!(figures(&seen), [264, 0, 0, 0, 0]);
        assert_eq!(seen.bytes(), 264 * 20);
    }

    #[test]
    fn whatever_is_wrong_is_counted() {
        let mut seen = Seen::default();
        see(&mut seen, 0, 1, 0);
        see(&mut seen, 0, 1, 70);
        assert_eq!(figures(&seen), [2, 69, 0, 0, 0]);
        see(&mut seen, 1, 1, 70);
        assert_eq!(figures(&seen), [3, 69, 1, 0, 0]);
        see(&mut seen, 0, 1, 5);
        assert_eq!(figures(&seen), [4, 68, 1, 1, 0]);
        seen.add(0, b"of another program");
        assert_eq!(figures(&seen), [5, 68, 1, 1, 1]);
    }
}
