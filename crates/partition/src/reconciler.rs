//! Makes the local replicas match the cluster image.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::{ClusterImage, TopicImage};
use caudal_storage::StorageError;
use caudal_types::limits::PARTITION_OPENS;
use caudal_types::topic_config::TopicConfig;
use caudal_types::{RaftGroupId, TopicPartition};
use futures::StreamExt;
use tokio::sync::watch;

use crate::config::PartitionConfig;
use crate::directory::Directory;
use crate::leftovers::{self, Leftovers};
use crate::partition::{NodeParts, PartitionSpec};
use crate::{Partition, PartitionsConfig};

/// How long the reconciler waits before it tries again what failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Follows the cluster image: opens, changes and removes local replicas.
#[derive(Debug)]
pub(crate) struct Reconciler {
    config: PartitionsConfig,
    node: Arc<NodeParts>,
    directory: Arc<Directory>,
    /// Groups of deleted topics whose data is still to be removed.
    doomed: HashSet<RaftGroupId>,
    leftovers: Leftovers,
}

impl Reconciler {
    pub(crate) fn new(config: PartitionsConfig, node: Arc<NodeParts>, directory: Arc<Directory>) -> Self {
        Self { config, node, directory, doomed: HashSet::new(), leftovers: Leftovers::default() }
    }

    /// Follows the images until their source is gone.
    pub(crate) async fn run(mut self, mut images: watch::Receiver<Arc<ClusterImage>>) {
        self.find_leftovers().await;
        loop {
            let image = Arc::clone(&images.borrow_and_update());
            let settled = self.reconcile(&image).await;
            tokio::select! {
                changed = images.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY_AFTER), if !settled => {}
            }
        }
    }

    async fn find_leftovers(&mut self) {
        let engine = Arc::clone(&self.node.engine);
        match self.node.disk.run(move || leftovers::groups_on_disk(engine.as_ref())).await {
            Ok(groups) => self.leftovers = Leftovers::new(groups),
            Err(error) => tracing::error!(%error, "cannot look for replicas of deleted topics; they stay until the next start"),
        }
    }

    /// Makes the replicas match `image`; false when something failed that is to be tried again.
    async fn reconcile(&mut self, image: &ClusterImage) -> bool {
        let wanted = self.wanted(image);
        self.doomed.extend(self.directory.groups().into_iter().filter(|group| !wanted.contains_key(group)));
        self.doomed.extend(self.leftovers.doomed_by(image));
        let removed = self.remove_doomed().await;
        let missing: Vec<_> = wanted.into_iter().filter_map(|(group, spec)| self.missing(group, spec)).collect();
        self.open(missing).await && removed
    }

    /// The local replicas as the image has them, by group.
    fn wanted(&self, image: &ClusterImage) -> HashMap<RaftGroupId, PartitionSpec> {
        image.topics.values().flat_map(|topic| self.wanted_of(topic)).map(|spec| (spec.group, spec)).collect()
    }

    fn wanted_of(&self, topic: &TopicImage) -> Vec<PartitionSpec> {
        let resolved = TopicConfig::resolve(&topic.configs, &self.config.topic_defaults);
        let config = Arc::new(PartitionConfig::new(resolved, self.config.producer_expiration_ms));
        let local = topic.partitions.iter().zip(0i32..).filter(|(image, _)| image.replicas.contains(&self.node.node_id));
        let spec = |(image, partition): (&caudal_metadata::RaftGroupImage, i32)| PartitionSpec {
            name: TopicPartition { topic: Arc::clone(&topic.name), partition },
            topic_id: topic.id,
            group: image.group,
            replicas: image.replicas.clone(),
            config: Arc::clone(&config),
        };
        local.map(spec).collect()
    }

    /// Brings an open replica up to date, or says that it is not open.
    fn missing(&self, group: RaftGroupId, spec: PartitionSpec) -> Option<PartitionSpec> {
        let Some(partition) = self.directory.by_group(group) else {
            return Some(spec);
        };
        partition.update(&spec.replicas, &spec.config);
        None
    }

    async fn open(&self, missing: Vec<PartitionSpec>) -> bool {
        let open = |spec: PartitionSpec| async move {
            let name = spec.name.clone();
            let opened = Partition::open(Arc::clone(&self.node), spec).await;
            succeeded(&name, "cannot open a replica", opened.map(|partition| self.directory.insert(Arc::new(partition))))
        };
        futures::stream::iter(missing).map(open).buffer_unordered(PARTITION_OPENS).all(|ok| async move { ok }).await
    }

    async fn remove_doomed(&mut self) -> bool {
        for &group in &self.doomed {
            self.directory.remove(group);
        }
        let remove = |group: RaftGroupId| async move {
            let removed = self.node.groups.remove(group).await;
            succeeded(&group, "cannot remove the data of a deleted partition", removed).then_some(group)
        };
        let removed: HashSet<_> = futures::stream::iter(self.doomed.clone())
            .map(remove)
            .buffer_unordered(PARTITION_OPENS)
            .filter_map(|group| async move { group })
            .collect()
            .await;
        self.doomed.retain(|group| !removed.contains(group));
        self.doomed.is_empty()
    }
}

fn succeeded(what: &impl std::fmt::Display, failure: &str, result: Result<(), StorageError>) -> bool {
    if let Err(error) = &result {
        tracing::error!(%what, %error, "{failure}; trying again in a while");
    }
    result.is_ok()
}
