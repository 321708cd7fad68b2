//! Cleans this node's replicas as they are ordered to be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use caudal_storage::StorageError;
use caudal_types::RaftGroupId;
use caudal_types::limits::COMPACTION_CHUNK_BYTES;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use crate::Partition;
use crate::compaction::pace::Pace;
use crate::compaction::pass::{Ended, Workshop, clean};
use crate::compaction::{CompactionConfig, Counters, LiveCompaction, lag};
use crate::directory::Directory;
use crate::disk::DiskReads;

/// The node's one task for it. As many passes run at once as there are threads; whichever ends first makes room for the next replica.
#[derive(Debug)]
pub(crate) struct Cleaner {
    directory: Arc<Directory>,
    shop: Arc<Workshop>,
    /// How it cleans at the moment, and how it should.
    config: CompactionConfig,
    live: LiveCompaction,
    /// The passes that run, and the replicas that they are over.
    passes: FuturesUnordered<BoxFuture<'static, Outcome>>,
    busy: BTreeSet<RaftGroupId>,
    /// What waits for a thread, the dirtiest first, as of the last look.
    due: VecDeque<Arc<Partition>>,
    looked: Instant,
    /// A pass has brought something since: what comes next may be another replica, or the rest of that one.
    is_outdated: bool,
    /// The replicas of which a pass brought nothing, and until when they are left alone.
    resting: BTreeMap<RaftGroupId, Instant>,
}

/// A pass that has ended: over which replica, and whether it brought anything.
type Outcome = (RaftGroupId, bool);

impl Cleaner {
    /// # Errors
    /// When the system has no more file descriptors.
    pub(crate) fn new(
        live: LiveCompaction,
        directory: Arc<Directory>,
        counters: Arc<Counters>,
    ) -> Result<Self, StorageError> {
        let config = live.now();
        let at_once = config.threads.max(1);
        let shop = Workshop {
            threads: DiskReads::with("cleaner", at_once)?,
            pace: Arc::new(Pace::new(config.bytes_per_second)),
            counters,
            keys_bytes: config.keys_bytes / at_once,
            run_bytes: COMPACTION_CHUNK_BYTES,
        };
        Ok(Self {
            directory,
            shop: Arc::new(shop),
            config,
            live,
            passes: FuturesUnordered::new(),
            busy: BTreeSet::new(),
            due: VecDeque::new(),
            looked: Instant::now(),
            is_outdated: false,
            resting: BTreeMap::new(),
        })
    }

    /// Cleans for ever, the dirtiest first.
    pub(crate) async fn run(mut self) {
        self.look();
        loop {
            if self.adjust() {
                self.begin();
            }
            let next_look = self.looked + self.live.now().backoff;
            tokio::select! {
                biased;
                Some(outcome) = self.passes.next() => self.ended(outcome),
                () = self.live.changed() => {}
                () = sleep_until(next_look) => self.look(),
            }
        }
    }

    /// Goes by what was set meanwhile; whether passes may begin. The pace changes at once. Threads and memory change when no pass runs: with new ones beside
    /// them, those that run would have more than either setting allows.
    fn adjust(&mut self) -> bool {
        let wished = self.live.now();
        if wished == self.config {
            return true;
        }
        self.shop.pace.set(wished.bytes_per_second);
        let needs_others = (wished.threads, wished.keys_bytes) != (self.config.threads, self.config.keys_bytes);
        if needs_others && !self.busy.is_empty() {
            return false;
        }
        if needs_others {
            let at_once = wished.threads.max(1);
            match DiskReads::with("cleaner", at_once) {
                Ok(threads) => {
                    let keys_bytes = wished.keys_bytes / at_once;
                    self.shop = Arc::new(Workshop { threads, keys_bytes, ..Workshop::clone(&self.shop) });
                }
                Err(error) => {
                    tracing::warn!(%error, "log compaction goes on with the threads that it has; trying again in a while");
                    return true;
                }
            }
        }
        tracing::info!(config = ?wished, "log compaction goes by other settings");
        self.config = wished;
        true
    }

    /// Finds the replicas that are behind what was ordered, those first of which most is to be cleaned.
    fn look(&mut self) {
        (self.looked, self.is_outdated) = (Instant::now(), false);
        let now = self.looked;
        self.resting.retain(|_, until| *until > now);
        let compacted = self.directory.all().into_iter().filter(|partition| partition.config.load().topic.compact);
        let mut behind: Vec<_> = compacted.filter_map(|partition| Some((waiting(&partition)?, partition))).collect();
        self.shop.counters.set_waiting(behind.iter().map(|(bytes, _)| bytes).sum());
        behind.sort_unstable_by_key(|(bytes, partition)| (Reverse(*bytes), partition.group()));
        let behind = behind.into_iter().map(|(_, partition)| partition);
        let is_free = |group: &RaftGroupId| !self.busy.contains(group) && !self.resting.contains_key(group);
        self.due = behind.filter(|partition| is_free(&partition.group())).collect();
    }

    /// Begins passes, as long as there are threads for them.
    fn begin(&mut self) {
        while self.busy.len() < self.config.threads.max(1) {
            let Some(partition) = self.due.pop_front() else { break };
            self.busy.insert(partition.group());
            self.passes.push(Box::pin(pass(Arc::clone(&self.shop), partition)));
        }
        self.shop.counters.set_running(self.busy.len());
    }

    fn ended(&mut self, (group, progressed): Outcome) {
        self.busy.remove(&group);
        self.shop.counters.set_running(self.busy.len());
        if progressed {
            self.is_outdated = true;
        } else {
            self.resting.insert(group, Instant::now() + self.live.now().backoff);
        }
        if self.is_outdated && self.due.is_empty() {
            self.look();
        }
    }
}

/// One pass.
async fn pass(shop: Arc<Workshop>, partition: Arc<Partition>) -> Outcome {
    let (group, name, began) = (partition.group(), partition.name(), Instant::now());
    let ended = clean(&partition, &shop).await;
    let took = began.elapsed();
    let progressed = match ended {
        Ok(Ended::Clean(upto, work)) => {
            shop.counters.ended(true, took);
            tracing::info!(
                partition = %name, upto, ?took, read = work.read_bytes, written = work.written_bytes, freed = work.freed_bytes,
                removed_records = work.removed_records, bad_batches = work.bad_batches, "a log was compacted"
            );
            true
        }
        Ok(Ended::Pointless) => false,
        Err(error) => {
            shop.counters.ended(false, took);
            tracing::warn!(partition = %name, %error, "a log could not be compacted; trying again in a while");
            false
        }
    };
    (group, progressed)
}

/// How many bytes of a replica are to be cleaned; `None` when it is as it was ordered.
fn waiting(partition: &Partition) -> Option<u64> {
    let view = partition.published.view();
    view.progress.is_behind(view.orders.newest()).then(|| lag::waiting(&view))
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::time::Duration;

    use caudal_metadata::ClusterImage;
    use caudal_storage::MemEngine;
    use caudal_types::NodeId;
    use tokio::sync::watch;

    use super::*;
    use crate::testing::cleaning::{compacted, order, progress};
    use crate::testing::{BatchSpec, DEADLINE, TestNode, append};

    fn cleaner(directory: &Arc<Directory>, counters: &Arc<Counters>, bytes_per_second: Option<f64>) -> Cleaner {
        let config = CompactionConfig {
            threads: 2,
            keys_bytes: 1 << 20,
            bytes_per_second,
            backoff: Duration::from_millis(20),
            ..CompactionConfig::default()
        };
        let (_, images) = watch::channel(Arc::new(ClusterImage::default()));
        let live = LiveCompaction::new(NodeId(1), config, images);
        Cleaner::new(live, Arc::clone(directory), Arc::clone(counters)).unwrap()
    }

    async fn until(done: impl Fn() -> bool) {
        while !done() {
            tokio::task::yield_now().await;
        }
    }

    /// Lets the cleaner clean until `done` has come to its end.
    async fn clean_while(cleaner: Cleaner, done: impl Future<Output = ()>) {
        tokio::select! {
            () = cleaner.run() => unreachable!("it cleans for ever"),
            done = tokio::time::timeout(DEADLINE, done) => done.expect("the state comes in time"),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_free_thread_takes_what_becomes_due_while_another_one_is_busy() {
        let node = TestNode::start(Arc::new(MemEngine::new())).await;
        let (directory, counters) = (Arc::new(Directory::default()), Arc::<Counters>::default());
        let mut partitions = Vec::new();
        for number in 0..2 {
            let group = RaftGroupId(TestNode::GROUP.0 + number as u64);
            let partition = node.open(group, number, &[TestNode::ID], compacted()).await;
            node.serves(&partition).await;
            for _ in 0..8 {
                append(&partition, &BatchSpec { keyed: true, value_len: 200, ..BatchSpec::plain(2) }).await.unwrap();
            }
            directory.insert(Arc::clone(&partition));
            partitions.push(partition);
        }
        order(&partitions[0], 0).await.unwrap();
        let running = || counters.read().running;
        let both = async {
            until(|| running() == 1).await;
            order(&partitions[1], 0).await.unwrap();
            until(|| running() == 2).await;
        };
        // At a byte in a second the first pass does not end in the time of this test.
        clean_while(cleaner(&directory, &counters, Some(1.0)), both).await;
        assert_eq!(counters.read().passes, 0);

        let is_done = || {
            let told = counters.read();
            let are_clean = partitions.iter().all(|partition| progress(partition).upto > 0);
            are_clean && (told.waiting_bytes, told.running) == (0, 0)
        };
        clean_while(cleaner(&directory, &counters, None), until(is_done)).await;
        assert!(partitions.iter().all(|partition| waiting(partition).is_none()));
        drop((directory, partitions));
        node.stop().await;
    }
}
