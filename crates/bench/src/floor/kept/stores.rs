//! A RocksDB per node, set up as a node's, in which each batch of a partition is an entry as in the node's log. What an entry is read to goes to the socket.
//!
//! A store's files are read around the page cache, so that a reader would wait for the disk. A node reads on meanwhile, and so must this: see [`StoreLog::read_on`].

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use caudal_storage::keys::log;
use caudal_storage::{ColumnFamily, Durability, Engine, RocksEngine, StorageError, WriteBatch};
use caudal_types::RaftGroupId;
use parking_lot::{Mutex, RwLock};

use super::index::{Entry, Index};
use crate::floor::{batches, stores};

/// A partition's entries.
#[derive(Debug)]
pub(super) struct StoreLog {
    engine: Arc<RocksEngine>,
    group: RaftGroupId,
    /// Of the one reader that a partition is expected to have.
    expected: Mutex<Option<Expected>>,
}

/// What a reader will ask for next.
#[derive(Debug)]
struct Expected {
    offset: i64,
    room: usize,
    /// What it will be given, once it has been read.
    ahead: Option<Read>,
}

/// What was read.
#[derive(Debug)]
struct Read {
    batches: Vec<Bytes>,
    /// The offset behind it.
    next: i64,
}

impl StoreLog {
    /// An empty one.
    pub(super) fn new(engine: Arc<RocksEngine>, group: RaftGroupId) -> Self {
        Self { engine, group, expected: Mutex::new(None) }
    }

    /// Stores a batch.
    pub(super) fn append(&self, entry: &Entry, batch: &[u8]) -> Result<(), StorageError> {
        let batch = Bytes::copy_from_slice(batch);
        let (key, head) = stores::around(self.group, entry.number, &batch);
        let mut write = WriteBatch::new();
        write.put_parts(ColumnFamily::Log, key, head, batch);
        self.engine.write(write, Durability::Written)
    }

    /// The batches that the index finds; those that were read already, if this was expected.
    pub(super) fn read(&self, index: &RwLock<Index>, offset: i64, room: usize) -> Result<Vec<Bytes>, StorageError> {
        let mut expected = self.expected.lock();
        let is_expected = |expected: &Expected| (expected.offset, expected.room) == (offset, room);
        let ahead = expected.take().filter(is_expected).and_then(|expected| expected.ahead);
        let read = ahead.map_or_else(|| self.read_now(index, offset, room), Ok)?;
        if !read.batches.is_empty() {
            *expected = Some(Expected { offset: read.next, room, ahead: None });
        }
        Ok(read.batches)
    }

    /// Reads what is expected, if there is anything.
    pub(super) fn read_on(&self, index: &RwLock<Index>) -> Result<(), StorageError> {
        if let Some(expected) = &mut *self.expected.lock()
            && expected.ahead.is_none()
        {
            let read = self.read_now(index, expected.offset, expected.room)?;
            expected.ahead = Some(read).filter(|read| !read.batches.is_empty());
        }
        Ok(())
    }

    fn read_now(&self, index: &RwLock<Index>, offset: i64, room: usize) -> Result<Read, StorageError> {
        let found = index.read().find(offset, room);
        let keys: Vec<_> = found.entries.iter().map(|entry| log::key(self.group, entry.number)).collect();
        let values = self.engine.get_many(ColumnFamily::Log, &keys)?;
        let batches = found.entries.iter().zip(values).map(|(entry, value)| self.batch(entry, value));
        Ok(Read { batches: batches.collect::<Result<_, _>>()?, next: found.next })
    }

    /// The batch in an entry's value: what comes before it is as long as the value is longer.
    fn batch(&self, entry: &Entry, value: Option<Bytes>) -> Result<Bytes, StorageError> {
        let damaged = || {
            StorageError::Corrupt(format!("entry {} of Raft group {} is not what was stored", entry.number, self.group))
        };
        let value = value.ok_or_else(damaged)?;
        let head = value.len().checked_sub(entry.length).ok_or_else(damaged)?;
        // Nobody else has the value, so that nothing is copied.
        let mut batch = BytesMut::from(value);
        batch.advance(head);
        batches::set_offset(&mut batch, entry.offset);
        Ok(batch.freeze())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use caudal_storage::wait_until_closed;

    use super::*;
    use crate::floor::batches::{at, example};

    #[test]
    fn entries_are_a_nodes_and_are_read_from_files_too() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(stores::open(folder.path(), 1).unwrap());
        let log = StoreLog::new(Arc::clone(&engine), RaftGroupId(7));
        let index = RwLock::new(Index::default());
        let batches: Vec<_> = (0..5_u8).map(|n| example(1, &[n; 2000])).collect();
        for batch in &batches {
            let entry = index.read().next_entry(batch.len());
            log.append(&entry, batch).unwrap();
            index.write().push(entry, 1);
        }
        let value = engine.get(ColumnFamily::Log, &log::key(RaftGroupId(7), 3)).unwrap().unwrap();
        assert_eq!(log::decode(RaftGroupId(7), 3, &value).unwrap().payload, batches[3]);

        let given: Vec<_> = batches.into_iter().zip(0..).map(|(batch, n)| at(n, batch)).collect();
        assert_eq!(log.read(&index, 0, usize::MAX).unwrap(), given);
        // That flushes what is in memory.
        engine.reclaim().unwrap();
        assert_eq!(log.read(&index, 0, usize::MAX).unwrap(), given);
        drop((log, engine));
        wait_until_closed(Duration::from_secs(30));
    }

    #[test]
    fn what_was_read_ahead_is_given_to_whom_it_was_read_for() {
        let folder = tempfile::tempdir().unwrap();
        let log = StoreLog::new(Arc::new(stores::open(folder.path(), 1).unwrap()), RaftGroupId(1));
        let index = RwLock::new(Index::default());
        let batches: Vec<_> = (0..6_u8).map(|n| example(1, &[n; 1000])).collect();
        for batch in &batches {
            let entry = index.read().next_entry(batch.len());
            log.append(&entry, batch).unwrap();
            index.write().push(entry, 1);
        }
        let room = 2 * batches[0].len();
        let read = |offset, room| log.read(&index, offset, room).unwrap().len();
        let ahead = || log.expected.lock().as_ref().map(|expected| (expected.offset, expected.ahead.is_some()));

        log.read_on(&index).unwrap();
        assert_eq!((ahead(), read(0, room), ahead()), (None, 2, Some((2, false))));
        log.read_on(&index).unwrap();
        assert_eq!((ahead(), read(2, room), ahead()), (Some((2, true)), 2, Some((4, false))));
        log.read_on(&index).unwrap();
        assert_eq!(read(4, room - 1), 1, "another room is read anew");
        log.read_on(&index).unwrap();
        assert_eq!(read(0, room), 2, "and another offset");
        assert_eq!(read(4, room), 2);
        log.read_on(&index).unwrap();
        assert_eq!(
            (ahead(), read(6, room), ahead()),
            (Some((6, false)), 0, None),
            "nothing is there, and nothing is expected"
        );
        drop(log);
        wait_until_closed(Duration::from_secs(30));
    }
}
