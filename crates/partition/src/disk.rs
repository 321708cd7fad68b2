//! Blocking reads, off the async threads and bounded over all partitions of the node.

use std::fmt;
use std::sync::Arc;

use caudal_storage::StorageError;
use caudal_types::limits::PARTITION_COLD_READS;
use caudal_types::off_thread::{self, Working};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets so many reads be at the disk at once, on threads that give way to all others of the node: who drains a backlog takes what the machine
/// has to spare, and who produces does not wait for it. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct DiskReads(Arc<Inner>);

struct Inner {
    turns: Arc<Semaphore>,
    /// Only its blocking pool is used. There until it is dropped.
    threads: Option<Runtime>,
}

impl DiskReads {
    /// Starts no thread before there is something to read.
    ///
    /// # Errors
    /// When the system has no more file descriptors.
    pub(crate) fn new() -> Result<Self, StorageError> {
        Self::with("cold-read", PARTITION_COLD_READS)
    }

    /// The same with so many threads of this name.
    ///
    /// # Errors
    /// When the system has no more file descriptors.
    pub(crate) fn with(name: &str, threads: usize) -> Result<Self, StorageError> {
        let turns = Arc::new(Semaphore::new(threads));
        let threads = Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_name(name)
            .on_thread_start(give_way)
            .build()
            .map_err(|error| StorageError::Io(format!("no threads that read: {error}")))?;
        Ok(Self(Arc::new(Inner { turns, threads: Some(threads) })))
    }

    /// Runs `read` once it is its turn. The turn lasts until the read has ended, also when its caller has gone.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.map_err(|_| StorageError::Closed)?;
        self.begin(turn, read).ok_or(StorageError::Closed)?.end().await
    }

    /// Begins to `read`, if it can be its turn at once.
    pub(crate) fn try_begin<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Option<Reading<T>> {
        let turn = Arc::clone(&self.0.turns).try_acquire_owned().ok()?;
        self.begin(turn, read)
    }

    fn begin<T: Send + 'static>(
        &self,
        turn: OwnedSemaphorePermit,
        read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Option<Reading<T>> {
        if off_thread::is_here() {
            return Some(Reading(Working::Done(read())));
        }
        let threads = self.0.threads.as_ref()?;
        Some(Reading(Working::There(threads.spawn_blocking(move || {
            let _turn = turn;
            read()
        }))))
    }
}

/// A read that has begun.
#[derive(Debug)]
pub(crate) struct Reading<T>(Working<Result<T, StorageError>>);

impl<T> Reading<T> {
    /// What was read.
    pub(crate) async fn end(self) -> Result<T, StorageError> {
        self.0.end().await.unwrap_or_else(|error| Err(StorageError::Io(format!("a read did not end: {error}"))))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskReads").field("free", &self.turns.available_permits()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A runtime that is simply dropped waits for its threads, which async code must not.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// On Linux a thread has a priority of its own, and any may lower it.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = lower_priority(rustix::thread::gettid()) {
        tracing::warn!(%error, "a thread that reads in the background does not give way to others");
    }
}

#[cfg(target_os = "linux")]
fn lower_priority(thread: rustix::thread::Pid) -> rustix::io::Result<()> {
    use rustix::process::{getpriority_process, setpriority_process};
    setpriority_process(Some(thread), getpriority_process(Some(thread))? + NICENESS)
}

/// A third of the time that a thread gets which does not give way, where there is not enough for all.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn reads_give_way_to_others() {
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let reads = DiskReads::new().unwrap();
        assert_eq!(reads.run(move || Ok(niceness())).await.unwrap(), niceness().map(|own| (own + NICENESS).min(19)));
    }

    #[tokio::test]
    async fn a_read_that_panics_is_an_error_and_leaves_its_turn() {
        let reads = DiskReads::new().unwrap();
        for _ in 0..2 * PARTITION_COLD_READS {
            let failed: Result<(), _> = reads.run(|| panic!("damaged")).await;
            assert!(matches!(failed, Err(StorageError::Io(text)) if text.contains("did not end")));
        }
        assert_eq!(reads.run(|| Ok(1)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_read_that_may_be_left_out_begins_only_when_it_is_its_turn() {
        let reads = DiskReads::new().unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let waiting = || Arc::clone(&wait);
        let begin = |wait: Arc<std::sync::Mutex<_>>| {
            reads.try_begin(move || {
                let _ = std::sync::mpsc::Receiver::recv(&wait.lock().unwrap());
                Ok(())
            })
        };
        let begun: Vec<_> = (0..PARTITION_COLD_READS).map_while(|_| begin(waiting())).collect();
        assert_eq!(begun.len(), PARTITION_COLD_READS);
        assert!(begin(waiting()).is_none());
        drop(go);
        for reading in begun {
            reading.end().await.unwrap();
        }
        begin(waiting()).unwrap().end().await.unwrap();
    }
}
