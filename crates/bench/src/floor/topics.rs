//! What is known of each partition: how many records it was sent, and the first batch of them, or all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;

use super::batches;
use super::kept::{Kept, Log};

/// What is known of a partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    end: AtomicI64,
    /// The first batch that it was sent, unless all are kept.
    pub(super) sample: OnceLock<Bytes>,
    /// All that it was sent.
    pub(super) log: Option<Arc<Log>>,
}

/// The topics, each with what its partitions have.
#[derive(Debug)]
pub(super) struct Topics {
    /// Node `n + 1` listens on `ports[n]`.
    pub(super) ports: Vec<u16>,
    topics: Mutex<BTreeMap<String, Arc<[Partition]>>>,
    /// Where batches are kept, so that they can be read.
    kept: Option<Kept>,
}

impl Topics {
    pub(super) fn new(ports: Vec<u16>) -> Self {
        Self { ports, topics: Mutex::new(BTreeMap::new()), kept: None }
    }

    /// The same, of whose partitions all batches are kept.
    pub(super) fn keeping(self, kept: Option<Kept>) -> Self {
        Self { kept, ..self }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<[Partition]>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a topic; false when it is there.
    pub(super) fn create(&self, name: &str, partitions: usize) -> bool {
        let mut all = self.all();
        let is_new = !all.contains_key(name);
        if is_new {
            all.insert(name.to_owned(), (0..partitions).map(|number| self.partition(number)).collect());
        }
        is_new
    }

    /// An empty partition.
    fn partition(&self, number: usize) -> Partition {
        let log = self.kept.as_ref().map(|kept| Arc::new(kept.log(self.leader(number))));
        Partition { log, ..Partition::default() }
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
    /// Counts new records, or keeps them; the end before.
    pub(super) fn append(&self, batches: &[u8]) -> i64 {
        if let Some(log) = &self.log {
            return log.append(batches);
        }
        if self.sample.get().is_none()
            && let Some(batch) = batches::first(batches)
        {
            // Another connection may have been first.
            let _ = self.sample.set(Bytes::copy_from_slice(batch));
        }
        self.end.fetch_add(batches::records(batches), Ordering::Relaxed)
    }

    pub(super) fn end(&self) -> i64 {
        self.log.as_ref().map_or_else(|| self.end.load(Ordering::Relaxed), |log| log.end())
    }
}

/// One of a topic's partitions, if there is such a topic, and one of that number.
pub(super) fn partition(known: Option<&Arc<[Partition]>>, number: i32) -> Option<&Partition> {
    known?.get(usize::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::batches::example;

    #[test]
    fn batches_are_counted_one_after_the_other() {
        let partition = Partition::default();
        assert_eq!(partition.append(&[example(3, &[0; 100]), example(40, &[])].concat()), 0);
        assert_eq!(partition.append(b"too short"), 43);
        assert_eq!(partition.append(&example(1, &[0])), 43);
        assert_eq!(partition.end(), 44);
        assert_eq!(partition.sample.get().map(Bytes::len), Some(61 + 100));
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
