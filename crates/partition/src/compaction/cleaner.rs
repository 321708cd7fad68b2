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
use crate::compaction::{CompactionConfig, Counters, Progress};
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
            let behind = self.behind().await;
            let passes = futures::stream::iter(behind).map(|partition| self.pass(partition));
            let progressed: Vec<_> = passes.buffer_unordered(self.at_once).collect().await;
            if !progressed.contains(&true) {
                sleep(self.backoff).await;
            }
        }
    }

    /// The replicas that are behind what was ordered, those first of which most is to be cleaned.
    async fn behind(&self) -> Vec<Arc<Partition>> {
        let mut behind = Vec::new();
        for partition in self.directory.all() {
            if !partition.config.load().topic.compact || partition.published.view().orders.newest().upto == 0 {
                continue;
            }
            match self.waiting(&partition).await {
                Ok(Some(bytes)) => behind.push((bytes, partition)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(partition = %partition.name(), %error, "it cannot be read how far a log is compacted");
                }
            }
        }
        self.shop.counters.set_waiting(behind.iter().map(|(bytes, _)| bytes).sum());
        behind.sort_by_key(|(bytes, _)| Reverse(*bytes));
        behind.into_iter().map(|(_, partition)| partition).collect()
    }

    /// How many bytes of a replica are to be cleaned; `None` when it is as it was ordered.
    async fn waiting(&self, partition: &Partition) -> Result<Option<u64>, StorageError> {
        let (engine, group) = (Arc::clone(&partition.node.engine), partition.group());
        let progress = self.shop.threads.run(move || Progress::read(engine.as_ref(), group)).await?;
        let view = partition.published.view();
        let order = view.orders.newest();
        let waiting = view.segments.iter().filter(|one| one.end > progress.upto && one.base < order.upto);
        Ok(progress.is_behind(order).then(|| waiting.map(|segment| segment.bytes).sum()))
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
