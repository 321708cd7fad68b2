//! Metadata: nodes, topics, leaders. Creates topics on demand where that is allowed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::{ClusterImage, CreateTopic, MetadataError, TopicImage};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::BrokerId;
use caudal_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use caudal_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use caudal_types::TopicId;
use caudal_types::topic_name::validate_topic_name;
use tokio::time::{Instant, timeout_at};

use crate::access;
use crate::cluster::Cluster;
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::{topic_name, wire};

/// How long a client waits for topics that are made on demand, and for their leaders.
const AUTO_CREATE_WITHIN: Duration = Duration::from_secs(5);

/// How long an answer waits for elections that are under way. They take some tens of milliseconds, and a client that is told "no leader" (or the leader that
/// has just died) asks again only after a second or more.
const LEADERS_WITHIN: Duration = Duration::from_millis(500);

/// How long an answer waits for a sign of life from the nodes that it is about to name as leaders. A client whose leader has just died asks at once, and can
/// be faster than the word of that death: told the dead leader again, it would lose a second or two until it asks once more.
const PROBE_WITHIN: Duration = Duration::from_millis(20);

pub(crate) struct Metadata {
    cluster: Cluster,
    auto_create: bool,
}

/// The topics that a request is about.
#[derive(Debug, PartialEq)]
enum Asked {
    All,
    Names(BTreeSet<String>),
    Ids(BTreeSet<TopicId>),
    /// The request is not well-formed in its version.
    Invalid,
}

impl Metadata {
    pub(crate) fn new(cluster: Cluster, auto_create: bool) -> Self {
        Self { cluster, auto_create }
    }

    /// The topics asked for, once their partitions have leaders or these are not to be had soon.
    async fn settled_topics(&self, context: &RequestContext, request: &MetadataRequest) -> Vec<MetadataResponseTopic> {
        self.cluster.confirm_alive(PROBE_WITHIN).await;
        let deadline = Instant::now() + LEADERS_WITHIN;
        let mut changes = self.cluster.controller().leaders().changes();
        loop {
            changes.mark_unchanged();
            let topics = self.topics(context, request).await;
            let settled = !topics.iter().flat_map(|topic| &topic.partitions).any(lacks_leader);
            if settled || !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return topics;
            }
        }
    }

    async fn topics(&self, context: &RequestContext, request: &MetadataRequest) -> Vec<MetadataResponseTopic> {
        let version = context.version;
        let image = self.cluster.image();
        match Asked::of(version, request.topics.as_deref()) {
            Asked::All => image.topics.values().map(|topic| self.topic(version, &image, topic)).collect(),
            Asked::Ids(ids) => ids.into_iter().map(|id| self.by_id(version, &image, id)).collect(),
            Asked::Names(names) => {
                let may_create = self.auto_create && request.allow_auto_topic_creation;
                let missing = names.iter().filter(|name| image.topic(name).is_none());
                let missing: Vec<String> = if may_create { missing.cloned().collect() } else { Vec::new() };
                let refused = self.create(context, missing).await;
                let image = self.cluster.image();
                names.iter().map(|name| self.by_name(version, &image, name, refused.get(name).copied())).collect()
            }
            Asked::Invalid => {
                let topics = request.topics.iter().flatten();
                let name = |topic: &MetadataRequestTopic| topic.name.as_deref().cloned().unwrap_or_default();
                topics.map(|topic| refusal(version, Some(&name(topic)), ErrorCode::INVALID_REQUEST)).collect()
            }
        }
    }

    /// Makes topics with the defaults; tells why, where it cannot.
    async fn create(&self, context: &RequestContext, names: Vec<String>) -> HashMap<String, ErrorCode> {
        let (names, illegal): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| validate_topic_name(name).is_ok());
        let mut refused: HashMap<String, ErrorCode> =
            illegal.into_iter().map(|name| (name, ErrorCode::INVALID_TOPIC_EXCEPTION)).collect();
        if names.is_empty() {
            return refused;
        }
        let topic = |name: &String| CreateTopic {
            name: name.clone(),
            partitions: -1,
            replication_factor: -1,
            ..CreateTopic::default()
        };
        let wished = names.iter().map(topic).collect();
        // Whoever cannot pay is told to ask again, as if the topic were on its way.
        let controller = self.cluster.controller();
        let made = controller.create_topics_for(Some(context.payer(true)), wished, false, AUTO_CREATE_WITHIN).await;
        let mut awaited = Vec::new();
        for (name, result) in names.into_iter().zip(made.results) {
            match result {
                Ok(_) => tracing::info!(topic = %name, "topic created on demand"),
                // Someone else was faster.
                Err(MetadataError::TopicExists(_)) => awaited.push(name),
                Err(error) => {
                    tracing::warn!(topic = %name, %error, "a topic could not be created on demand");
                    refused.insert(name, on_demand_code(&error));
                }
            }
        }
        self.cluster.await_topics(&awaited, AUTO_CREATE_WITHIN).await;
        refused
    }

    fn by_name(
        &self,
        version: i16,
        image: &ClusterImage,
        name: &str,
        refused: Option<ErrorCode>,
    ) -> MetadataResponseTopic {
        match image.topic(name) {
            Some(topic) => self.topic(version, image, topic),
            None if validate_topic_name(name).is_err() => {
                refusal(version, Some(name), ErrorCode::INVALID_TOPIC_EXCEPTION)
            }
            None => refusal(version, Some(name), refused.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
        }
    }

    fn by_id(&self, version: i16, image: &ClusterImage, id: TopicId) -> MetadataResponseTopic {
        match image.topic_by_id(id) {
            Some(topic) => self.topic(version, image, topic),
            None => refusal(version, None, ErrorCode::UNKNOWN_TOPIC_ID).with_topic_id(id.0),
        }
    }

    fn topic(&self, version: i16, image: &ClusterImage, topic: &Arc<TopicImage>) -> MetadataResponseTopic {
        let partitions = topic.partitions.iter().zip(0..).map(|(group, index)| {
            let state = self.cluster.partition_state(image, group);
            MetadataResponsePartition::default()
                .with_error_code(state.error.code())
                .with_partition_index(index)
                .with_leader_id(state.leader)
                .with_leader_epoch(if version >= 7 { state.leader_epoch } else { -1 })
                .with_replica_nodes(state.replicas)
                .with_isr_nodes(state.in_sync)
                .with_offline_replicas(if version >= 5 { state.offline } else { Vec::new() })
        });
        MetadataResponseTopic::default()
            .with_name(Some(topic_name(&topic.name)))
            .with_topic_id(if version >= 10 { topic.id.0 } else { uuid::Uuid::nil() })
            .with_partitions(partitions.collect())
    }
}

impl Asked {
    fn of(version: i16, topics: Option<&[MetadataRequestTopic]>) -> Self {
        let Some(topics) = topics else { return Self::All };
        if topics.is_empty() {
            // Version 0 has no null, and asks for all topics so.
            return if version == 0 { Self::All } else { Self::Names(BTreeSet::new()) };
        }
        let by_id = |topic: &MetadataRequestTopic| !topic.topic_id.is_nil();
        if version < 12 && topics.iter().any(|topic| topic.name.is_none() || by_id(topic)) {
            return Self::Invalid;
        }
        if topics.iter().any(by_id) {
            return Self::Ids(topics.iter().filter(|t| by_id(t)).map(|topic| TopicId(topic.topic_id)).collect());
        }
        Self::Names(topics.iter().filter_map(|topic| Some(topic.name.as_ref()?.to_string())).collect())
    }
}

fn lacks_leader(partition: &MetadataResponsePartition) -> bool {
    partition.error_code == ErrorCode::LEADER_NOT_AVAILABLE.code()
}

/// The code of a topic that could not be made on demand. What may yet come true makes clients ask again.
fn on_demand_code(error: &MetadataError) -> ErrorCode {
    match error {
        MetadataError::TimedOut(_) | MetadataError::NoController(_) | MetadataError::Throttled(_) => {
            ErrorCode::LEADER_NOT_AVAILABLE
        }
        other => other.code(),
    }
}

fn refusal(version: i16, name: Option<&str>, code: ErrorCode) -> MetadataResponseTopic {
    // The name cannot be null before version 12.
    let name = if version < 12 { Some(name.unwrap_or_default()) } else { name };
    MetadataResponseTopic::default().with_error_code(code.code()).with_name(name.map(topic_name))
}

impl Handler for Metadata {
    type Request = MetadataRequest;
    type Response = MetadataResponse;

    async fn handle(&self, context: &RequestContext, request: MetadataRequest) -> MetadataResponse {
        let version = context.version;
        let mut topics = self.settled_topics(context, &request).await;
        if version >= 8 && request.include_topic_authorized_operations {
            topics.iter_mut().for_each(|topic| topic.topic_authorized_operations = access::TOPIC);
        }
        let asked_cluster = request.include_cluster_authorized_operations && (8..=10).contains(&version);
        let image = self.cluster.image();
        let brokers = self.cluster.listed_nodes(&image).map(|node| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(node.id.as_kafka()))
                .with_host(wire(&node.host))
                .with_port(i32::from(node.port))
                .with_rack(node.rack.as_deref().filter(|_| version >= 1).map(wire))
        });
        MetadataResponse::default()
            .with_brokers(brokers.collect())
            .with_cluster_id((version >= 2).then(|| wire(&image.cluster_id)))
            .with_controller_id(self.cluster.controller_id(&image))
            .with_topics(topics)
            .with_cluster_authorized_operations(access::if_asked(asked_cluster, access::CLUSTER))
    }
}

impl Outcome for MetadataResponse {
    fn failed(&self) -> bool {
        let partition_failed = |topic: &MetadataResponseTopic| topic.partitions.iter().any(|p| p.error_code != 0);
        self.topics.iter().any(|topic| topic.error_code != 0 || partition_failed(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> MetadataRequestTopic {
        MetadataRequestTopic::default().with_name(Some(topic_name(name)))
    }

    #[test]
    fn null_and_empty_mean_what_they_do_in_each_version() {
        assert_eq!(Asked::of(0, Some(&[])), Asked::All);
        assert_eq!(Asked::of(1, Some(&[])), Asked::Names(BTreeSet::new()));
        assert_eq!(Asked::of(1, None), Asked::All);
        assert_eq!(
            Asked::of(9, Some(&[named("b"), named("a"), named("b")])),
            Asked::Names(["a".to_owned(), "b".to_owned()].into())
        );
    }

    #[test]
    fn ids_are_asked_for_from_version_12_on() {
        let id = uuid::Uuid::from_u128(7);
        let by_id = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        assert_eq!(Asked::of(12, Some(std::slice::from_ref(&by_id))), Asked::Ids([TopicId(id)].into()));
        assert_eq!(Asked::of(11, Some(&[by_id])), Asked::Invalid);
        assert_eq!(Asked::of(11, Some(&[MetadataRequestTopic::default().with_name(None)])), Asked::Invalid);
    }
}
