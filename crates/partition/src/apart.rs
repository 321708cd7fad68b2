//! Each partition's share of the node's background work apart from the others': one that panics does not hold up the rest, now or after a restart.

use std::fmt::Display;
use std::future::Future;

use caudal_types::panics::{self, Panicked};

/// Does a partition's share of the work of `task`. `None` when it panicked, which is logged and counted.
pub(crate) fn apart<T>(task: &'static str, partition: impl Display, share: impl FnOnce() -> T) -> Option<T> {
    panics::catch(task, share).inspect_err(|panic| tell(task, partition, panic)).ok()
}

/// Like [`apart`], for work that waits.
pub(crate) async fn apart_async<T>(
    task: &'static str,
    partition: impl Display,
    share: impl Future<Output = T>,
) -> Option<T> {
    panics::catch_async(task, share).await.inspect_err(|panic| tell(task, partition, panic)).ok()
}

fn tell(task: &'static str, partition: impl Display, panic: &Panicked) {
    tracing::error!(task, %partition, %panic, "a partition's share of background work was not done; the others' is");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_panics_is_left_out() {
        let share = |number: i32| {
            assert_ne!(number, 2, "told to");
            number
        };
        let done: Vec<_> = (1..4).filter_map(|number| apart("shares", number, || share(number))).collect();
        assert_eq!(done, [1, 3]);
        assert_eq!(apart_async("shares", 1, async { share(1) }).await, Some(1));
        assert_eq!(apart_async("shares", 2, async { share(2) }).await, None);
    }
}
