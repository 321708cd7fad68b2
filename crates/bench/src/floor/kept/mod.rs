//! What is produced, kept once and without a sync, so that consumers are given what they would be given by a broker.
//!
//! Nothing else that a broker does for a reader is done here: where batches lie is known in memory, no checksum is looked at but RocksDB's own,
//! and they go to the socket from where they were read to.
//!
//! # Layout
//! - `index`: where each batch lies
//! - `files`: a plain file per partition
//! - `stores`: a RocksDB per node, with an entry per batch

mod files;
mod index;
mod stores;

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::Bytes;
use caudal_storage::{RocksEngine, StorageError};
use caudal_types::RaftGroupId;
use parking_lot::RwLock;

use self::files::FileLog;
use self::index::Index;
use self::stores::StoreLog;
use super::batches;

/// Where all partitions' batches are kept.
#[derive(Debug)]
pub(super) struct Kept {
    place: Place,
    /// How many partitions have been given one.
    logs: AtomicU64,
}

#[derive(Debug)]
enum Place {
    Files(PathBuf),
    Stores(Vec<Arc<RocksEngine>>),
}

impl Kept {
    /// In plain files.
    pub(super) fn in_files(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot keep files in {}", folder.display()))?;
        Ok(Self { place: Place::Files(folder.to_owned()), logs: AtomicU64::new(0) })
    }

    /// In a store of each of so many nodes, which has what the node leads.
    pub(super) fn in_stores(folder: &Path, nodes: usize) -> anyhow::Result<Self> {
        let stores =
            (1..=nodes).map(|n| super::stores::open(folder, n).map(Arc::new)).collect::<Result<_, StorageError>>();
        let stores = stores.with_context(|| format!("cannot keep stores in {}", folder.display()))?;
        Ok(Self { place: Place::Stores(stores), logs: AtomicU64::new(0) })
    }

    /// An empty log for a partition that this node leads (numbers begin at 1).
    pub(super) fn log(&self, node: i32) -> Log {
        let number = self.logs.fetch_add(1, Ordering::Relaxed) + 1;
        let storage = match &self.place {
            Place::Files(folder) => {
                let file = FileLog::create(&folder.join(format!("partition-{number}")));
                Storage::File(or_end("make a partition's file", file.map_err(Into::into)))
            }
            Place::Stores(stores) => {
                let store = &stores[(node - 1) as usize % stores.len()];
                Storage::Store(StoreLog::new(Arc::clone(store), RaftGroupId(number)))
            }
        };
        Log { index: RwLock::new(Index::default()), storage }
    }
}

/// A partition's batches.
#[derive(Debug)]
pub(super) struct Log {
    /// As long as there are batches: what is sent to a measuring instrument has an end.
    index: RwLock<Index>,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    File(FileLog),
    Store(StoreLog),
}

impl Log {
    /// Keeps some batches; the offset of the first record.
    pub(super) fn append(&self, batches: &[u8]) -> i64 {
        let mut index = self.index.write();
        let first = index.end();
        for batch in batches::whole(batches) {
            let entry = index.next_entry(batch.len());
            let outcome: anyhow::Result<()> = match &self.storage {
                Storage::File(file) => file.append(&entry, batch).map_err(Into::into),
                Storage::Store(store) => store.append(&entry, batch).map_err(Into::into),
            };
            or_end("keep a batch", outcome);
            index.push(entry, batches::records(batch));
        }
        first
    }

    /// The offset of the next record.
    pub(super) fn end(&self) -> i64 {
        self.index.read().end()
    }

    /// The batches from the one with `offset` on, as many as fit into `room` bytes; one at least, if there is any and any room.
    pub(super) fn read(&self, offset: i64, room: usize) -> anyhow::Result<Vec<Bytes>> {
        match &self.storage {
            Storage::File(file) => {
                let found = self.index.read().find(offset, room);
                Ok(file.read(&found.entries)?)
            }
            Storage::Store(store) => Ok(store.read(&self.index, offset, room)?),
        }
    }

    /// Reads what the last reader will ask for next, while it is busy with what it has, so that it need not wait for the disk then. Files are in the
    /// page cache.
    pub(super) fn read_on(&self) -> anyhow::Result<()> {
        match &self.storage {
            Storage::File(_) => Ok(()),
            Storage::Store(store) => Ok(store.read_on(&self.index)?),
        }
    }
}

/// Ends the process when something fails without which it measures nothing.
fn or_end<T>(what: &str, outcome: anyhow::Result<T>) -> T {
    outcome.unwrap_or_else(|error| {
        eprintln!("cannot {what}: {error:#}");
        process::exit(1)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use caudal_storage::wait_until_closed;

    use super::*;
    use crate::floor::batches::{at, example};

    /// Batches of two sizes come back byte for byte, with their offsets, and no more of them than there is room for.
    fn come_back(kept: &Kept) {
        let (log, other) = (kept.log(1), kept.log(1));
        let batches: Vec<_> = (0..20_u8).map(|n| example(3, &vec![n; if n % 2 == 0 { 20 } else { 5000 }])).collect();
        assert_eq!(log.append(&batches[0]), 0);
        other.append(&example(9, b"another partition's"));
        for two in batches[1..19].chunks(2) {
            log.append(&two.concat());
        }
        assert_eq!((log.append(&batches[19]), log.end()), (57, 60), "two batches of a request are two here");
        let given: Vec<_> = batches.into_iter().zip(0..).map(|(batch, n)| at(3 * n, batch)).collect();
        let read = |offset, room| log.read(offset, room).unwrap().concat();

        assert_eq!(read(0, usize::MAX), given.concat());
        assert_eq!(read(0, usize::MAX), given.concat(), "as often as they are wanted");
        assert_eq!(read(51, usize::MAX), given[17..].concat());
        assert_eq!(read(52, usize::MAX), given[17..].concat(), "whole batches");
        let length = |range: std::ops::Range<usize>| given[range].concat().len();
        assert_eq!(read(6, length(2..5)), given[2..5].concat());
        assert_eq!(read(6, length(2..5) - 1), given[2..4].concat());
        assert_eq!(read(9, 1), given[3], "one at least");
        assert!(read(9, 0).is_empty());
        assert!(read(60, 1000).is_empty());
        assert_eq!(other.read(0, 1000).unwrap().concat(), at(0, example(9, b"another partition's")));
    }

    /// A reader that takes one piece after the other, and reads on meanwhile, misses nothing, nor what comes while it waits at the end.
    fn follow(kept: &Kept) {
        let log = kept.log(2);
        let mut wanted = Vec::new();
        let mut got = Vec::new();
        let mut offset = 0;
        for round in 0..3_u8 {
            for n in 0..10_u8 {
                let batch = example(2, &[10 * round + n; 3000]);
                wanted.extend(at(log.append(&batch), batch));
            }
            while offset < log.end() {
                let read = log.read(offset, 10_000).unwrap().concat();
                assert!(!read.is_empty() && read.len() <= 10_000);
                offset += batches::records(&read);
                got.extend(read);
                log.read_on().unwrap();
            }
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn batches_come_back_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::in_files(folder.path()).unwrap();
        come_back(&kept);
        follow(&kept);
    }

    #[test]
    fn batches_come_back_from_stores() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::in_stores(folder.path(), 3).unwrap();
        come_back(&kept);
        follow(&kept);
        drop(kept);
        wait_until_closed(Duration::from_secs(30));
    }
}
