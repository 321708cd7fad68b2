//! Cleans this node's replicas as they are ordered to be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use caudal_storage::StorageError;
use caudal_types::RaftGroupId;
use caudal_types::limits::COMPACTION_CHUNK_BYTES;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use crate::Partition;
use crate::apart::{apart, apart_async};
use crate::compaction::pace::Pace;
use crate::compaction::pass::{Ended, Workshop, clean};
use crate::compaction::{CompactionConfig, Counters, LiveCompaction, lag};
use crate::directory::Directory;
use crate::disk::DiskReads;
use crate::retention::Chores;

/// The task's name.
pub(crate) const LOG_CLEANER: &str = "log cleaner";

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
    chores: Arc<Chores>,
    /// Something was ordered since the last look.
    has_orders: bool,
    /// A pass has brought something since: what comes next may be another replica, or the rest of that one.
    is_outdated: bool,
    /// The replicas of which a pass brought nothing, and until when they are left alone.
    resting: BTreeMap<RaftGroupId, Instant>,
}

/// A pass that has ended: over which replica, and what it brought.
type Outcome = (RaftGroupId, Brought);

/// What a pass has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brought {
    Progress,
    Nothing,
    /// The log is damaged: as long as nobody else has the replica's data, no other pass gets further.
    Damage,
}

/// How long a damaged replica is left alone. One that others can build anew comes back much sooner, and with what they have cleaned.
const DAMAGE_RESTS: Duration = Duration::from_secs(600);

/// How soon after the last look an order brings the next one. A look goes over all compacted replicas, and orders come by the hundred.
const ORDERS_WAIT: Duration = Duration::from_secs(1);

impl Cleaner {
    /// # Errors
    /// When the system has no more file descriptors.
    pub(crate) fn new(
        live: LiveCompaction,
        directory: Arc<Directory>,
        counters: Arc<Counters>,
        chores: Arc<Chores>,
    ) -> Result<Self, StorageError> {
        let config = live.now();
        let at_once = config.threads.max(1);
        let shop = Workshop {
            threads: threads(at_once)?,
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
            chores,
            has_orders: false,
            is_outdated: false,
            resting: BTreeMap::new(),
        })
    }

    /// Cleans for ever, the dirtiest first.
    pub(crate) async fn run(&mut self) {
        self.look();
        loop {
            if self.adjust() {
                self.begin();
            }
            self.chores.set_compacting(!self.busy.is_empty() || !self.due.is_empty());
            let backoff = self.live.now().backoff;
            let next_look = self.looked + if self.has_orders { backoff.min(ORDERS_WAIT) } else { backoff };
            tokio::select! {
                biased;
                Some(outcome) = self.passes.next() => self.ended(outcome),
                () = self.live.changed() => {}
                () = self.chores.orders(), if !self.has_orders => self.has_orders = true,
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
            match threads(at_once) {
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
        (self.looked, self.is_outdated, self.has_orders) = (Instant::now(), false, false);
        let now = self.looked;
        self.resting.retain(|_, until| *until > now);
        let compacted = self.directory.all().into_iter().filter(|partition| partition.config.load().topic.compact);
        let mut behind: Vec<_> = compacted
            .filter_map(|partition| {
                let waiting = apart(LOG_CLEANER, partition.name(), || waiting(&partition)).flatten()?;
                Some((waiting, partition))
            })
            .collect();
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

    fn ended(&mut self, (group, brought): Outcome) {
        self.busy.remove(&group);
        self.shop.counters.set_running(self.busy.len());
        let backoff = self.live.now().backoff;
        let rest = match brought {
            Brought::Progress => None,
            Brought::Nothing => Some(backoff),
            Brought::Damage => Some(backoff.max(DAMAGE_RESTS)),
        };
        self.is_outdated |= rest.is_none();
        self.resting.extend(rest.map(|rest| (group, Instant::now() + rest)));
        if self.is_outdated && self.due.is_empty() {
            self.look();
        }
    }
}

/// For so many passes.
fn threads(at_once: usize) -> Result<DiskReads, StorageError> {
    DiskReads::with("cleaner", 2 * at_once)
}

/// One pass.
async fn pass(shop: Arc<Workshop>, partition: Arc<Partition>) -> Outcome {
    let (group, name, began) = (partition.group(), partition.name(), Instant::now());
    let ended = apart_async(LOG_CLEANER, name, Box::pin(clean(&partition, &shop))).await;
    let took = began.elapsed();
    let brought = match ended {
        // It was told of.
        None => {
            shop.counters.ended(false, took);
            Brought::Nothing
        }
        Some(Ok(Ended::Clean(upto, work))) => {
            shop.counters.ended(true, took);
            tracing::info!(
                partition = %name, upto, ?took, read = work.read_bytes, written = work.written_bytes, freed = work.freed_bytes,
                removed_records = work.removed_records, bad_batches = work.bad_batches, "a log was compacted"
            );
            Brought::Progress
        }
        Some(Ok(Ended::Pointless)) => Brought::Nothing,
        Some(Err(error @ StorageError::Corrupt(_))) => {
            shop.counters.ended(false, took);
            tracing::error!(partition = %name, %error, "a log is damaged, and is not compacted until the replica is built anew from others");
            Brought::Damage
        }
        Some(Err(error)) => {
            shop.counters.ended(false, took);
            tracing::warn!(partition = %name, %error, "a log could not be compacted; trying again in a while");
            Brought::Nothing
        }
    };
    (group, brought)
}

/// How many bytes of a replica are to be cleaned; `None` when it is as it was ordered.
fn waiting(partition: &Partition) -> Option<u64> {
    let view = partition.published.view();
    view.progress.is_behind(view.orders.newest()).then(|| lag::waiting(&view))
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use caudal_metadata::ClusterImage;
    use caudal_storage::{ColumnFamily, Durability, Engine, MemEngine, ScanLimit, WriteBatch, keys};
    use caudal_types::NodeId;
    use tokio::sync::watch;

    use super::*;
    use crate::testing::cleaning::{compacted, order, progress};
    use crate::testing::{BatchSpec, DEADLINE, TestNode, append};

    /// Two partitions of a node.
    struct Two {
        directory: Arc<Directory>,
        partitions: Vec<Arc<Partition>>,
        counters: Arc<Counters>,
        chores: Arc<Chores>,
    }

    impl Two {
        const GROUPS: [RaftGroupId; 2] = [TestNode::GROUP, RaftGroupId(TestNode::GROUP.0 + 1)];

        async fn open(node: &TestNode) -> Self {
            let (directory, mut partitions) = (Arc::new(Directory::default()), Vec::new());
            for (number, group) in (0..).zip(Self::GROUPS) {
                let partition = node.open(group, number, &[TestNode::ID], compacted()).await;
                node.serves(&partition).await;
                directory.insert(Arc::clone(&partition));
                partitions.push(partition);
            }
            Self { directory, partitions, counters: Arc::default(), chores: Arc::clone(&node.parts.chores) }
        }

        async fn fill(&self) {
            for partition in &self.partitions {
                for _ in 0..8 {
                    append(partition, &BatchSpec { keyed: true, value_len: 200, ..BatchSpec::plain(2) }).await.unwrap();
                }
            }
        }

        /// Lets a cleaner clean until `done` has come to its end.
        async fn clean_while(&self, threads: usize, bytes_per_second: Option<f64>, done: impl Future<Output = ()>) {
            let backoff = Duration::from_millis(20);
            self.clean_by(CompactionConfig { threads, bytes_per_second, backoff, ..CompactionConfig::default() }, done)
                .await;
        }

        async fn clean_by(&self, config: CompactionConfig, done: impl Future<Output = ()>) {
            let config = CompactionConfig { keys_bytes: 1 << 20, ..config };
            let (_, images) = watch::channel(Arc::new(ClusterImage::default()));
            let live = LiveCompaction::new(NodeId(1), config, images);
            let (directory, counters) = (Arc::clone(&self.directory), Arc::clone(&self.counters));
            let mut cleaner = Cleaner::new(live, directory, counters, Arc::clone(&self.chores)).unwrap();
            tokio::select! {
                () = cleaner.run() => unreachable!("it cleans for ever"),
                done = tokio::time::timeout(DEADLINE, done) => done.expect("the state comes in time"),
            }
        }

        fn running(&self) -> u64 {
            self.counters.read().running
        }
    }

    async fn until(done: impl Fn() -> bool) {
        while !done() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_free_thread_takes_what_becomes_due_while_another_one_is_busy() {
        let node = TestNode::start(Arc::new(MemEngine::new())).await;
        let two = Two::open(&node).await;
        two.fill().await;
        order(&two.partitions[0], 0).await.unwrap();
        let both = async {
            until(|| two.running() == 1).await;
            order(&two.partitions[1], 0).await.unwrap();
            until(|| two.running() == 2).await;
        };
        // At a byte in a second the first pass does not end in the time of this test.
        two.clean_while(2, Some(1.0), both).await;
        assert_eq!(two.counters.read().passes, 0);

        assert!(two.chores.is_compacting());
        let is_done = || {
            let are_clean = two.partitions.iter().all(|partition| progress(partition).upto > 0);
            are_clean && (two.counters.read().waiting_bytes, two.running()) == (0, 0) && !two.chores.is_compacting()
        };
        two.clean_while(2, None, until(is_done)).await;
        assert!(two.partitions.iter().all(|partition| waiting(partition).is_none()));
        drop(two);
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_order_wakes_a_cleaner_that_has_just_looked() {
        let node = TestNode::start(Arc::new(MemEngine::new())).await;
        let two = Two::open(&node).await;
        two.fill().await;
        let ordered = async {
            // It looks once as it begins.
            tokio::task::yield_now().await;
            order(&two.partitions[1], 0).await.unwrap();
            until(|| progress(&two.partitions[1]).upto > 0).await;
        };
        let backoff = Duration::from_secs(3600);
        two.clean_by(CompactionConfig { backoff, ..CompactionConfig::default() }, ordered).await;
        drop(two);
        node.stop().await;
    }

    /// Damages the second batch of a partition where it lies in the log.
    fn damage(engine: &MemEngine, group: RaftGroupId) {
        let (from, to) = keys::index::group_range(group);
        let rows = engine.scan(ColumnFamily::Index, from.as_ref()..to.as_ref(), ScanLimit::rows(2)).unwrap();
        let row = keys::index::decode(&rows[1].0, &rows[1].1).unwrap();
        let key = keys::log::key(group, row.raft_index);
        let mut value = engine.get(ColumnFamily::Log, &key).unwrap().unwrap().to_vec();
        *value.last_mut().unwrap() ^= 1;
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Log, key, value);
        engine.write(batch, Durability::Synced).unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_damaged_log_is_told_of_and_holds_back_no_other_one() {
        let engine = Arc::new(MemEngine::new());
        let node = TestNode::start(Arc::<MemEngine>::clone(&engine)).await;
        let two = Two::open(&node).await;
        two.fill().await;
        for partition in &two.partitions {
            order(partition, 0).await.unwrap();
        }
        // What it has in memory it does not read from the disk.
        drop(two);
        node.stop().await;
        damage(&engine, Two::GROUPS[0]);
        let node = TestNode::start(engine).await;
        let two = Two::open(&node).await;
        let is_done = || two.counters.read().failures > 0 && progress(&two.partitions[1]).upto > 0;
        two.clean_while(1, None, until(is_done)).await;
        assert_eq!(progress(&two.partitions[0]).upto, 0);
        assert_eq!(two.counters.read().failures, 1, "it is not tried again at once");
        assert!(waiting(&two.partitions[0]).is_some_and(|bytes| bytes > 0), "it is told that it waits");
        let damaged = node.parts.groups.damaged();
        assert_eq!(*damaged.borrow(), [Two::GROUPS[0]].into(), "where there are others, the replica is built anew");
        drop((two, damaged));
        node.stop().await;
    }
}
