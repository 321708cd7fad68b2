//! What can go wrong on the disk.

/// An error of the storage. It is cheap to clone, since one failed sync answers many appends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk refused a read or a write.
    #[error("storage I/O failed: {0}")]
    Io(String),
    /// Stored bytes are not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The store failed before and is read-only since; the first reason is kept.
    #[error("the store is read-only since: {0}")]
    ReadOnly(String),
    /// The data directory cannot be used by this node or this version.
    #[error("{0}")]
    WrongDirectory(String),
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
}

impl From<StorageError> for std::io::Error {
    fn from(error: StorageError) -> Self {
        Self::other(error)
    }
}
