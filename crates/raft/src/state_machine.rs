//! What a Raft group's commands do.

use bytes::Bytes;
use caudal_storage::{StorageError, WriteBatch};

/// A committed command.
#[derive(Clone, Debug)]
pub struct CommittedEntry {
    /// Its index in the Raft log.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: u64,
    /// The command. Empty for Raft's own entries (blank, membership), which are shown to the state machine too, so
    /// that it sees every change of term; `command` tells them apart.
    pub payload: Bytes,
    /// Whether it is a command, and not one of Raft's own entries.
    pub command: bool,
}

/// What a snapshot holds.
#[derive(Clone, Debug)]
pub struct SnapshotContent {
    /// The Raft log index up to which it speaks. At most what is applied; a table answers with what is applied, a partition with
    /// its newest checkpoint that may replace the log before it.
    pub index: u64,
    /// The state machine's own bytes.
    pub data: Bytes,
}

/// Why a command could not be applied. It stops the replica: applying is deterministic, so that only a broken disk or a bug comes here.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A command that cannot be decoded.
    #[error("command at index {index} cannot be decoded: {reason}")]
    Undecodable {
        /// Where.
        index: u64,
        /// Why.
        reason: String,
    },
}

/// A state machine: a pure function of the rows and the commands, the same on every replica. Synchronous; it is called by one
/// thread at a time.
///
/// The rows it writes to `batch` and the applied index are stored together, unsynced: after a crash some of the newest
/// commands are applied again from the log. In-memory state must therefore be rebuilt from the rows when the replica opens.
pub trait StateMachine: Send + 'static {
    /// Applies `entries` in order: adds row changes to `batch`, and returns one reply per entry (empty for Raft's own). The reply goes
    /// to whoever proposed the command, on the node that proposed it.
    ///
    /// # Errors
    /// See [`ApplyError`]; the replica stops.
    fn apply(&mut self, entries: &[CommittedEntry], batch: &mut WriteBatch) -> Result<Vec<Bytes>, ApplyError>;

    /// Called when the rows of the last [`apply`](Self::apply) can be read, before proposers are answered: the moment to publish what
    /// readers wait for.
    fn applied(&mut self) {}

    /// What a replica needs that has lost (or never had) the log up to the returned index.
    ///
    /// # Errors
    /// When the disk refuses.
    fn snapshot(&mut self) -> Result<SnapshotContent, ApplyError>;

    /// Replaces all state with a snapshot's: adds the row changes (also removals of old rows) to `batch`.
    ///
    /// # Errors
    /// When the snapshot cannot be decoded.
    fn install(&mut self, snapshot: &SnapshotContent, batch: &mut WriteBatch) -> Result<(), ApplyError>;
}
