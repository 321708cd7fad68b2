//! Cleans this node's replicas as they are ordered to be.

use std::cmp::Reverse;
use std::pin::pin;
use std::sync::Arc;

use caudal_storage::StorageError;
use caudal_types::limits::COMPACTION_CHUNK_BYTES;
use futures::StreamExt;
use tokio::time::Instant;

use crate::Partition;
use crate::compaction::pace::Pace;
use crate::compaction::pass::{Ended, Workshop, clean};
use crate::compaction::{CompactionConfig, Counters, LiveCompaction, lag};
use crate::directory::Directory;
use crate::disk::DiskReads;

/// The node's one task for it.
#[derive(Debug)]
pub(crate) struct Cleaner {
    directory: Arc<Directory>,
    shop: Workshop,
    /// How it cleans at the moment, and how it should.
    config: CompactionConfig,
    live: LiveCompaction,
}

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
            pace: Pace::new(config.bytes_per_second),
            counters,
            keys_bytes: config.keys_bytes / at_once,
            run_bytes: COMPACTION_CHUNK_BYTES,
        };
        Ok(Self { directory, shop, config, live })
    }

    /// Cleans for ever, the dirtiest first.
    pub(crate) async fn run(mut self) {
        loop {
            self.adjust();
            if !self.round().await {
                self.live.pause().await;
            }
        }
    }

    /// One pass over each replica that is behind; whether any brought something. The pace is changed at once.
    async fn round(&self) -> bool {
        let passes = futures::stream::iter(self.behind()).map(|partition| self.pass(partition));
        let passes = passes.buffer_unordered(self.config.threads.max(1)).collect::<Vec<_>>();
        let mut passes = pin!(passes);
        let mut live = self.live.clone();
        loop {
            tokio::select! {
                progressed = &mut passes => return progressed.contains(&true),
                () = live.changed() => self.shop.pace.set(live.now().bytes_per_second),
            }
        }
    }

    /// Goes by what was set meanwhile.
    fn adjust(&mut self) {
        let wished = self.live.now();
        if wished == self.config {
            return;
        }
        let at_once = wished.threads.max(1);
        if wished.threads != self.config.threads {
            match DiskReads::with("cleaner", at_once) {
                Ok(threads) => self.shop.threads = threads,
                Err(error) => {
                    tracing::warn!(%error, "log compaction goes on with the threads that it has; trying again in a while");
                    return;
                }
            }
        }
        self.shop.pace.set(wished.bytes_per_second);
        self.shop.keys_bytes = wished.keys_bytes / at_once;
        tracing::info!(config = ?wished, "log compaction goes by other settings");
        self.config = wished;
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
    view.progress.is_behind(view.orders.newest()).then(|| lag::waiting(&view))
}
