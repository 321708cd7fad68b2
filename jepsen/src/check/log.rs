//! A partition as the history shows it: which record lies at which offset.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::history::Offset;

use super::index::RecordId;
use super::table::NO_OFFSET;

/// Offsets that are kept side by side.
const PAGE: usize = 1024;

const FREE: RecordId = RecordId::MAX;

/// What lies where in one partition, by ascending offset, without the offsets that nobody saw.
#[derive(Debug, Default)]
pub struct Log {
    /// The offsets at which something was seen.
    pub offsets: Vec<Offset>,
    /// What was seen there first.
    pub ids: Vec<RecordId>,
    /// What else was seen at an offset.
    pub conflicts: Vec<(Offset, RecordId)>,
    /// The records that were seen at more than one offset: all their offsets, ascending.
    pub duplicates: HashMap<RecordId, Vec<Offset>, FxBuildHasher>,
    /// How many records behind the first offset were seen with none missing between.
    contiguous: usize,
}

impl Log {
    /// The place of the first offset that is not below this one.
    #[must_use]
    pub fn at_or_after(&self, offset: Offset) -> usize {
        // Without transactions there are no gaps, and the place follows from the offset.
        if let Some(first) = self.offsets.first()
            && let Ok(ahead) = usize::try_from(offset - first)
            && ahead < self.contiguous
        {
            return ahead;
        }
        self.offsets.partition_point(|known| *known < offset)
    }

    /// How many places the second offset is behind the first: 1 when nothing is known to lie between, 0 or less when it is not behind.
    #[must_use]
    pub fn distance(&self, from: Offset, to: Offset) -> i64 {
        if to == from.saturating_add(1) {
            return 1;
        }
        let place = |offset| i64::try_from(self.at_or_after(offset)).expect("it fits in memory");
        place(to) - place(from)
    }

    /// What lies where, ascending.
    pub fn entries(&self) -> impl Iterator<Item = (Offset, RecordId)> {
        self.offsets.iter().copied().zip(self.ids.iter().copied())
    }
}

/// Collects what was seen.
#[derive(Debug)]
pub struct LogBuilder {
    partitions: Vec<Partition>,
    /// The first offset at which each record was seen.
    first: Vec<Offset>,
}

#[derive(Debug, Default)]
struct Partition {
    pages: HashMap<Offset, Box<[RecordId; PAGE]>, FxBuildHasher>,
    conflicts: Vec<(Offset, RecordId)>,
    duplicates: HashMap<RecordId, Vec<Offset>, FxBuildHasher>,
}

impl LogBuilder {
    /// Nothing seen yet of so many partitions, and of so many records.
    #[must_use]
    pub fn new(partitions: usize, records: usize) -> Self {
        let partitions = std::iter::repeat_with(Partition::default).take(partitions).collect();
        Self { partitions, first: vec![NO_OFFSET; records] }
    }

    /// A record was seen at an offset.
    pub fn put(&mut self, key: u32, offset: Offset, id: RecordId) {
        let partition = &mut self.partitions[key as usize];
        let first = &mut self.first[id as usize];
        if *first == NO_OFFSET {
            *first = offset;
        } else if *first != offset {
            let offsets = partition.duplicates.entry(id).or_insert_with(|| vec![*first]);
            if !offsets.contains(&offset) {
                offsets.push(offset);
                offsets.sort_unstable();
            }
        }
        let (page, within) = place(offset);
        let slot = &mut partition.pages.entry(page).or_insert_with(|| Box::new([FREE; PAGE]))[within];
        if *slot == FREE {
            *slot = id;
        } else if *slot != id && !partition.conflicts.contains(&(offset, id)) {
            partition.conflicts.push((offset, id));
        }
    }

    /// The logs, and the first offset of each record, which is [`NO_OFFSET`] for those that were never seen.
    #[must_use]
    pub fn build(self) -> (Vec<Log>, Vec<Offset>) {
        (self.partitions.into_iter().map(Partition::build).collect(), self.first)
    }
}

impl Partition {
    fn build(self) -> Log {
        let mut pages: Vec<_> = self.pages.into_iter().collect();
        pages.sort_unstable_by_key(|(page, _)| *page);
        let mut log = Log { conflicts: self.conflicts, duplicates: self.duplicates, ..Log::default() };
        for (page, slots) in pages {
            let start = page.wrapping_mul(PAGE as Offset);
            for (offset, id) in (start..).zip(slots.iter()).filter(|(_, id)| **id != FREE) {
                log.offsets.push(offset);
                log.ids.push(*id);
            }
        }
        let first = log.offsets.first().copied().unwrap_or_default();
        log.contiguous = (first..).zip(&log.offsets).take_while(|(expected, offset)| expected == *offset).count();
        log
    }
}

fn place(offset: Offset) -> (Offset, usize) {
    let page = PAGE as Offset;
    (offset.div_euclid(page), usize::try_from(offset.rem_euclid(page)).expect("it is not negative"))
}
