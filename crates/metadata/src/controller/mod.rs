//! Takes wishes, turns them into commands, proposes them. On a node that does not lead the metadata group, forwards them to the one that does.
//!
//! # Layout
//! - `charges`: wishes that someone pays for
//! - `model`: what is wished for, and what comes of it
//! - `wish`: wishes and answers as they travel between nodes
//! - `worker`: fulfils wishes on the leader, one after the other
//! - `router`: brings a wish to the leader, wherever that is
//! - `keeper`: forms the cluster, keeps this node registered
//! - `settle`: when a wish counts as fulfilled

mod charges;
mod keeper;
mod model;
mod router;
mod settle;
pub(crate) mod wish;
mod worker;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use caudal_raft::{GroupOptions, Members, PurgePolicy, RaftGroup, RaftGroups, Service, Transport};
use caudal_storage::{Engine, StorageError};
use caudal_types::{Clock, NodeId, ProducerId, RaftGroupId, Tasks, TopicId, off_thread};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use uuid::Uuid;

pub use model::{
    AlterClientQuotas, AlterGroupConfigs, AlterTopicConfigs, ConfigOp, ControllerConfig, CreatePartitions, CreateTopic,
    CreatedTopic, NodeRegistration,
};
use router::Router;
use settle::Settler;
use wish::{AlterConfigs, AlterGroups, AlterQuotas, AlterResources, CreateTopics, MorePartitions, Results, Wish};
use worker::{Parts, Worker};

use crate::arrival::Arrival;
use crate::decide::MutationMeters;
use crate::quotas::{Charged, Payer};
use crate::resources::AlterResourceConfigs;
use crate::state_machine::MetadataStateMachine;
use crate::{ClusterImage, LeaderTable, MetadataError, leaders};

/// After how many commands the log is replaced by a snapshot.
const PURGE_AFTER: u64 = 4096;

/// The pause before another try to rebuild a damaged replica of the metadata.
const REBUILD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How many producer ids a node takes at once, as in Kafka.
const PRODUCER_IDS: u32 = 1000;

/// How long a node tries to get a block of producer ids.
const PRODUCER_IDS_WITHIN: Duration = Duration::from_secs(5);

/// The shortest time that a wish is given to reach the controller, whatever the client says.
const SUBMIT_AT_LEAST: Duration = Duration::from_millis(500);

/// The controller; a cheap handle, present on every node.
#[derive(Clone, Debug)]
pub struct Controller {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: ControllerConfig,
    group: Arc<RaftGroup>,
    transport: Transport,
    images: watch::Receiver<Arc<ClusterImage>>,
    leaders: LeaderTable,
    router: Router,
    settler: Settler,
    /// What is left of this node's block.
    producer_ids: Mutex<Range<ProducerId>>,
    tasks: Tasks,
}

impl Controller {
    /// Opens this node's replica of the metadata group, forms the cluster if it is new, and keeps this node registered. A replica that is damaged
    /// is thrown away first, as soon as the other voters have theirs.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn start(
        config: ControllerConfig,
        groups: RaftGroups,
        transport: Transport,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let voters = members(&config.all_nodes()).voters;
        loop {
            let started =
                Self::open(config.clone(), groups.clone(), transport.clone(), engine.clone(), clock.clone()).await;
            let error = match started {
                Err(error @ StorageError::Corrupt(_)) if voters.iter().any(|node| *node != config.node_id) => error,
                other => return other,
            };
            tracing::error!(%error, "this node's replica of the cluster's metadata is damaged");
            if let Err(error) = groups.rebuild(RaftGroupId::METADATA, &voters).await {
                tracing::error!(%error, "trying again in a while");
                tokio::time::sleep(REBUILD_AGAIN_AFTER).await;
            }
        }
    }

    async fn open(
        config: ControllerConfig,
        groups: RaftGroups,
        transport: Transport,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let opened = off_thread::run(move || MetadataStateMachine::open(&*engine)).await;
        let (machine, images) = opened.map_err(|error| StorageError::Io(error.to_string()))??;
        let nodes = config.all_nodes();
        let members = members(&nodes);
        let peers: Vec<NodeId> = nodes.iter().copied().filter(|node| *node != config.node_id).collect();
        let tasks = Tasks::new();
        // Before the group is opened, so that no change of its leadership is missed.
        let leaders = leaders::announcer::start(
            config.node_id,
            &peers,
            groups.clone(),
            transport.clone(),
            images.clone(),
            &tasks,
        );
        let options = GroupOptions {
            purge: PurgePolicy::EveryEntries(PURGE_AFTER),
            commit_within: Duration::ZERO,
            spare_sync_within: Duration::ZERO,
        };
        let opened = groups.open(RaftGroupId::METADATA, members.clone(), Box::new(machine), options).await;
        let group = match opened {
            Ok(group) => group,
            Err(error) => {
                tasks.shutdown().await;
                return Err(error);
            }
        };
        let parts = Parts {
            config: config.clone(),
            group: Arc::clone(&group),
            images: images.clone(),
            liveness: transport.liveness(),
            clock,
            meters: MutationMeters::new(config.mutation_windows),
        };
        let worker = Worker::start(parts, &tasks);
        transport.serve(Service::Controller, Arc::new(worker.clone()));
        let router = Router {
            node: config.node_id,
            voters: members.voters,
            group: Arc::clone(&group),
            leaders: leaders.clone(),
            transport: transport.clone(),
            worker: worker.clone(),
        };
        keeper::Keeper {
            config: config.clone(),
            nodes,
            groups,
            group: Arc::clone(&group),
            images: images.clone(),
            worker,
            router: router.clone(),
        }
        .start(&tasks);
        let settler = Settler::new(Arrival::new(images.clone(), leaders.clone()), transport.clone(), peers);
        let producer_ids = Mutex::new(0..0);
        let inner = Inner { config, group, transport, images, leaders, router, settler, producer_ids, tasks };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The truth now, as this node knows it.
    pub fn image(&self) -> Arc<ClusterImage> {
        Arc::clone(&self.inner.images.borrow())
    }

    /// The truth, as it changes.
    pub fn images(&self) -> watch::Receiver<Arc<ClusterImage>> {
        self.inner.images.clone()
    }

    /// Who leads what.
    pub fn leaders(&self) -> &LeaderTable {
        &self.inner.leaders
    }

    /// The node that leads the metadata group: Kafka's controller.
    pub fn controller_id(&self) -> Option<NodeId> {
        let announced = self.inner.leaders.leader(RaftGroupId::METADATA).map(|leader| leader.node);
        announced.or_else(|| {
            let followed = self.inner.group.leadership().borrow().leader;
            followed.filter(|node| self.inner.transport.liveness().is_alive(*node))
        })
    }

    /// The voters of the metadata group.
    pub fn voters(&self) -> Vec<NodeId> {
        members(&self.inner.config.all_nodes()).voters
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &ControllerConfig {
        &self.inner.config
    }

    /// Creates topics, each for itself; answers when this node has them in its image and every new partition has a leader, or `within` has passed
    /// (then the topic exists, and the answer is [`MetadataError::TimedOut`]). The other live nodes know them too by then, or have had a second's time.
    pub async fn create_topics_for(
        &self,
        payer: Option<Payer>,
        topics: Vec<CreateTopic>,
        validate_only: bool,
        within: Duration,
    ) -> Charged<Vec<Result<CreatedTopic, MetadataError>>> {
        let deadline = Instant::now() + within;
        let count = topics.len();
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let topics = topics.into_iter().map(|topic| (new_topic_id(), topic)).collect();
        let wish = Wish::CreateTopics(CreateTopics { topics, validate_only });
        let (submitted, debt) = self.submit_for(payer, wish, deadline).await;
        debt.with(match submitted {
            Ok((_, Results::Topics(results))) if validate_only || results.len() != count => same_length(results, count),
            Ok((version, Results::Topics(results))) => {
                self.inner.settler.created(results, &names, version, deadline).await
            }
            Ok((_, other)) => same_length(Vec::new(), unexpected(&other, count)),
            Err(error) => vec![Err(error); count],
        })
    }

    /// Deletes topics by id, each for itself; answers when this node's image is without them. The other live nodes know it too by then, or have had a
    /// second's time.
    pub async fn delete_topics_for(
        &self,
        payer: Option<Payer>,
        topics: Vec<TopicId>,
        within: Duration,
    ) -> Charged<Vec<Result<(), MetadataError>>> {
        let deadline = Instant::now() + within;
        let count = topics.len();
        let (submitted, debt) = self.submit_for(payer, Wish::DeleteTopics(topics), deadline).await;
        debt.with(self.settle_each(submitted, count, false, deadline).await)
    }

    /// Waits until this node knows all that was decided before the call, so that what is not in its image is nowhere.
    ///
    /// # Errors
    /// When no controller can be reached, or this node has not caught up with it within `within`.
    pub async fn catch_up(&self, within: Duration) -> Result<Arc<ClusterImage>, MetadataError> {
        let deadline = Instant::now() + within;
        // A wish for nothing is answered with the version that a majority stands behind.
        let (version, _) = self.submit(Wish::DeleteTopics(Vec::new()), deadline).await?;
        self.inner.settler.image_at(version, deadline).await
    }

    /// Adds partitions, each topic for itself; answers when they have leaders, or `within` has passed (then they exist, and the answer is
    /// [`MetadataError::TimedOut`]). The other live nodes know them too by then, or have had a second's time.
    pub async fn create_partitions_for(
        &self,
        payer: Option<Payer>,
        topics: Vec<CreatePartitions>,
        validate_only: bool,
        within: Duration,
    ) -> Charged<Vec<Result<(), MetadataError>>> {
        let deadline = Instant::now() + within;
        let count = topics.len();
        let before = self.image();
        let new_of = topics.iter().map(|more| {
            let from = before.topic(&more.topic).map_or(0, |topic| topic.partitions.len());
            (more.topic.clone(), from)
        });
        let new_of: Vec<(String, usize)> = new_of.collect();
        let wish = Wish::CreatePartitions(MorePartitions { topics, validate_only });
        let (submitted, debt) = self.submit_for(payer, wish, deadline).await;
        debt.with(match submitted {
            Ok((version, Results::Each(results))) if !validate_only && results.len() == count => {
                self.inner.settler.grown(results, &new_of, version, deadline).await
            }
            other => self.settle_each(other, count, validate_only, deadline).await,
        })
    }

    /// Changes topics' settings, each topic for itself; answers when this node's image has them. The other live nodes have them too by then, or have
    /// had a second's time.
    pub async fn alter_topic_configs(
        &self,
        changes: Vec<AlterTopicConfigs>,
        validate_only: bool,
        within: Duration,
    ) -> Vec<Result<(), MetadataError>> {
        let deadline = Instant::now() + within;
        let count = changes.len();
        let wish = Wish::AlterTopicConfigs(AlterConfigs { topics: changes, validate_only });
        let submitted = self.submit(wish, deadline).await;
        self.settle_each(submitted, count, validate_only, deadline).await
    }

    /// Changes consumer groups' settings, each group for itself; answers when this node's image has them. The other live nodes have them too by then,
    /// or have had a second's time.
    pub async fn alter_group_configs(
        &self,
        changes: Vec<AlterGroupConfigs>,
        validate_only: bool,
        within: Duration,
    ) -> Vec<Result<(), MetadataError>> {
        let deadline = Instant::now() + within;
        let count = changes.len();
        let wish = Wish::AlterGroupConfigs(AlterGroups { groups: changes, validate_only });
        let submitted = self.submit(wish, deadline).await;
        self.settle_each(submitted, count, validate_only, deadline).await
    }

    /// Changes the own settings of nodes and of subscriptions to clients' metrics, each for itself; answers when this node's image has them. The other
    /// live nodes have them too by then, or have had a second's time.
    pub async fn alter_resource_configs(
        &self,
        changes: Vec<AlterResourceConfigs>,
        validate_only: bool,
        within: Duration,
    ) -> Vec<Result<(), MetadataError>> {
        let deadline = Instant::now() + within;
        let count = changes.len();
        let wish = Wish::AlterResourceConfigs(AlterResources { resources: changes, validate_only });
        let submitted = self.submit(wish, deadline).await;
        self.settle_each(submitted, count, validate_only, deadline).await
    }

    /// Changes what clients may use, each entity for itself; answers when this node's image has it. The other live nodes have it too by then, or have had a
    /// second's time.
    pub async fn alter_client_quotas(
        &self,
        changes: Vec<AlterClientQuotas>,
        validate_only: bool,
        within: Duration,
    ) -> Vec<Result<(), MetadataError>> {
        let deadline = Instant::now() + within;
        let count = changes.len();
        let wish = Wish::AlterClientQuotas(AlterQuotas { entities: changes, validate_only });
        let submitted = self.submit(wish, deadline).await;
        self.settle_each(submitted, count, validate_only, deadline).await
    }

    /// A producer id that no one else has or will get (blocks of ids come from the metadata group).
    ///
    /// # Errors
    /// When no controller can be reached.
    pub async fn next_producer_id(&self) -> Result<ProducerId, MetadataError> {
        let mut ids = self.inner.producer_ids.lock().await;
        if let Some(id) = ids.next() {
            return Ok(id);
        }
        let deadline = Instant::now() + PRODUCER_IDS_WITHIN;
        let first = match self.submit(Wish::AllocateProducerIds(PRODUCER_IDS), deadline).await? {
            (_, Results::ProducerIds(first)) => first?,
            (_, other) => {
                unexpected(&other, 0);
                return Err(unreadable());
            }
        };
        *ids = first + 1..first + ProducerId::from(PRODUCER_IDS);
        Ok(first)
    }

    /// Stops the background tasks.
    pub async fn shutdown(&self) {
        self.inner.tasks.shutdown().await;
    }

    async fn submit(&self, wish: Wish, deadline: Instant) -> Result<(u64, Results), MetadataError> {
        let at_least = Instant::now() + SUBMIT_AT_LEAST;
        self.inner.router.submit(wish, deadline.max(at_least)).await
    }

    async fn settle_each(
        &self,
        submitted: Result<(u64, Results), MetadataError>,
        count: usize,
        validate_only: bool,
        deadline: Instant,
    ) -> Vec<Result<(), MetadataError>> {
        match submitted {
            Ok((_, Results::Each(results))) if validate_only || results.len() != count => same_length(results, count),
            Ok((version, Results::Each(results))) => self.inner.settler.changed(results, version, deadline).await,
            Ok((_, other)) => same_length(Vec::new(), unexpected(&other, count)),
            Err(error) => vec![Err(error); count],
        }
    }
}

/// The voters of the metadata group: the first one, three or five nodes.
fn members(nodes: &[NodeId]) -> Members {
    let voters = match nodes.len() {
        0..=2 => nodes.len().min(1),
        3..=4 => 3,
        _ => 5,
    };
    let (voters, learners) = nodes.split_at(voters);
    Members { voters: voters.to_vec(), learners: learners.to_vec() }
}

/// A random id. As in Kafka its text form does not begin with '-', lest command-line tools take it for an option.
fn new_topic_id() -> TopicId {
    loop {
        let id = Uuid::new_v4();
        let first_character_is_dash = id.as_bytes()[0] >> 2 == 62;
        if !first_character_is_dash {
            return TopicId(id);
        }
    }
}

/// The controller's answer does not fit the wish: a node of another version, most likely.
fn unexpected(results: &Results, count: usize) -> usize {
    tracing::error!(?results, "the controller's answer does not fit the request");
    count
}

fn unreadable() -> MetadataError {
    MetadataError::TimedOut(
        "The controller's answer cannot be read; run the same version of Caudal on all nodes".to_owned(),
    )
}

fn same_length<T>(mut results: Vec<Result<T, MetadataError>>, count: usize) -> Vec<Result<T, MetadataError>> {
    results.truncate(count);
    results.resize_with(count, || Err(unreadable()));
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_nodes_vote() {
        let voters = |count: u32| {
            let members = members(&(1..=count).map(NodeId).collect::<Vec<_>>());
            assert_eq!(members.voters.len() + members.learners.len(), count as usize);
            assert_eq!(members.voters.first(), Some(&NodeId(1)));
            members.voters.len()
        };
        assert_eq!([1, 2, 3, 4, 5, 6, 9].map(voters), [1, 1, 3, 3, 5, 5, 5]);
    }

    #[test]
    fn topic_ids_are_no_options() {
        let ids: Vec<TopicId> = (0..2000).map(|_| new_topic_id()).collect();
        assert!(ids.iter().all(|id| id.0.as_bytes()[0] >> 2 != 62));
    }

    #[test]
    fn an_answer_of_another_length_is_no_answer() {
        assert_eq!(same_length(vec![Ok(1), Ok(2)], 1), [Ok(1)]);
        assert_eq!(same_length(vec![Ok(1)], 2), [Ok(1), Err(unreadable())]);
    }
}
