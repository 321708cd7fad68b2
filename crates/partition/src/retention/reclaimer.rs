//! Gives the space of what was removed back to the disk, in the background and at its pace.
//!
//! To give space back costs reading and writing: keys at least, and records where what was removed lay among others. So what is removed within a while is
//! given back together; little of much waits for more; and all that takes no more than a tenth of the time.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{Engine, LogSpace, StorageError};
use caudal_types::off_thread;
use tokio::time::{Instant, sleep, timeout};

use crate::retention::Chores;
use crate::retention::chores::Freed;

/// What is removed within this time is given back together.
const SETTLE: Duration = Duration::from_secs(10);
/// How long little of much waits for more.
const PATIENCE: Duration = Duration::from_secs(600);
/// Little is less than this part of all.
const LITTLE: u64 = 64;
/// How many times as long as the last one took a reclamation waits.
const REST: u32 = 9;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(1800);

/// The node's one task for it.
#[derive(Debug)]
pub(crate) struct Reclaimer {
    pub(crate) chores: Arc<Chores>,
    pub(crate) engine: Arc<dyn Engine>,
}

impl Reclaimer {
    /// Gives space back for ever.
    pub(crate) async fn run(self) {
        loop {
            self.chores.something_gone().await;
            let since = Instant::now();
            sleep(SETTLE).await;
            while !self.is_worth_it(since.elapsed()).await {
                // More may come meanwhile.
                let _more = timeout(PATIENCE.saturating_sub(since.elapsed()), self.chores.something_gone()).await;
            }
            let freed = self.chores.take_freed();
            let began = Instant::now();
            match self.at_the_disk(|engine| engine.reclaim()).await {
                Ok(left) => tracing::info!(
                    removed = freed.bytes,
                    took = ?began.elapsed(),
                    bytes = left.bytes,
                    garbage = left.garbage_bytes,
                    "the space of removed records was given back"
                ),
                Err(error) => {
                    tracing::warn!(%error, "the space of removed records could not be given back; it will be with the next")
                }
            }
            sleep((began.elapsed() * REST).min(REST_MAX)).await;
        }
    }

    async fn is_worth_it(&self, waited: Duration) -> bool {
        let freed = self.chores.freed();
        let space = self.at_the_disk(|engine| engine.log_space()).await.unwrap_or_default();
        is_worth_it(freed, space, waited)
    }

    async fn at_the_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Engine) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let engine = Arc::clone(&self.engine);
        let done = off_thread::run(move || work(engine.as_ref())).await;
        done.unwrap_or_else(|error| Err(StorageError::Io(error.to_string())))
    }
}

/// Whether to give space back now, when the first of it was removed a while ago.
fn is_worth_it(freed: Freed, space: LogSpace, waited: Duration) -> bool {
    freed.replicas || waited >= PATIENCE || freed.bytes >= space.bytes / LITTLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_of_much_waits_for_more() {
        let space = LogSpace { bytes: 6400, garbage_bytes: 0 };
        let freed = |bytes| Freed { bytes, replicas: false };
        assert!(!is_worth_it(freed(99), space, SETTLE));
        assert!(is_worth_it(freed(100), space, SETTLE));
        assert!(is_worth_it(freed(1), space, PATIENCE));
        assert!(is_worth_it(Freed { bytes: 0, replicas: true }, space, SETTLE), "a topic was deleted");
        assert!(is_worth_it(freed(1), LogSpace::default(), SETTLE));
    }
}
