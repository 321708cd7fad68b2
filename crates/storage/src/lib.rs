//! Bytes on disk. The only crate that names RocksDB; it knows nothing of Kafka and nothing of Raft but the shape of a log.
//!
//! # Layout
//! - [`engine`]: the narrow seam (get, scan, write): [`RocksEngine`] for the disk, [`MemEngine`] for tests, which
//!   loses what was not synced when it is crashed
//! - [`batch`]: the writes that belong together
//! - [`keys`]: one file per kind of key, encoders and decoders beside each other
//! - [`directory`]: whose the data directory is, and that only one process uses it
//! - [`write_behind`]: rows that can be made again from the log go to the disk behind it
//! - [`log_writer`]: group commit over all Raft groups of the node
//! - [`space`]: how much space the disk has left, and what that allows

pub mod batch;
pub mod directory;
pub mod engine;
pub mod error;
pub mod keys;
pub mod log_writer;
pub mod mem;
pub mod rocks;
pub mod space;
pub mod write_behind;

pub use batch::{WriteBatch, WriteOp};
pub use directory::DataDirectory;
pub use engine::{ColumnFamily, Durability, Engine, LogSpace, ScanLimit};
pub use error::StorageError;
pub use log_writer::{Completion, LogWriter, LogWriterStats, PacedDisk, StoreState};
pub use mem::MemEngine;
pub use rocks::{RocksEngine, RocksOptions, wait_until_closed, wal};
pub use space::{DiskSpace, FilesystemSize};
pub use write_behind::WriteBehind;
