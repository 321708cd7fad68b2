//! Log compaction, a step at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_raft::CommittedEntry;
use caudal_types::Offset;
use caudal_types::topic_config::{CompactionPolicy, TopicConfig};

use super::topic_config;
use crate::Partition;
use crate::command::{Command, Stamped};
use crate::compaction::{Counters, Ended, Log, Pace, Progress, Workshop, clean, next_order};
use crate::disk::DiskReads;
use crate::state::orders::Order;

/// A compacted topic whose segments end after a few batches.
pub(crate) fn compacted() -> TopicConfig {
    TopicConfig { compact: true, delete: false, segment_bytes: 600, ..topic_config() }
}

/// What passes need, for small runs.
pub(crate) fn workshop(keys_bytes: usize, bytes_per_second: Option<f64>) -> Workshop {
    let (counters, pace) = (Arc::<Counters>::default(), Arc::new(Pace::new(bytes_per_second)));
    Workshop { threads: DiskReads::with("cleaner", 1).unwrap(), pace, counters, keys_bytes, run_bytes: 300 }
}

/// Orders what can be ordered, with this `delete.retention.ms`; `None` when there is nothing.
pub(crate) async fn order(partition: &Partition, delete_retention_ms: i64) -> Option<Order> {
    let policy = CompactionPolicy { min_dirty_millionths: 0, delete_retention_ms, ..CompactionPolicy::default() };
    let now = partition.node.clock.now_ms();
    let order = {
        let last_stable = partition.published.offsets().last_stable;
        let view = partition.published.view();
        let log = Log { segments: &view.segments, last_stable, orders: &view.orders, progress: Progress::default() };
        next_order(&log, &policy, now)?
    };
    let command = Stamped { time: partition.published.stamp(now), command: Command::Compact(order) };
    partition.raft.propose(command.encode()).await.unwrap();
    Some(order)
}

/// Cleans a replica until it is as it was ordered.
pub(crate) async fn clean_all(partition: &Partition, shop: &Workshop) {
    let order = partition.published.view().orders.newest();
    while progress(partition).is_behind(order) {
        let ended = clean(partition, shop).await.unwrap();
        assert!(matches!(ended, Ended::Clean(..)), "{ended:?}");
    }
}

/// Begins a pass, and breaks it off once it has read so many bytes.
pub(crate) async fn clean_some(partition: &Partition, bytes: u64) {
    let shop = workshop(1 << 20, Some(300_000.0));
    let enough = async {
        while shop.counters.read().read_bytes < bytes {
            tokio::task::yield_now().await;
        }
    };
    let pass = async {
        tokio::select! {
            biased;
            () = enough => {}
            ended = clean(partition, &shop) => drop(ended.unwrap()),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), pass).await.unwrap();
}

pub(crate) fn progress(partition: &Partition) -> Progress {
    Progress::read(partition.node.engine.as_ref(), partition.group()).unwrap()
}

/// The entries of a replica's log behind `index`, as they are now.
pub(crate) fn entries_behind(partition: &Partition, index: u64) -> Vec<CommittedEntry> {
    let entries = partition.raft.read(index + 1, u64::MAX, usize::MAX).unwrap();
    let committed = |entry: caudal_raft::LogEntry| CommittedEntry {
        index: entry.index,
        term: entry.term,
        command: !entry.payload.is_empty(),
        payload: entry.payload,
    };
    entries.into_iter().map(committed).collect()
}

/// A record as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: Offset,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
}
