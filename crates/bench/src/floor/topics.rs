//! How many records each partition was sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a record batch of version 2 says how many records it has, and the least bytes that it has itself.
const COUNT_AT: usize = 57;
const HEADER: usize = 61;
/// Where it says how many bytes follow.
const LENGTH_AT: usize = 8;

/// The topics, each with what its partitions have.
#[derive(Debug)]
pub(super) struct Topics {
    /// Node `n + 1` listens on `ports[n]`.
    pub(super) ports: Vec<u16>,
    ends: Mutex<BTreeMap<String, Arc<[AtomicI64]>>>,
}

impl Topics {
    pub(super) fn new(ports: Vec<u16>) -> Self {
        Self { ports, ends: Mutex::new(BTreeMap::new()) }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<[AtomicI64]>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a topic; false when it is there.
    pub(super) fn create(&self, name: &str, partitions: usize) -> bool {
        let ends = (0..partitions).map(|_| AtomicI64::new(0)).collect();
        let mut all = self.all();
        let is_new = !all.contains_key(name);
        if is_new {
            all.insert(name.to_owned(), ends);
        }
        is_new
    }

    /// The ends of a topic's partitions.
    pub(super) fn ends(&self, name: &str) -> Option<Arc<[AtomicI64]>> {
        self.all().get(name).cloned()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.all().keys().cloned().collect()
    }

    /// Node numbers begin at 1; partition `n` is led by the node at `n` modulo their count.
    pub(super) fn leader(&self, partition: usize) -> i32 {
        (partition % self.ports.len()) as i32 + 1
    }
}

/// Counts a partition's new records; its end before.
pub(super) fn append(end: &AtomicI64, batches: &[u8]) -> i64 {
    end.fetch_add(records(batches), Ordering::Relaxed)
}

/// How many records some batches have.
fn records(mut batches: &[u8]) -> i64 {
    let mut count = 0;
    while batches.len() >= HEADER {
        let int = |at: usize| batches[at..].first_chunk().map_or(0, |bytes| i32::from_be_bytes(*bytes));
        count += i64::from(int(COUNT_AT));
        let length = LENGTH_AT + 4 + int(LENGTH_AT).max(0) as usize;
        batches = batches.get(length..).unwrap_or_default();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: i32, payload: usize) -> Vec<u8> {
        let mut batch = vec![0; HEADER + payload];
        batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&((HEADER + payload - 12) as i32).to_be_bytes());
        batch[COUNT_AT..].iter_mut().zip(records.to_be_bytes()).for_each(|(byte, new)| *byte = new);
        batch
    }

    #[test]
    fn batches_are_counted_one_after_the_other() {
        let end = AtomicI64::new(5);
        assert_eq!(append(&end, &[batch(3, 100), batch(40, 0)].concat()), 5);
        assert_eq!(append(&end, b"too short"), 48);
        assert_eq!(append(&end, &batch(1, 1)), 48);
        assert_eq!(end.into_inner(), 49);
    }

    #[test]
    fn partitions_go_around_the_nodes() {
        let topics = Topics::new(vec![1, 2, 3]);
        assert!(topics.create("t", 4));
        assert!(!topics.create("t", 9));
        assert_eq!(topics.ends("t").unwrap().len(), 4);
        assert!(topics.ends("u").is_none());
        assert_eq!((0..4).map(|partition| topics.leader(partition)).collect::<Vec<_>>(), [1, 2, 3, 1]);
    }
}
