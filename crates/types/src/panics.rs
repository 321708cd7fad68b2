//! Panics of background work: caught, so that what goes on beside it goes on, and counted, so that somebody learns of them.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

/// What a panic said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it panicked: {0}")]
pub struct Panicked(String);

/// How tasks of a name have fared in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskStats {
    /// The tasks' name.
    pub name: &'static str,
    /// How often they, or a part of their work, have panicked.
    pub panics: u64,
    /// How often they were started anew for it.
    pub restarts: u64,
}

/// By name, and bounded by the names that the program has.
static STATS: Mutex<BTreeMap<&'static str, TaskStats>> = Mutex::new(BTreeMap::new());

/// All tasks that are supervised or have panicked, by name.
pub fn stats() -> Vec<TaskStats> {
    STATS.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
}

/// Does `work` for the task `name`. A panic is counted and answered; what it left half done in memory that others share must bear it.
///
/// # Errors
/// When it panicked.
pub fn catch<T>(name: &'static str, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| note(name, &*panic))
}

/// Like [`catch`], for work that waits.
///
/// # Errors
/// When it panicked.
pub async fn catch_async<T>(name: &'static str, work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match catch(name, || work.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// Counts a panic of the task `name`.
pub(crate) fn note(name: &'static str, panic: &(dyn Any + Send)) -> Panicked {
    change(name, |stats| stats.panics += 1);
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Panicked(text.unwrap_or_else(|| "without a word".to_owned()))
}

/// The task `name` is supervised: it is shown from now on, so that its first panic is seen as a change.
pub(crate) fn supervised(name: &'static str) {
    change(name, |_| {});
}

/// The task `name` is started anew.
pub(crate) fn restarted(name: &'static str) {
    change(name, |stats| stats.restarts += 1);
}

fn change(name: &'static str, change: impl FnOnce(&mut TaskStats)) {
    let mut all = STATS.lock().unwrap_or_else(PoisonError::into_inner);
    change(all.entry(name).or_insert(TaskStats { name, ..TaskStats::default() }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<TaskStats> {
        stats().into_iter().find(|stats| stats.name == name)
    }

    #[test]
    fn a_panic_is_an_error_and_counted() {
        assert_eq!(catch("calm", || 1), Ok(1));
        assert_eq!(of("calm"), None);
        let told: Result<(), _> = catch("nervous", || panic!("told to"));
        let formatted: Result<(), _> = catch("nervous", || panic!("told {} times", 2));
        let dumb: Result<(), _> = catch("nervous", || std::panic::panic_any(7));
        let texts = [told, formatted, dumb].map(|caught| caught.unwrap_err().to_string());
        assert_eq!(texts, ["told to", "told 2 times", "without a word"].map(|text| format!("it panicked: {text}")));
        assert_eq!(of("nervous"), Some(TaskStats { name: "nervous", panics: 3, restarts: 0 }));
    }

    #[tokio::test]
    async fn work_that_waits_may_panic_before_and_after() {
        let work = |at: usize| async move {
            for step in 0..2 {
                assert_ne!(step, at, "told to");
                tokio::task::yield_now().await;
            }
            at
        };
        assert_eq!(catch_async("steps", work(2)).await, Ok(2));
        assert!(catch_async("steps", work(0)).await.is_err());
        assert!(catch_async("steps", work(1)).await.is_err());
        assert_eq!(of("steps").map(|stats| stats.panics), Some(2));
    }
}
