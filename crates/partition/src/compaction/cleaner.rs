//! Cleans this node's replicas as they are ordered to be.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use caudal_storage::StorageError;
use caudal_types::limits::COMPACTION_CHUNK_BYTES;
use futures::StreamExt;
use tokio::time::{Instant, sleep};

use crate::Partition;
use crate::compaction::pace::Pace;
use crate::compaction::pass::{Ended, Workshop, clean};
use crate::compaction::{CompactionConfig, Counters};
use crate::directory::Directory;
use crate::disk::DiskReads;

/// The node's one task for it.
#[derive(Debug)]
pub(crate) struct Cleaner {
    directory: Arc<Directory>,
    shop: Workshop,
    at_once: usize,
    backoff: Duration,
}

impl Cleaner {
    /// # Errors
    /// When the system has no more file descriptors.
    pub(crate) fn new(
        config: &CompactionConfig,
        directory: Arc<Directory>,
        counters: Arc<Counters>,
    ) -> Result<Self, StorageError> {
        let at_once = config.threads.max(1);
        let shop = Workshop {
            threads: DiskReads::with("cleaner", at_once)?,
            pace: Pace::new(config.bytes_per_second),
            counters,
            keys_bytes: config.keys_bytes / at_once,
            run_bytes: COMPACTION_CHUNK_BYTES,
        };
        Ok(Self { directory, shop, at_once, backoff: config.backoff })
    }

    /// Cleans for ever, the dirtiest first.
    pub(crate) async fn run(self) {
        loop {
            let behind = self.behind();
            let passes = futures::stream::iter(behind).map(|partition| self.pass(partition));
            let progressed: Vec<_> = passes.buffer_unordered(self.at_once).collect().await;
            if !progressed.contains(&true) {
                sleep(self.backoff).await;
            }
        }
    }

    /// The replicas that are behind what was ordered, those first of which most is to be cleaned.
    fn behind(&self) -> Vec<Arc<Partition>> {
        let compacted = self.directory.all().into_iter().filter(|partition| partition.config.load().topic.compact);
        let mut behind: Vec<_> = compacted.filter_map(|partition| Some((waiting(&partition)?, partition))).collect();
        self.shop.counters.set_waiting(behind.iter().map(|(bytes, _)| bytes).sum());
        behind.sort_unstable_by_key(|(bytes, partition)| (Reverse(*bytes), partition.group()));
        behind.into_iter().map(|(_, partition)| partition).collect()
    }

    /// One pass; whether it brought anything.
    async fn pass(&self, partition: Arc<Partition>) -> bool {
        let (name, began) = (partition.name(), Instant::now());
        let ended = clean(&partition, &self.shop).await;
        let took = began.elapsed();
        match ended {
            Ok(Ended::Clean(upto, work)) => {
                self.shop.counters.ended(true, took);
                tracing::info!(
                    partition = %name, upto, ?took, read = work.read_bytes, written = work.written_bytes, freed = work.freed_bytes,
                    removed_records = work.removed_records, bad_batches = work.bad_batches, "a log was compacted"
                );
                true
            }
            Ok(Ended::Pointless) => false,
            Err(error) => {
                self.shop.counters.ended(false, took);
                tracing::warn!(partition = %name, %error, "a log could not be compacted; trying again in a while");
                false
            }
        }
    }
}

/// How many bytes of a replica are to be cleaned; `None` when it is as it was ordered.
fn waiting(partition: &Partition) -> Option<u64> {
    let view = partition.published.view();
    let (order, progress) = (view.orders.newest(), view.progress);
    let waiting = view.segments.iter().filter(|one| one.end > progress.upto && one.base < order.upto);
    progress.is_behind(order).then(|| waiting.map(|segment| segment.bytes).sum())
}
