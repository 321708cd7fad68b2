//! Makes the local replicas match the cluster image.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::{ClusterImage, RaftGroupImage, TopicImage};
use caudal_raft::groups_on_disk;
use caudal_types::limits::PARTITION_OPENS;
use caudal_types::topic_config::TopicConfig;
use caudal_types::{NodeId, RaftGroupId, TopicId, TopicPartition};
use futures::StreamExt;
use tokio::sync::watch;

use crate::apart::apart_async;
use crate::config::PartitionConfig;
use crate::directory::Directory;
use crate::leftovers::Leftovers;
use crate::partition::{NodeParts, PartitionSpec};
use crate::{Partition, PartitionsConfig};

/// How long the reconciler waits before it tries again what failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The task's name.
pub(crate) const PARTITION_RECONCILER: &str = "partition reconciler";

/// Follows the cluster image: opens, changes and removes local replicas.
///
/// All that it remembers it can find again: what is open in the directory, what is to be there in the image, what is left behind on the disk.
#[derive(Debug)]
pub(crate) struct Reconciler {
    config: PartitionsConfig,
    node: Arc<NodeParts>,
    directory: Arc<Directory>,
    /// The topics as they were last seen; an unchanged one is not looked at again.
    topics: HashMap<TopicId, Arc<TopicImage>>,
    /// The node-level values of topic settings as they were last seen; when they change, all topics are looked at again.
    topic_defaults: BTreeMap<String, String>,
    /// Replicas that are to be opened, in the same order on all nodes: who campaigns for a new one needs the others to have opened it too.
    missing: BTreeMap<RaftGroupId, PartitionSpec>,
    /// Groups of deleted topics whose data is still to be removed.
    doomed: HashSet<RaftGroupId>,
    leftovers: Leftovers,
    /// Replicas whose logs are to be synced in another way than before.
    to_flush: BTreeMap<RaftGroupId, Arc<Partition>>,
}

impl Reconciler {
    pub(crate) fn new(config: PartitionsConfig, node: Arc<NodeParts>, directory: Arc<Directory>) -> Self {
        // Whether those that are open already are synced as they should be, nobody knows any more.
        let to_flush = directory.all().into_iter().map(|partition| (partition.group(), partition)).collect();
        Self {
            config,
            node,
            directory,
            topics: HashMap::new(),
            topic_defaults: BTreeMap::new(),
            missing: BTreeMap::new(),
            doomed: HashSet::new(),
            leftovers: Leftovers::default(),
            to_flush,
        }
    }

    /// Follows the images until their source is gone.
    pub(crate) async fn run(mut self, mut images: watch::Receiver<Arc<ClusterImage>>) {
        self.find_leftovers().await;
        let mut damaged = self.node.groups.damaged();
        loop {
            let image = Arc::clone(&images.borrow_and_update());
            let broken = damaged.borrow_and_update().clone();
            self.take_out(&broken);
            self.look_at(&image);
            self.flush_as_configured().await;
            self.remove_doomed().await;
            self.open_missing(&broken).await;
            let settled = self.doomed.is_empty() && self.missing.is_empty() && self.to_flush.is_empty();
            tokio::select! {
                changed = images.changed() => if changed.is_err() { return },
                changed = damaged.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY_AFTER), if !settled => {}
            }
        }
    }

    async fn find_leftovers(&mut self) {
        let engine = Arc::clone(&self.node.engine);
        match self.node.disk.run(move || groups_on_disk(engine.as_ref())).await {
            Ok(groups) => self.leftovers = Leftovers::new(groups),
            Err(error) => {
                tracing::error!(%error, "cannot look for replicas of deleted topics; they stay until the next start");
            }
        }
    }

    /// Serves from damaged replicas no more, unless there is no other: those are to be thrown away and opened again.
    fn take_out(&mut self, damaged: &BTreeSet<RaftGroupId>) {
        for partition in damaged.iter().filter_map(|group| self.directory.by_group(*group)) {
            if partition.replica_count() > 1 {
                self.directory.remove(partition.group());
                self.missing.insert(partition.group(), partition.spec());
            }
        }
    }

    /// Finds out what is to be opened, changed and removed.
    fn look_at(&mut self, image: &ClusterImage) {
        self.doomed.extend(self.leftovers.doomed_by(image));
        let (node, doomed, missing) = (self.node.node_id, &mut self.doomed, &mut self.missing);
        self.topics.retain(|id, topic| {
            let lives = image.topic_names.contains_key(id);
            for (_, replica) in local(topic, node).filter(|_| !lives) {
                missing.remove(&replica.group);
                doomed.insert(replica.group);
            }
            lives
        });
        let topic_defaults = image.topic_defaults(node, &self.config.topic_defaults).into_owned();
        if topic_defaults != self.topic_defaults {
            self.topics.clear();
            self.topic_defaults.clone_from(&topic_defaults);
        }
        for topic in image.topics.values() {
            if self.topics.get(&topic.id).is_none_or(|seen| !Arc::ptr_eq(seen, topic)) {
                self.follow(topic, &topic_defaults);
                self.topics.insert(topic.id, Arc::clone(topic));
            }
        }
    }

    /// Brings the open replicas of a topic up to date, and notes those that are not open.
    fn follow(&mut self, topic: &TopicImage, topic_defaults: &BTreeMap<String, String>) {
        let resolved = TopicConfig::resolve(&topic.configs, topic_defaults);
        let set = topic_defaults.get("producer.id.expiration.ms").and_then(|value| value.parse().ok());
        let config = PartitionConfig::new(resolved, set.unwrap_or(self.config.producer_expiration_ms));
        let config = Arc::new(config);
        for (partition, replica) in local(topic, self.node.node_id) {
            if let Some(open) = self.directory.by_group(replica.group) {
                if open.update(&replica.replicas, &config) {
                    self.to_flush.insert(replica.group, open);
                }
                continue;
            }
            let spec = PartitionSpec {
                name: TopicPartition { topic: Arc::clone(&topic.name), partition },
                topic_id: topic.id,
                group: replica.group,
                replicas: replica.replicas.clone(),
                config: Arc::clone(&config),
            };
            self.missing.insert(replica.group, spec);
        }
    }

    async fn flush_as_configured(&mut self) {
        let changing = |(group, partition): (RaftGroupId, Arc<Partition>)| async move {
            let changed = partition.flush_as_configured().await;
            if let Err(error) = &changed {
                tracing::error!(%group, %error, "cannot change how a partition's log is synced; trying again in a while");
            }
            changed.is_ok().then_some(group)
        };
        let changed = side_by_side(self.to_flush.clone(), changing).await;
        self.to_flush.retain(|group, partition| {
            !changed.contains(group)
                && self.directory.by_group(*group).is_some_and(|open| Arc::ptr_eq(&open, partition))
        });
    }

    async fn open_missing(&mut self, damaged: &BTreeSet<RaftGroupId>) {
        let specs: Vec<_> = self.missing.values().cloned().collect();
        let opening = |spec: PartitionSpec| {
            let is_damaged = damaged.contains(&spec.group);
            open_apart(&self.node, &self.directory, spec, is_damaged)
        };
        let opened = side_by_side(specs, opening).await;
        self.missing.retain(|group, _| !opened.contains(group));
    }

    async fn remove_doomed(&mut self) {
        for &group in &self.doomed {
            self.directory.remove(group);
        }
        let node = &self.node;
        let removal = |group: RaftGroupId| async move {
            let removal = remove(node, group);
            apart_async(PARTITION_RECONCILER, group, removal).await.flatten()
        };
        let removed = side_by_side(self.doomed.clone(), removal).await;
        self.doomed.retain(|group| !removed.contains(group));
    }
}

async fn open_apart(
    node: &Arc<NodeParts>,
    directory: &Directory,
    spec: PartitionSpec,
    is_damaged: bool,
) -> Option<RaftGroupId> {
    let (group, name) = (spec.group, spec.name.clone());
    let opening = Box::pin(open(node, directory, spec, is_damaged));
    let opened = apart_async(PARTITION_RECONCILER, name, opening).await;
    if opened.is_none() {
        // The Raft group may be open with a state machine that nobody knows any more; the next try must get its own.
        node.groups.close(group).await;
    }
    opened.flatten()
}

/// Opens a replica; a damaged one is thrown away first, and begins anew.
async fn open(
    node: &Arc<NodeParts>,
    directory: &Directory,
    spec: PartitionSpec,
    is_damaged: bool,
) -> Option<RaftGroupId> {
    let (group, name) = (spec.group, spec.name.clone());
    if is_damaged && let Err(error) = node.groups.rebuild(group, &spec.replicas).await {
        tracing::error!(partition = %name, %error, "a damaged replica cannot be rebuilt; trying again in a while");
        return None;
    }
    if is_damaged {
        node.chores.removed();
    }
    match Partition::open(Arc::clone(node), spec).await {
        Ok(partition) => {
            directory.insert(Arc::new(partition));
            Some(group)
        }
        Err(error) => {
            tracing::error!(partition = %name, %error, "cannot open a replica; trying again in a while");
            node.groups.note_damage(group, &error);
            None
        }
    }
}

async fn remove(node: &NodeParts, group: RaftGroupId) -> Option<RaftGroupId> {
    let removed = node.groups.remove(group).await;
    match &removed {
        Ok(()) => node.chores.removed(),
        Err(error) => {
            tracing::error!(%group, %error, "cannot remove the data of a deleted partition; trying again in a while");
        }
    }
    removed.is_ok().then_some(group)
}

/// The partitions of a topic that `node` holds, with their numbers.
fn local(topic: &TopicImage, node: NodeId) -> impl Iterator<Item = (i32, &RaftGroupImage)> {
    (0..).zip(&topic.partitions).filter(move |(_, replica)| replica.replicas.contains(&node))
}

/// Runs `job` for all items, some at a time, and collects what succeeded.
async fn side_by_side<T, F: Future<Output = Option<RaftGroupId>>>(
    items: impl IntoIterator<Item = T>,
    job: impl FnMut(T) -> F,
) -> HashSet<RaftGroupId> {
    let done = futures::stream::iter(items).map(job).buffer_unordered(PARTITION_OPENS);
    done.filter_map(|group| async move { group }).collect().await
}
