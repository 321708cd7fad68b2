//! How this node cleans, as it is changed while the node runs.

use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::ClusterImage;
use caudal_metadata::config_defs::DynamicNodeConfigs;
use caudal_types::NodeId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::compaction::CompactionConfig;

/// What was set for the node, or for all, over what it was started with.
#[derive(Clone, Debug)]
pub(crate) struct LiveCompaction {
    node: NodeId,
    started_with: CompactionConfig,
    images: watch::Receiver<Arc<ClusterImage>>,
}

impl LiveCompaction {
    pub(crate) fn new(
        node: NodeId,
        started_with: CompactionConfig,
        images: watch::Receiver<Arc<ClusterImage>>,
    ) -> Self {
        Self { node, started_with, images }
    }

    /// How to clean now.
    pub(crate) fn now(&self) -> CompactionConfig {
        let image = self.images.borrow();
        self.started_with.over(DynamicNodeConfigs::of(&image.resources, self.node))
    }

    /// Waits until the cluster's metadata have changed; for ever, when they never will.
    pub(crate) async fn changed(&mut self) {
        if self.images.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits as long as there is nothing to do, by what is set meanwhile.
    pub(crate) async fn pause(&mut self) {
        let began = Instant::now();
        loop {
            let until = began + self.now().backoff;
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.changed() => {}
            }
        }
    }
}

impl CompactionConfig {
    /// The same with what was `set` while the node runs.
    fn over(&self, set: DynamicNodeConfigs<'_>) -> Self {
        let keys_bytes = set.number::<usize>("log.cleaner.dedupe.buffer.size").unwrap_or(self.keys_bytes);
        let rate = set.number::<f64>("log.cleaner.io.max.bytes.per.second");
        Self {
            threads: set.number("log.cleaner.threads").unwrap_or(self.threads),
            keys_bytes: keys_bytes.min(self.keys_bytes_max),
            keys_bytes_max: self.keys_bytes_max,
            // Kafka's word for "no limit" is the largest number.
            bytes_per_second: rate.map_or(self.bytes_per_second, |rate| Some(rate).filter(|rate| *rate < f64::MAX)),
            backoff: set.number("log.cleaner.backoff.ms").map_or(self.backoff, Duration::from_millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn image(set: &[(&str, &str)]) -> Arc<ClusterImage> {
        let mut image = ClusterImage::default();
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        image.resources.all_nodes = Arc::new(set.collect::<BTreeMap<_, _>>());
        Arc::new(image)
    }

    fn started_with() -> CompactionConfig {
        CompactionConfig { bytes_per_second: Some(5000.0), keys_bytes_max: 1 << 30, ..CompactionConfig::default() }
    }

    #[test]
    fn what_is_set_counts_until_it_is_no_more() {
        let (images, followed) = watch::channel(image(&[]));
        let live = LiveCompaction::new(NodeId(1), started_with(), followed);
        assert_eq!(live.now(), started_with());
        images.send_replace(image(&[
            ("log.cleaner.threads", "3"),
            ("log.cleaner.dedupe.buffer.size", "4294967296"),
            ("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308"),
            ("log.cleaner.backoff.ms", "7"),
        ]));
        let now = live.now();
        assert_eq!((now.threads, now.keys_bytes), (3, 1 << 30), "no more memory than there is room for");
        assert_eq!((now.bytes_per_second, now.backoff), (None, Duration::from_millis(7)));
        images.send_replace(image(&[("log.cleaner.io.max.bytes.per.second", "100.5")]));
        assert_eq!(live.now().bytes_per_second, Some(100.5));
        images.send_replace(image(&[]));
        assert_eq!(live.now(), started_with());
    }

    #[tokio::test]
    async fn a_pause_follows_the_setting() {
        let (images, followed) = watch::channel(image(&[("log.cleaner.backoff.ms", "86400000")]));
        let mut live = LiveCompaction::new(NodeId(1), started_with(), followed);
        let shortened = async {
            tokio::task::yield_now().await;
            images.send_replace(image(&[("log.cleaner.backoff.ms", "20")]));
        };
        let paused = async { tokio::join!(live.pause(), shortened) };
        tokio::time::timeout(Duration::from_secs(30), paused).await.expect("the pause of a day ends");
    }
}
