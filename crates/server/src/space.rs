//! Watches how much space the disk has, and tells.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{DiskSpace, Engine, FilesystemSize, LogWriter, StorageError};
use caudal_types::off_thread;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::Config;

/// The filesystem answers from memory; in this time no disk takes half of a reserve.
const EVERY: Duration = Duration::from_millis(500);
/// What was deleted since may be given back.
const MAKE_SPACE_EVERY: Duration = Duration::from_secs(10);
/// The reserve, unless it is set: a share of the filesystem, but no more than it takes to get by.
const RESERVE_SHARE: u64 = 20;
const RESERVE_MAX: u64 = 2 << 30;

/// What watches the filesystem of the data directory.
#[derive(Clone, Debug)]
pub(crate) struct SpaceWatch {
    folder: PathBuf,
    reserve: Option<u64>,
    writer: LogWriter,
}

impl SpaceWatch {
    pub(crate) fn new(config: &Config, writer: LogWriter) -> Self {
        let reserve = config.settings.storage_reserve_bytes.map(|bytes| bytes as u64);
        Self { folder: config.settings.log_dirs.clone(), reserve, writer }
    }

    /// Watches for ever.
    pub(crate) async fn run(self) {
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look();
        }
    }

    /// Looks once.
    pub(crate) fn look(&self) {
        let size = match FilesystemSize::of(&self.folder) {
            Ok(size) => size,
            Err(error) => return tracing::debug!(%error, "how much space there is stays unknown"),
        };
        let reserve = self.reserve.unwrap_or_else(|| (size.total / RESERVE_SHARE).min(RESERVE_MAX));
        let before = self.writer.space();
        let now = before.next(size.free, reserve);
        if now != before {
            self.writer.set_space(now);
            tell(now, size.free, reserve);
        }
    }
}

/// Removes files that hold nothing any more, now and then while space is short. The storage engine would find them when it writes more, which it does not.
pub(crate) async fn make_space(engine: Arc<dyn Engine>, writer: LogWriter) {
    let mut space = writer.watch_space();
    while space.wait_for(|space| *space != DiskSpace::Enough).await.is_ok() {
        let engine = Arc::clone(&engine);
        let removed = off_thread::run(move || engine.remove_dead_files()).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(StorageError::Io(error.to_string()))) {
            tracing::warn!(%error, "files that hold nothing any more could not be removed");
        }
        sleep(MAKE_SPACE_EVERY).await;
    }
}

fn tell(now: DiskSpace, free: u64, reserve: u64) {
    match now {
        DiskSpace::Enough => tracing::info!(free, reserve, "the disk has space again: records are taken as before"),
        DiskSpace::Low => tracing::error!(
            free,
            reserve,
            "the disk is full but for its reserve: this node takes no records from clients, and leads only what no other node can; delete topics, shorten \
             their retention or add space, and it goes on by itself"
        ),
        DiskSpace::Exhausted => tracing::error!(
            free,
            reserve,
            "half of the disk's reserve is used: this node takes no records from other nodes either, and falls behind until there is space"
        ),
    }
}
