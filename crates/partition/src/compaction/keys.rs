//! The newest offset of each key, in bounded memory.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use caudal_types::Offset;

/// The slots that a table begins with.
const SLOTS_AT_FIRST: usize = 1024;
/// A table is full when so many of its slots in ten are taken.
const LOAD: usize = 9;
const EMPTY: Offset = -1;

/// A key stands for itself by 128 bits of a keyed hash. The keys of the hash are this table's alone: nobody can find two keys that collide, and for the
/// rest chance will not in the lifetime of a disk.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: Offset,
}

/// No key fits any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The newest offsets of keys, with open addressing. Grows as it fills, up to its bound.
#[derive(Debug)]
pub(crate) struct KeyTable {
    slots: Vec<Slot>,
    keys: usize,
    slots_max: usize,
    hashers: [RandomState; 2],
}

impl KeyTable {
    /// An empty table, which takes at most `bytes` of memory, also while it grows, but no less than a few KiB.
    pub(crate) fn new(bytes: usize) -> Self {
        // The last time that it grows, half as many slots are there beside the new ones.
        let slots_max = (bytes / size_of::<Slot>() * 2 / 3).max(SLOTS_AT_FIRST);
        let hashers = [RandomState::new(), RandomState::new()];
        Self { slots: vec![Slot { hash: [0; 2], offset: EMPTY }; SLOTS_AT_FIRST], keys: 0, slots_max, hashers }
    }

    /// Notes that `key` has a record at `offset`, which is none before those that were noted.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), Full> {
        let hash = self.hash(key);
        let mut at = self.find(hash);
        if self.slots[at].offset == EMPTY {
            if self.keys >= self.slots.len() * LOAD / 10 {
                self.grow()?;
                at = self.find(hash);
            }
            self.keys += 1;
        }
        self.slots[at] = Slot { hash, offset };
        Ok(())
    }

    /// The newest offset of `key`.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let slot = &self.slots[self.find(self.hash(key))];
        (slot.offset != EMPTY).then_some(slot.offset)
    }

    /// How many keys there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.keys
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)]
    }

    /// The slot of a key, or the empty one where it belongs. There always is one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let slots = self.slots.len();
        let mut at = ((u128::from(hash[0]) * slots as u128) >> 64) as usize;
        while self.slots[at].offset != EMPTY && self.slots[at].hash != hash {
            at = (at + 1) % slots;
        }
        at
    }

    fn grow(&mut self) -> Result<(), Full> {
        let slots = (self.slots.len() * 2).min(self.slots_max);
        if slots == self.slots.len() {
            return Err(Full);
        }
        let before = std::mem::replace(&mut self.slots, vec![Slot { hash: [0; 2], offset: EMPTY }; slots]);
        for slot in before.into_iter().filter(|slot| slot.offset != EMPTY) {
            let at = self.find(slot.hash);
            self.slots[at] = slot;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_is_full_at_its_bound_and_still_knows_its_keys() {
        let bytes = 7500 * size_of::<Slot>();
        let mut table = KeyTable::new(bytes);
        let full = (0..).find(|number: &i64| table.put(&number.to_be_bytes(), *number).is_err()).unwrap();
        assert_eq!((full, table.len(), table.slots.len()), (4500, 4500, 5000));
        for number in 0..full {
            assert_eq!(table.newest(&number.to_be_bytes()), Some(number));
        }
        assert_eq!(table.newest(&full.to_be_bytes()), None);
        assert_eq!(table.put(&7_i64.to_be_bytes(), 9999), Ok(()), "a key that is there needs no room");
        assert_eq!(table.newest(&7_i64.to_be_bytes()), Some(9999));
    }

    #[test]
    fn the_least_table_takes_some_keys() {
        let mut table = KeyTable::new(0);
        for number in 0..900_i64 {
            assert_eq!(table.put(&number.to_be_bytes(), number), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(keys in prop::collection::vec(prop::collection::vec(0..4_u8, 0..4), 0..3000)) {
            let (mut table, mut map) = (KeyTable::new(1 << 20), HashMap::new());
            for (offset, key) in (0..).zip(&keys) {
                table.put(key, offset).unwrap();
                map.insert(key, offset);
            }
            prop_assert_eq!(table.len(), map.len());
            for (key, offset) in map {
                prop_assert_eq!(table.newest(key), Some(offset));
            }
        }
    }
}
