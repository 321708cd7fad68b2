//! Named background tasks that end together. The one place that spawns.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::panics;

/// How long a task that panicked waits before it is started anew; each time twice as long, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// After so long without a panic a task counts as sound again.
const SOUND_AFTER: Duration = Duration::from_secs(60);

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

    /// Keeps a task of the node running until it ends by itself or the set is shut down: one that panics is started anew, after a pause that grows. For loops
    /// that run as long as the node, which keep nothing between two rounds that is lost with them, or find it again.
    pub fn supervise<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        start: impl FnMut() -> F + Send + 'static,
    ) {
        self.supervise_on(&Handle::current(), name, start);
    }

    /// Like [`supervise`](Self::supervise), on another runtime than the caller's.
    pub fn supervise_on<F: Future<Output = ()> + Send + 'static>(
        &self,
        runtime: &Handle,
        name: &'static str,
        start: impl FnMut() -> F + Send + 'static,
    ) {
        panics::supervised(name);
        self.spawn_on(runtime, name, keep_running(name, start));
    }

    /// Runs `task` until it ends by itself; shutting down waits for it.
    pub fn spawn_to_end(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.watched(&Handle::current(), name, task);
    }

    fn watched(&self, runtime: &Handle, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.tracker.spawn_on(task, runtime);
        runtime.spawn(async move {
            if let Err(error) = running.await
                && let Ok(panic) = error.try_into_panic()
            {
                let panic = panics::note(name, &*panic);
                tracing::error!(task = name, %panic, "a background task has ended");
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

async fn keep_running<F: Future<Output = ()>>(name: &'static str, mut start: impl FnMut() -> F) {
    let mut pause = PAUSE.0;
    loop {
        let began = Instant::now();
        let Err(panic) = panics::catch_async(name, async { start().await }).await else { return };
        if began.elapsed() >= SOUND_AFTER {
            pause = PAUSE.0;
        }
        tracing::error!(task = name, %panic, ?pause, "a background task is started anew after a pause");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
        panics::restarted(name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::panics::TaskStats;

    fn stats(name: &str) -> TaskStats {
        panics::stats().into_iter().find(|stats| stats.name == name).expect("a supervised task is shown")
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_twice_runs_on() {
        let (tasks, began) = (Tasks::new(), Instant::now());
        let (runs, works) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let (counted, told) = (Arc::clone(&runs), Arc::clone(&works));
        tasks.supervise("panics twice", move || {
            let (runs, works) = (Arc::clone(&counted), Arc::clone(&told));
            async move {
                assert!(runs.fetch_add(1, Ordering::SeqCst) >= 2, "told to");
                works.notify_one();
                std::future::pending().await
            }
        });
        works.notified().await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert!((PAUSE.0 * 3..PAUSE.0 * 4).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!(stats("panics twice"), TaskStats { name: "panics twice", panics: 2, restarts: 2 });
        tasks.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_bound_and_are_short_again_for_a_task_that_was_sound() {
        let tasks = Tasks::new();
        tasks.supervise("panics always", || async { panic!("told to") });
        sleep(Duration::from_secs(600)).await;
        let restarts = stats("panics always").restarts;
        assert!((20..40).contains(&restarts), "{restarts} in ten minutes");
        tasks.supervise("panics seldom", || async {
            sleep(SOUND_AFTER).await;
            panic!("told to")
        });
        sleep((SOUND_AFTER + PAUSE.0) * 20 + PAUSE.0).await;
        assert_eq!(stats("panics seldom").restarts, 20);
        tasks.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_has_ended() {
        let (tasks, runs) = (Tasks::new(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&runs);
        tasks.supervise("ends", move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        });
        tasks.finished().await;
        assert_eq!((runs.load(Ordering::SeqCst), stats("ends").restarts), (1, 0));
    }
}
