//! Looks, now and then, which of the partitions that this node leads have segments past their retention.

use std::sync::Arc;
use std::time::Duration;

use caudal_types::limits::RETENTION_AT_ONCE;
use caudal_types::{Clock, Offset, TimestampMs};
use futures::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::Partition;
use crate::apart::{apart, apart_async};
use crate::directory::Directory;
use crate::retention::Chores;
use crate::retention::decide::{Log, Retention, new_start};

/// How long a majority may take to agree on a log's new start; the next look tries again.
const AGREED_WITHIN: Duration = Duration::from_secs(30);

/// The task's name.
pub(crate) const RETENTION: &str = "retention";

/// The node's one task for retention. A look costs nothing where nothing is due: it compares a few numbers per partition, and wakes none.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    pub(crate) directory: Arc<Directory>,
    pub(crate) chores: Arc<Chores>,
    pub(crate) clock: Arc<dyn Clock>,
    /// `log.retention.check.interval.ms`.
    pub(crate) every: Duration,
}

impl Keeper {
    /// Looks for ever.
    pub(crate) async fn run(self) {
        let mut looks = interval_at(Instant::now() + self.every, self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look().await;
        }
    }

    /// Looks at every replica once, and lets go what is due.
    async fn look(&self) {
        let now = self.clock.now_ms();
        let mut due = Vec::new();
        for partition in self.directory.all() {
            if partition.is_longer_than_needed() {
                self.chores.purge(partition.group());
            }
            let start = apart(RETENTION, partition.name(), || partition.due_start(now)).flatten();
            due.extend(start.map(|start| (partition, start)));
        }
        // In the same order every time: a simulation must be able to do it again.
        due.sort_unstable_by_key(|(partition, _)| partition.group());
        futures::stream::iter(due)
            .for_each_concurrent(RETENTION_AT_ONCE, |(partition, start)| async move {
                apart_async(RETENTION, partition.name(), advance(&partition, start)).await;
            })
            .await;
    }
}

impl Partition {
    /// Where retention wants the log to begin, if this node leads and it begins earlier.
    fn due_start(&self, now: TimestampMs) -> Option<Offset> {
        if !self.leadership_now().serving {
            return None;
        }
        let retention = Retention::of(&self.config.load().topic)?;
        let offsets = self.published.offsets();
        let view = self.published.view();
        let (start, end) = (offsets.log_start, offsets.high_watermark);
        let segments = view.segments_as_left();
        let log = Log { segments: &segments, open: view.open, start, end, last_time: view.last_time };
        new_start(&log, &retention, now)
    }

    /// Whether its Raft log has entries before the checkpoint that its log begins at.
    pub(crate) fn is_longer_than_needed(&self) -> bool {
        self.published.view().checkpoint_index > self.raft.purged_index()
    }
}

async fn advance(partition: &Partition, start: Offset) {
    let name = partition.name();
    match timeout(AGREED_WITHIN, partition.advance_log_start(start)).await {
        Ok(Ok(log_start)) => tracing::info!(partition = %name, log_start, "segments past their retention are gone"),
        Ok(Err(error)) => {
            tracing::warn!(partition = %name, start, %error, "segments past their retention stay for now");
        }
        Err(_) => tracing::warn!(partition = %name, start, "no majority agreed on the end of a retention in time"),
    }
}
