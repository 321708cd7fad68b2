//! Where each batch of a partition lies.

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which of all batches it is.
    pub(super) number: u64,
    /// The offset of its first record.
    pub(super) offset: i64,
    /// Where it lies among the bytes of all.
    pub(super) at: u64,
    /// Its bytes.
    pub(super) length: usize,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Batches that follow each other.
    pub(super) entries: Vec<Entry>,
    /// The offset behind them.
    pub(super) next: i64,
}

/// All batches of a partition, by their offsets.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<Entry>,
    end: i64,
}

impl Index {
    /// The offset of the next record.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// What a next batch of so many bytes is.
    pub(super) fn next_entry(&self, length: usize) -> Entry {
        let at = self.entries.last().map_or(0, |last| last.at + last.length as u64);
        Entry { number: self.entries.len() as u64, offset: self.end, at, length }
    }

    /// Puts the next batch behind the others.
    pub(super) fn push(&mut self, entry: Entry, records: i64) {
        self.entries.push(entry);
        self.end += records;
    }

    /// The batches from the one with `offset` on, as many as fit into `room` bytes; one at least, if there is any and any room.
    pub(super) fn find(&self, offset: i64, room: usize) -> Found {
        if room == 0 || !(0..self.end).contains(&offset) {
            return Found { entries: Vec::new(), next: offset };
        }
        let behind = self.entries.partition_point(|entry| entry.offset <= offset);
        let entries = &self.entries[behind.saturating_sub(1)..];
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.length;
            bytes <= room
        };
        let count = entries.iter().take_while(fits).count().max(1);
        let next = entries.get(count).map_or(self.end, |next| next.offset);
        Found { entries: entries[..count].to_vec(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four batches of 3, 1, 4 and 2 records.
    fn index() -> Index {
        let mut index = Index::default();
        for (records, length) in [(3, 100), (1, 50), (4, 200), (2, 10)] {
            index.push(index.next_entry(length), records);
        }
        index
    }

    /// Which batches are found, and what comes next.
    fn find(offset: i64, room: usize) -> (Vec<u64>, i64) {
        let Found { entries, next } = index().find(offset, room);
        (entries.iter().map(|entry| entry.number).collect(), next)
    }

    #[test]
    fn batches_lie_behind_each_other() {
        assert_eq!(index().next_entry(7), Entry { number: 4, offset: 10, at: 360, length: 7 });
        let entries = index().find(3, 1000).entries;
        assert_eq!(entries[0], Entry { number: 1, offset: 3, at: 100, length: 50 });
        assert_eq!(entries[1], Entry { number: 2, offset: 4, at: 150, length: 200 });
    }

    #[test]
    fn an_offset_is_found_in_its_batch() {
        for (offset, first) in [(0, 0), (2, 0), (3, 1), (4, 2), (7, 2), (8, 3), (9, 3)] {
            assert_eq!(find(offset, 1000), ((first..4).collect(), 10), "{offset}");
        }
        for outside in [-1, 10, 11] {
            assert_eq!(find(outside, 1000), (vec![], outside));
        }
        assert!(Index::default().find(0, 1000).entries.is_empty());
    }

    #[test]
    fn there_are_as_many_as_fit_and_one_at_least() {
        assert_eq!(find(0, 350), (vec![0, 1, 2], 8));
        assert_eq!(find(0, 349), (vec![0, 1], 4));
        assert_eq!(find(5, 199), (vec![2], 8), "one at least");
        assert_eq!(find(8, 1), (vec![3], 10));
        assert_eq!(find(0, 0), (vec![], 0));
    }
}
