//! Blocking reads, off the async threads and bounded over all partitions of the node.

use std::sync::Arc;

use caudal_storage::StorageError;
use caudal_types::limits::PARTITION_COLD_READS;
use tokio::sync::Semaphore;

/// Lets so many reads be at the disk at once; a cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct DiskReads(Arc<Semaphore>);

impl Default for DiskReads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PARTITION_COLD_READS)))
    }
}

impl DiskReads {
    /// Runs `read` on the blocking pool, once it is its turn. The turn lasts until the read has ended, also when its caller has gone.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|_| StorageError::Closed)?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read()
        });
        done.await.unwrap_or_else(|error| Err(StorageError::Io(format!("a read did not end: {error}"))))
    }
}
