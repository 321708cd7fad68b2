//! How many records each partition was sent, and the first batch of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;

/// Where a record batch of version 2 says how many records it has, and the least bytes that it has itself.
const COUNT_AT: usize = 57;
const HEADER: usize = 61;
/// Where it says how many bytes follow.
const LENGTH_AT: usize = 8;

/// What is kept of a partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    end: AtomicI64,
    /// The first batch that it was sent.
    pub(super) sample: OnceLock<Bytes>,
}

/// The topics, each with what its partitions have.
#[derive(Debug)]
pub(super) struct Topics {
    /// Node `n + 1` listens on `ports[n]`.
    pub(super) ports: Vec<u16>,
    topics: Mutex<BTreeMap<String, Arc<[Partition]>>>,
}

impl Topics {
    pub(super) fn new(ports: Vec<u16>) -> Self {
        Self { ports, topics: Mutex::new(BTreeMap::new()) }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<[Partition]>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a topic; false when it is there.
    pub(super) fn create(&self, name: &str, partitions: usize) -> bool {
        let fresh = (0..partitions).map(|_| Partition::default()).collect();
        let mut all = self.all();
        let is_new = !all.contains_key(name);
        if is_new {
            all.insert(name.to_owned(), fresh);
        }
        is_new
    }

    /// A topic's partitions.
    pub(super) fn partitions(&self, name: &str) -> Option<Arc<[Partition]>> {
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

impl Partition {
    /// Counts new records; the end before.
    pub(super) fn append(&self, batches: &[u8]) -> i64 {
        if self.sample.get().is_none()
            && let Some(batch) = first_batch(batches)
        {
            // Another connection may have been first.
            let _ = self.sample.set(batch);
        }
        self.end.fetch_add(records(batches), Ordering::Relaxed)
    }

    pub(super) fn end(&self) -> i64 {
        self.end.load(Ordering::Relaxed)
    }
}

/// One of a topic's partitions, if there is such a topic, and one of that number.
pub(super) fn partition(known: Option<&Arc<[Partition]>>, number: i32) -> Option<&Partition> {
    known?.get(usize::try_from(number).ok()?)
}

/// The first whole batch of some.
fn first_batch(batches: &[u8]) -> Option<Bytes> {
    let length = i32::from_be_bytes(*batches.get(LENGTH_AT..)?.first_chunk()?);
    Some(Bytes::copy_from_slice(batches.get(..LENGTH_AT + 4 + usize::try_from(length).ok()?)?))
}

/// How many records some batches have.
pub(super) fn records(mut batches: &[u8]) -> i64 {
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
        let partition = Partition::default();
        assert_eq!(partition.append(&[batch(3, 100), batch(40, 0)].concat()), 0);
        assert_eq!(partition.append(b"too short"), 43);
        assert_eq!(partition.append(&batch(1, 1)), 43);
        assert_eq!(partition.end(), 44);
        assert_eq!(partition.sample.get().map(Bytes::len), Some(HEADER + 100));
    }

    #[test]
    fn partitions_go_around_the_nodes() {
        let topics = Topics::new(vec![1, 2, 3]);
        assert!(topics.create("t", 4));
        assert!(!topics.create("t", 9));
        assert_eq!(topics.partitions("t").unwrap().len(), 4);
        assert!(topics.partitions("u").is_none());
        assert_eq!((0..4).map(|partition| topics.leader(partition)).collect::<Vec<_>>(), [1, 2, 3, 1]);
    }
}
