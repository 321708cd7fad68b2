//! The narrow seam between Caudal and what stores its bytes.

use std::fmt::Debug;
use std::ops::Range;

use bytes::Bytes;

use crate::{StorageError, WriteBatch};

/// The kinds of data. One column family each, never one per partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnFamily {
    /// Raft log entries: by Raft group and index.
    Log,
    /// Each Raft group's vote, commit index, purge point and snapshot pointer.
    Raft,
    /// Batches of partitions: by Raft group and base offset.
    Index,
    /// Rows of the tables and the partitions' checkpoints and producers.
    State,
}

impl ColumnFamily {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Log, Self::Raft, Self::Index, Self::State];

    /// The name on disk; persisted, keep stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Raft => "raft",
            Self::Index => "index",
            Self::State => "state",
        }
    }
}

/// How safe a write is when the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut.
    Synced,
    /// It survives the end of the process, however that ends, and not a power cut: the operating system has it. A power cut takes the newest of such
    /// writes, never one from before another that it leaves; the next synced write takes all of them along.
    Written,
    /// It may vanish with the process or the machine, and all buffered writes after it; some later synced write takes it along.
    Buffered,
}

/// Where a scan ends early.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimit {
    /// The most rows.
    pub rows: usize,
    /// The scan stops behind the row that brings keys and values to this many bytes.
    pub bytes: usize,
}

impl ScanLimit {
    /// No limit but the range's end.
    pub const NONE: Self = Self { rows: usize::MAX, bytes: usize::MAX };

    /// At most `rows` rows.
    pub fn rows(rows: usize) -> Self {
        Self { rows, ..Self::NONE }
    }

    /// Whether a scan that has these rows and bytes ends.
    pub(crate) fn reached(self, rows: usize, bytes: usize) -> bool {
        rows >= self.rows || (rows > 0 && bytes >= self.bytes)
    }
}

/// What the large values of the log take on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogSpace {
    /// Bytes of all their files.
    pub bytes: u64,
    /// Bytes in them that belong to deleted entries and are known to; what was deleted lately becomes known by
    /// [`Engine::reclaim`].
    pub garbage_bytes: u64,
}

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// An ordered map of bytes per [`ColumnFamily`], with atomic batches. Reads see all writes that have returned. Calls
/// block; a read that may touch the disk belongs off the async threads. A range whose start is not below its end is empty.
pub trait Engine: Debug + Send + Sync + 'static {
    /// The value under `key`.
    ///
    /// # Errors
    /// When the disk refuses or the bytes are damaged.
    fn get(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// The values under `keys`, which ascend, in their order. What lies side by side on the disk is read in one go.
    ///
    /// # Errors
    /// When the disk refuses or the bytes of any are damaged.
    fn get_many(&self, cf: ColumnFamily, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError>;

    /// Rows with keys in `range`, ascending, up to `limit`.
    ///
    /// # Errors
    /// When the disk refuses or the bytes are damaged.
    fn scan(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError>;

    /// Rows with keys in `range`, descending, up to `limit`.
    ///
    /// # Errors
    /// When the disk refuses or the bytes are damaged.
    fn scan_back(&self, cf: ColumnFamily, range: Range<&[u8]>, limit: ScanLimit) -> Result<Vec<Row>, StorageError>;

    /// Writes `batch` whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses; then nothing was promised.
    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StorageError>;

    /// Makes durable whatever was [`Durability::Written`].
    ///
    /// # Errors
    /// When the disk refuses; then nothing that was written may be relied on.
    fn sync_written(&self) -> Result<(), StorageError> {
        self.write(WriteBatch::new(), Durability::Synced)
    }

    /// Names the run of the machine, from one power cut to the next: as long as it is the same, nothing that was [`Durability::Written`] is lost. An engine
    /// that cannot tell names another one each time that it is opened.
    fn boot(&self) -> u128;

    /// Removes files in which everything is deleted. Moves no large values, so that it needs next to no space. Blocks, for seconds where there are many
    /// entries. An engine without files has nothing to remove.
    ///
    /// # Errors
    /// When the disk refuses.
    fn remove_dead_files(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// What the log takes on the disk; nothing where there are no files.
    ///
    /// # Errors
    /// When the disk refuses.
    fn log_space(&self) -> Result<LogSpace, StorageError> {
        Ok(LogSpace::default())
    }

    /// Gives the space of deleted log entries back, and tells what the log takes then. First only keys are rewritten: files whose entries are all
    /// deleted go. While more than a quarter of what is left is garbage, the oldest files are rewritten without it, which needs space meanwhile.
    ///
    /// Blocks for as long as it takes, up to minutes, beside other reads and writes: to be called now and then, off the async threads. A second
    /// call while one runs waits for it.
    ///
    /// # Errors
    /// When the disk refuses; what was not given back is found by the next call.
    fn reclaim(&self) -> Result<LogSpace, StorageError> {
        self.log_space()
    }
}
