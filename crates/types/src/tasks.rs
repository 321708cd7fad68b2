//! Named background tasks that end together. The one place that spawns.

use std::future::Future;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A set of tasks: a component's, cancelled and awaited together. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the set is shut down; long-running tasks watch it, or use [`spawn`](Self::spawn), which does it for them.
    pub fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Runs `task` until it ends or the set is shut down, then drops it. A panic is logged under `name`, and ends only this task.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&Handle::current(), name, task);
    }

    /// Like [`spawn`](Self::spawn), on another runtime than the caller's.
    pub fn spawn_on(&self, runtime: &Handle, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        let task = async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = task => {}
            }
        };
        self.watched(runtime, name, task);
    }

    /// Runs `task` until it ends by itself; shutting down waits for it.
    pub fn spawn_to_end(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.watched(&Handle::current(), name, task);
    }

    fn watched(&self, runtime: &Handle, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.tracker.spawn_on(task, runtime);
        runtime.spawn(async move {
            if let Err(error) = running.await
                && error.is_panic()
            {
                tracing::error!(task = name, %error, "a background task panicked");
            }
        });
    }

    /// Waits until all tasks have ended by themselves; none may be added any more.
    pub async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Cancels all tasks and waits until they have ended.
    pub async fn shutdown(&self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
