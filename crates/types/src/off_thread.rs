//! Work that waits for the disk, off the async threads.

use std::cell::Cell;

use tokio::task::{JoinHandle, spawn_blocking};

/// Work that has begun.
#[derive(Debug)]
pub enum Working<T> {
    /// On a thread of its own.
    There(JoinHandle<T>),
    /// Done already, by the thread that asked for it.
    Done(T),
}

/// The work panicked, or its runtime ended.
#[derive(Debug, thiserror::Error)]
#[error("it broke off: {0}")]
pub struct BrokenOff(String);

impl<T> Working<T> {
    /// What came of the work.
    ///
    /// # Errors
    /// When it panicked or its runtime ended.
    pub async fn end(self) -> Result<T, BrokenOff> {
        match self {
            Self::There(thread) => thread.await.map_err(|error| BrokenOff(error.to_string())),
            Self::Done(result) => Ok(result),
        }
    }
}

/// Runs `work` where it may block, and waits for it.
///
/// # Errors
/// When it panicked or the runtime ended.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BrokenOff> {
    let working = if is_here() { Working::Done(work()) } else { Working::There(spawn_blocking(work)) };
    working.end().await
}

/// From now on what this thread would have others do it does itself: nothing in its process blocks, and nothing may depend on how
/// threads take turns. For simulations.
pub fn stay_here() {
    HERE.set(true);
}

/// Whether this thread does such work itself.
pub fn is_here() -> bool {
    HERE.get()
}

thread_local! {
    static HERE: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_unless_this_thread_does_all_itself() {
        let here = thread::current().id();
        let place = || thread::current().id();
        assert_ne!(run(place).await.unwrap(), here);
        assert!(run(|| panic!("told to")).await.is_err());
        stay_here();
        assert_eq!(run(place).await.unwrap(), here);
    }
}
