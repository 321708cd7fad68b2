//! When a wish counts as fulfilled: when this node shows it, the partitions that it made have leaders, and the other live nodes know all that.

use std::collections::HashSet;
use std::sync::Arc;

use caudal_raft::Transport;
use caudal_types::{NodeId, RaftGroupId};
use tokio::time::Instant;

use super::model::CreatedTopic;
use crate::arrival::{Arrival, SYNC_WITHIN, sync_peers};
use crate::{ClusterImage, MetadataError, TopicImage};

/// Waits for what has been decided to be known.
#[derive(Debug)]
pub(super) struct Settler {
    arrival: Arrival,
    transport: Transport,
    peers: Vec<NodeId>,
}

/// What is known at the deadline.
struct Settled {
    /// `None` when the image has not come in time.
    image: Option<Arc<ClusterImage>>,
    leaderless: HashSet<RaftGroupId>,
}

impl Settler {
    pub(super) fn new(arrival: Arrival, transport: Transport, peers: Vec<NodeId>) -> Self {
        Self { arrival, transport, peers }
    }

    /// This node's image, once it has come to `version`.
    pub(super) async fn image_at(&self, version: u64, deadline: Instant) -> Result<Arc<ClusterImage>, MetadataError> {
        self.arrival.image_at(version, deadline).await.ok_or_else(|| {
            MetadataError::TimedOut("This node has not caught up with the controller in time; try again".to_owned())
        })
    }

    /// Waits for new topics, and a little for those that someone else has just created: whoever is told that a topic exists finds it here.
    pub(super) async fn created(
        &self,
        results: Vec<Result<CreatedTopic, MetadataError>>,
        names: &[String],
        version: u64,
        deadline: Instant,
    ) -> Vec<Result<CreatedTopic, MetadataError>> {
        let existing =
            results.iter().zip(names).filter(|(result, _)| matches!(result, Err(MetadataError::TopicExists(_))));
        let existing: Vec<&String> = existing.map(|(_, name)| name).collect();
        if !existing.is_empty() {
            let soon = deadline.min(Instant::now() + SYNC_WITHIN);
            if let Some(image) = self.arrival.image_at(version, soon).await {
                let topics = existing.into_iter().filter_map(|name| image.topic(name));
                let groups = topics.flat_map(|topic| groups_from(topic, 0)).collect();
                self.arrival.leaders_of(groups, soon).await;
            }
        }
        let ids: Vec<_> = results.iter().flatten().map(|created| created.id).collect();
        if ids.is_empty() {
            return results;
        }
        let groups = |image: &ClusterImage| {
            let topics = ids.iter().filter_map(|id| image.topic_by_id(*id));
            topics.flat_map(|topic| groups_from(topic, 0)).collect()
        };
        let settled = self.settle(version, groups, deadline).await;
        let check = |created: CreatedTopic| {
            let topic = settled.image.as_ref().and_then(|image| image.topic_by_id(created.id));
            settled.check(topic, 0).map(|()| created)
        };
        results.into_iter().map(|result| result.and_then(check)).collect()
    }

    /// Waits for more partitions of topics, given by name and how many partitions they had.
    pub(super) async fn grown(
        &self,
        results: Vec<Result<(), MetadataError>>,
        topics: &[(String, usize)],
        version: u64,
        deadline: Instant,
    ) -> Vec<Result<(), MetadataError>> {
        if results.iter().all(Result::is_err) {
            return results;
        }
        let groups = |image: &ClusterImage| {
            let topics = results.iter().zip(topics).filter(|(result, _)| result.is_ok());
            let topics = topics.filter_map(|(_, (name, from))| image.topic(name).map(|topic| (topic, *from)));
            topics.flat_map(|(topic, from)| groups_from(topic, from)).collect()
        };
        let settled = self.settle(version, groups, deadline).await;
        let check = |(result, (name, from)): (Result<(), MetadataError>, &(String, usize))| {
            let topic = settled.image.as_ref().and_then(|image| image.topic(name));
            result.and_then(|()| settled.check(topic, *from))
        };
        results.into_iter().zip(topics).map(check).collect()
    }

    /// Waits for anything else.
    pub(super) async fn changed(
        &self,
        results: Vec<Result<(), MetadataError>>,
        version: u64,
        deadline: Instant,
    ) -> Vec<Result<(), MetadataError>> {
        if results.iter().all(Result::is_err) {
            return results;
        }
        let settled = self.settle(version, |_| Vec::new(), deadline).await;
        results.into_iter().map(|result| result.and_then(|()| settled.check(None, 0))).collect()
    }

    async fn settle(
        &self,
        version: u64,
        groups: impl Fn(&ClusterImage) -> Vec<RaftGroupId>,
        deadline: Instant,
    ) -> Settled {
        let image = self.arrival.image_at(version, deadline).await;
        let groups = image.as_deref().map(groups).unwrap_or_default();
        let leaderless = self.arrival.leaders_of(groups.clone(), deadline).await;
        if image.is_some() && leaderless.is_empty() {
            sync_peers(&self.transport, &self.peers, version, &groups, deadline).await;
        }
        Settled { image, leaderless: leaderless.into_iter().collect() }
    }
}

impl Settled {
    /// Whether it is known here, and the partitions of `topic` behind the first `from` have leaders. A topic that is gone by now needs none.
    fn check(&self, topic: Option<&Arc<TopicImage>>, from: usize) -> Result<(), MetadataError> {
        if self.image.is_none() {
            return Err(MetadataError::TimedOut(
                "It is done, but this node has not heard of it in time; it will soon".to_owned(),
            ));
        }
        let Some(topic) = topic else { return Ok(()) };
        let leaderless = groups_from(topic, from).filter(|group| self.leaderless.contains(group)).count();
        if leaderless == 0 {
            return Ok(());
        }
        Err(MetadataError::TimedOut(format!(
            "The topic '{}' is there, but {leaderless} of its partitions have no leader yet; each needs a majority of its replicas' nodes running",
            topic.name
        )))
    }
}

fn groups_from(topic: &TopicImage, from: usize) -> impl Iterator<Item = RaftGroupId> {
    topic.partitions.iter().skip(from).map(|partition| partition.group)
}
