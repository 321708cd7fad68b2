//! The thread that the control connections live on.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A thread with a runtime of its own, for what tells whether nodes live. On the threads that carry records, a ping waits behind them: a node
/// that is merely busy would be taken for dead, its leaderships would move, and everybody would be busier still. Nothing here may block or
/// compute for long.
#[derive(Debug)]
pub(crate) struct Pulse {
    handle: Handle,
    _stop: Option<DropGuard>,
}

impl Pulse {
    /// Starts the thread. It ends when the pulse is dropped, with whatever still runs on it.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        thread::Builder::new().name("pulse".to_owned()).spawn(move || runtime.block_on(stopped.cancelled()))?;
        Ok(Self { handle, _stop: Some(stop.drop_guard()) })
    }

    /// No thread, but the caller's runtime: a simulation has one thread, and its time does not pass while that is busy.
    pub(crate) fn here() -> Self {
        Self { handle: Handle::current(), _stop: None }
    }

    /// Where to run what belongs on the thread.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}
