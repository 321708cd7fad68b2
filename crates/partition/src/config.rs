//! A topic's settings as a partition follows them while they change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use caudal_raft::FlushPolicy;
use caudal_types::LeaderEpoch;
use caudal_types::limits::PRODUCERS_PER_PARTITION_MAX;
use caudal_types::topic_config::TopicConfig;

use crate::command::record_count;
use crate::state::Settings;

/// The settings at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionConfig {
    /// What appends are checked against.
    pub(crate) topic: TopicConfig,
    /// What the log is applied by, once a Configure command says so.
    pub(crate) settings: Settings,
}

impl PartitionConfig {
    pub(crate) fn new(topic: TopicConfig, producer_expiration_ms: i64) -> Self {
        let settings = Settings {
            segment_bytes: topic.segment_bytes,
            // What is in the open segment is not cleaned.
            segment_ms: if topic.compact {
                topic.segment_ms.min(topic.compaction.max_lag_ms)
            } else {
                topic.segment_ms
            },
            producer_expiration_ms,
            producers_max: u32::try_from(PRODUCERS_PER_PARTITION_MAX).unwrap_or(u32::MAX),
        };
        Self { topic, settings }
    }

    /// How the log is synced.
    pub(crate) fn flush(&self) -> Option<FlushPolicy> {
        let bounds = self.topic.flush?;
        Some(FlushPolicy { records: bounds.messages, within: Duration::from_millis(bounds.ms), count: record_count })
    }
}

/// The settings as they change, and whether the log has been told.
#[derive(Debug)]
pub(crate) struct LiveConfig {
    config: ArcSwap<PartitionConfig>,
    /// Counts the changes.
    version: AtomicU64,
    /// The leader epoch and version for which the log was last looked at.
    seen: AtomicU64,
}

impl LiveConfig {
    pub(crate) fn new(config: Arc<PartitionConfig>) -> Self {
        Self { config: ArcSwap::new(config), version: AtomicU64::new(1), seen: AtomicU64::new(0) }
    }

    pub(crate) fn load(&self) -> Guard<Arc<PartitionConfig>> {
        self.config.load()
    }

    /// To be kept for longer.
    pub(crate) fn load_full(&self) -> Arc<PartitionConfig> {
        self.config.load_full()
    }

    pub(crate) fn store(&self, config: Arc<PartitionConfig>) {
        self.config.store(config);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The settings that the log may have to be told, by the first append after a change or an election; `None` nearly always.
    pub(crate) fn unseen(&self, epoch: LeaderEpoch) -> Option<Settings> {
        let now = u64::from(epoch.unsigned_abs()) << 32 | (self.version.load(Ordering::Acquire) & 0xffff_ffff);
        if self.seen.load(Ordering::Relaxed) == now || self.seen.swap(now, Ordering::AcqRel) == now {
            return None;
        }
        Some(self.config.load().settings)
    }

    /// The log could not be told: the next append tries again.
    pub(crate) fn forget_seen(&self) {
        self.seen.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::topic_config;

    #[test]
    fn a_compacted_topics_segments_end_before_its_records_have_waited_too_long() {
        let mut topic = topic_config();
        topic.compaction.max_lag_ms = 5000;
        assert_eq!(PartitionConfig::new(topic.clone(), 5).settings.segment_ms, topic.segment_ms);
        topic.compact = true;
        assert_eq!(PartitionConfig::new(topic.clone(), 5).settings.segment_ms, 5000);
        topic.segment_ms = 3;
        assert_eq!(PartitionConfig::new(topic, 5).settings.segment_ms, 3);
    }

    #[test]
    fn the_log_is_told_once_per_change_and_epoch() {
        let config = Arc::new(PartitionConfig::new(topic_config(), 5));
        let live = LiveConfig::new(Arc::clone(&config));
        assert_eq!(live.unseen(1), Some(config.settings));
        assert_eq!(live.unseen(1), None);
        assert_eq!(live.unseen(2), Some(config.settings));
        live.store(config);
        assert!(live.unseen(2).is_some());
        assert_eq!(live.unseen(2), None);
        live.forget_seen();
        assert!(live.unseen(2).is_some());
    }
}
