//! Gives the space of what was removed back to the disk, in the background and at its pace.
//!
//! To give space back costs reading and writing: keys at least, and records where what was removed lay among others. So what is removed within a while is
//! given back together; little of much waits for more, and so does all while logs are being compacted, which would compete for the disk and leave more to
//! be given back a moment later; and all that takes no more than a tenth of the time. Who deletes a topic waits for its space,
//! however: that is seen to at once, and may take half of the time.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{Engine, LogSpace, StorageError};
use caudal_types::off_thread;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::retention::Chores;
use crate::retention::chores::Freed;

/// What is removed within this time is given back together.
const SETTLE: Duration = Duration::from_secs(10);
/// How often it is seen to whether enough was removed, at most: log compaction tells of each part of a log.
const GLANCE: Duration = Duration::from_secs(1);
/// How long little of much waits for more, and all for log compaction to come to its end.
const PATIENCE: Duration = Duration::from_secs(600);
/// Little is less than this part of all.
const LITTLE: u64 = 64;
/// How many times as long as the last one took a reclamation waits, unless a topic is deleted.
const REST: u32 = 9;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(1800);

/// The node's one task for it.
#[derive(Clone, Debug)]
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
                sleep(GLANCE).await;
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
            self.rest(began.elapsed()).await;
        }
    }

    /// Rests after a reclamation that took so long. Once a replica goes meanwhile, the rest is no longer than that; and should even this be long, files that
    /// hold nothing any more are removed at once. Replicas that go together share the work, and no part of it follows another without a pause as long.
    async fn rest(&self, took: Duration) {
        let began = Instant::now();
        let mut end = began + took.saturating_mul(REST).min(REST_MAX);
        while timeout_at(end, self.chores.replica_gone()).await.is_ok() {
            end = began + took.min(REST_MAX);
            sleep(SETTLE).await;
            if Instant::now() >= end {
                return;
            }
            let removing = Instant::now();
            if let Err(error) = self.at_the_disk(|engine| engine.remove_dead_files()).await {
                tracing::warn!(%error, "the files of deleted topics could not be removed; they will be with the next reclamation");
            }
            sleep(removing.elapsed()).await;
        }
    }

    async fn is_worth_it(&self, waited: Duration) -> bool {
        let freed = self.chores.freed();
        let space = self.at_the_disk(|engine| engine.log_space()).await.unwrap_or_default();
        is_worth_it(freed, space, self.chores.is_compacting(), waited)
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
fn is_worth_it(freed: Freed, space: LogSpace, compacting: bool, waited: Duration) -> bool {
    freed.replicas || waited >= PATIENCE || (!compacting && freed.bytes >= space.bytes / LITTLE)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use caudal_storage::{ColumnFamily, Durability, MemEngine, RocksEngine, RocksOptions, WriteBatch};
    use tempfile::TempDir;

    use super::*;

    /// Longer than a reclamation usually takes.
    const LONG: Duration = Duration::from_secs(150);
    /// What comes upon the time that is told: the pauses until replicas that go together are gone.
    const SLACK: Duration = Duration::from_secs(15);

    fn reclaimer(engine: impl Engine) -> Reclaimer {
        Reclaimer { chores: Arc::default(), engine: Arc::new(engine) }
    }

    /// A database whose log has one replica's entries, deleted since they were written to files.
    fn with_a_deleted_log(folder: &TempDir) -> RocksEngine {
        let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap();
        let write = |fill: &dyn Fn(&mut WriteBatch)| {
            let mut batch = WriteBatch::new();
            fill(&mut batch);
            engine.write(batch, Durability::Buffered).unwrap();
        };
        for index in 0..50_u8 {
            write(&|batch| batch.put(ColumnFamily::Log, vec![1, index], vec![index; 20_000]));
        }
        engine.remove_dead_files().unwrap();
        assert!(engine.log_space().unwrap().bytes > 50 * 20_000, "its entries are in files");
        write(&|batch| batch.delete_range(ColumnFamily::Log, vec![1], vec![2]));
        engine
    }

    #[tokio::test(start_paused = true)]
    async fn it_rests_nine_times_as_long_as_it_worked_but_half_an_hour_at_most() {
        let reclaimer = reclaimer(MemEngine::new());
        for (took, rest) in [(10, 90), (150, 1350), (100_000, 1800)] {
            let began = Instant::now();
            reclaimer.chores.compacted(1 << 30);
            reclaimer.rest(Duration::from_secs(took)).await;
            assert_eq!(began.elapsed().as_secs(), rest, "after {took} s, whatever log compaction frees");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_topic_cuts_the_rest_short_and_its_own_files_go_at_once() {
        let folder = TempDir::new().unwrap();
        let reclaimer = reclaimer(with_a_deleted_log(&folder));
        let began = Instant::now();
        let mut rest = pin!(reclaimer.rest(LONG));
        assert!(timeout(Duration::from_secs(1), rest.as_mut()).await.is_err());
        reclaimer.chores.removed();
        assert!(timeout(SLACK, rest.as_mut()).await.is_err(), "it rests as long as it worked before");
        assert_eq!(reclaimer.engine.log_space().unwrap(), LogSpace::default());
        rest.await;
        assert!((LONG..LONG + SLACK).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(reclaimer.chores.freed().replicas, "the next reclamation knows of it");
    }

    #[tokio::test(start_paused = true)]
    async fn topics_deleted_all_the_time_do_not_let_it_work_all_the_time() {
        let reclaimer = reclaimer(MemEngine::new());
        let began = Instant::now();
        let mut rest = pin!(reclaimer.rest(LONG));
        loop {
            reclaimer.chores.removed();
            if timeout(Duration::from_secs(1), rest.as_mut()).await.is_ok() {
                break;
            }
        }
        assert!((LONG..LONG + SLACK).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[test]
    fn little_of_much_waits_for_more() {
        let space = LogSpace { bytes: 6400, garbage_bytes: 0 };
        let freed = |bytes| Freed { bytes, replicas: false };
        assert!(!is_worth_it(freed(99), space, false, SETTLE));
        assert!(is_worth_it(freed(100), space, false, SETTLE));
        assert!(is_worth_it(freed(1), space, false, PATIENCE));
        assert!(is_worth_it(Freed { bytes: 0, replicas: true }, space, false, SETTLE), "a topic was deleted");
        assert!(is_worth_it(freed(1), LogSpace::default(), false, SETTLE));
    }

    #[test]
    fn what_log_compaction_removes_waits_for_its_end_but_not_for_ever() {
        let space = LogSpace { bytes: 6400, garbage_bytes: 0 };
        let freed = |replicas| Freed { bytes: 6000, replicas };
        assert!(!is_worth_it(freed(false), space, true, SETTLE));
        assert!(is_worth_it(freed(false), space, true, PATIENCE));
        assert!(is_worth_it(freed(true), space, true, SETTLE), "a topic was deleted");
    }

    #[tokio::test(start_paused = true)]
    async fn space_is_given_back_as_soon_as_log_compaction_is_at_its_end() {
        let reclaimer = reclaimer(MemEngine::new());
        let chores = Arc::clone(&reclaimer.chores);
        chores.set_compacting(true);
        let mut run = pin!(reclaimer.run());
        for _ in 0..60 {
            chores.compacted(1 << 30);
            assert!(timeout(Duration::from_secs(1), run.as_mut()).await.is_err());
        }
        assert_eq!(chores.freed().bytes, 60 << 30, "it waits");
        chores.set_compacting(false);
        assert!(timeout(GLANCE + Duration::from_secs(1), run.as_mut()).await.is_err());
        assert_eq!(chores.freed(), Freed::default());
    }
}
