//! Three copies of every request in stores such as a node has: RocksDB behind a log writer, which syncs what waits with one write.
//!
//! Nothing else that a node does is done here. What the clients reach against it is what a system can reach on this disk that keeps its
//! log in RocksDB, however little the rest of it takes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io::Write, process};

use anyhow::Context;
use bytes::Bytes;
use caudal_storage::keys::log::{self, EntryKind, StoredEntry};
use caudal_storage::{ColumnFamily, LogWriter, RocksEngine, RocksOptions, StorageError, WriteBatch};
use caudal_types::RaftGroupId;
use futures::executor::block_on;

use super::answers::{Answers, Due, Ticket};

const COPIES: usize = 3;
/// All requests are entries of one log.
const GROUP: RaftGroupId = RaftGroupId(1);

/// The three stores.
#[derive(Debug)]
pub(super) struct Stores {
    writers: Vec<LogWriter>,
    entries: AtomicU64,
}

impl Stores {
    /// Makes three empty stores.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { writers: writers(folder, COPIES)?, entries: AtomicU64::new(0) })
    }

    /// Hands a request to all stores; its answer leaves once a majority has synced it. Waits while a writer's queue is full.
    pub(super) fn store<W>(&self, request: &Bytes, ticket: &Arc<Ticket>, answers: &Arc<Answers<W>>)
    where
        W: Write + Send + 'static,
    {
        let index = self.entries.fetch_add(1, Ordering::Relaxed);
        let (key, head) = around(GROUP, index, request);
        for writer in &self.writers {
            let mut batch = WriteBatch::new();
            batch.put_parts(ColumnFamily::Log, key.clone(), head.clone(), request.clone());
            let due = Due::new(ticket, answers);
            append(writer, batch, move || Due::settle([due]));
        }
    }
}

/// Makes `count` empty stores, each behind a log writer.
pub(super) fn writers(folder: &Path, count: usize) -> anyhow::Result<Vec<LogWriter>> {
    let start = |n| Ok(LogWriter::start(Arc::new(open(folder, n)?)));
    let writers = (1..=count).map(start).collect::<Result<_, StorageError>>();
    writers.with_context(|| format!("cannot keep stores in {}", folder.display()))
}

/// Writes to a store, and does what is to be done once that is synced. Waits while the writer's queue is full; a store that fails ends the process.
pub(super) fn append(writer: &LogWriter, batch: WriteBatch, synced: impl FnOnce() + Send + 'static) {
    let done = move |outcome: Result<(), StorageError>| match outcome {
        Ok(()) => synced(),
        Err(error) => {
            eprintln!("a copy cannot be stored: {error}");
            process::exit(1);
        }
    };
    // A refusal reaches `done` as well.
    let _ = block_on(writer.append(batch, Box::new(done)));
}

/// Makes an empty store, set up as a node's.
pub(super) fn open(folder: &Path, number: usize) -> Result<RocksEngine, StorageError> {
    RocksEngine::open(&folder.join(format!("store-{number}")), &RocksOptions::default())
}

/// The key of an entry as a node's log has them, and what goes before the payload.
pub(super) fn around(group: RaftGroupId, index: u64, payload: &Bytes) -> (Bytes, Bytes) {
    let entry = StoredEntry { term: 1, kind: EntryKind::Normal, payload: payload.clone() };
    (log::key(group, index), log::encode_head(group, index, &entry))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use caudal_storage::wait_until_closed;

    use super::super::answers::testing::assert_answered_in_order;
    use super::*;

    #[test]
    fn answers_come_in_order_once_two_stores_have_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::open(folder.path()).unwrap();
        assert_answered_in_order(|request, ticket, answers| stores.store(request, ticket, answers));
        drop(stores);
        wait_until_closed(Duration::from_secs(30));
    }
}
