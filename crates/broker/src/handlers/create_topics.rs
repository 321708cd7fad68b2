//! CreateTopics: makes topics, or only says whether they could be made.

use std::collections::BTreeMap;
use std::sync::Arc;

use caudal_metadata::{CreateTopic, CreatedTopic};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::TopicName;
use caudal_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use caudal_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use caudal_types::NodeId;

use crate::cluster::Cluster;
use crate::configs::{NodeLevel, Setting, of_topic};
use crate::error::Refusal;
use crate::handlers::wishes::{Wishes, wishes};
use crate::handlers::within;
use crate::quotas::Quotas;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::wire;

/// From this version on the answer tells what was made (KIP-525).
const DETAILS: i16 = 5;
/// From this version on the answer tells the topic's id.
const IDS: i16 = 7;

/// From this version on clients understand that they have used up what they may (KIP-599).
const STRICT: i16 = 6;

pub(crate) struct CreateTopics {
    cluster: Cluster,
    quotas: Arc<Quotas>,
}

impl CreateTopics {
    pub(crate) fn new(cluster: Cluster, quotas: Arc<Quotas>) -> Self {
        Self { cluster, quotas }
    }

    fn created(&self, version: i16, name: TopicName, created: CreatedTopic) -> CreatableTopicResult {
        let result = CreatableTopicResult::default().with_name(name);
        if version < DETAILS {
            return result;
        }
        let (image, own) = (self.cluster.image(), self.cluster.controller().config());
        let node_level = NodeLevel { dynamic: &image.resources, node: own.node_id, fixed: &own.topic_defaults };
        let settings = of_topic(&created.configs, node_level);
        let result = result
            .with_num_partitions(created.partitions)
            .with_replication_factor(created.replication_factor)
            .with_configs(Some(settings.iter().map(config).collect()));
        if version >= IDS { result.with_topic_id(created.id.0) } else { result }
    }
}

impl Handler for CreateTopics {
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;

    async fn handle(&self, context: &RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let Wishes { names, wished, refused: refusals } = wishes(request.topics, |topic| &topic.name, typed);
        let mut results: Vec<_> = refusals.into_iter().map(|(name, refusal)| refused(name, &refusal)).collect();
        let mut throttle_ms = 0;
        if !wished.is_empty() {
            let controller = self.cluster.controller();
            let (payer, within) = (context.payer(context.version >= STRICT), within(request.timeout_ms));
            let made = controller.create_topics_for(Some(payer), wished, request.validate_only, within).await;
            throttle_ms = made.throttle_ms;
            results.extend(names.into_iter().zip(made.results).map(|(name, made)| match made {
                Ok(created) => self.created(context.version, name, created),
                Err(error) => refused(name, &Refusal::from(&error)),
            }));
        }
        self.quotas.mutated(throttle_ms);
        CreateTopicsResponse::default().with_topics(results).with_throttle_time_ms(throttle_ms)
    }
}

fn typed(topic: CreatableTopic) -> Result<CreateTopic, Refusal> {
    if !topic.assignments.is_empty() && (topic.num_partitions != -1 || topic.replication_factor != -1) {
        return Err(Refusal::invalid_request(
            "replicas were assigned by hand; then set the number of partitions and the replication factor to -1",
        ));
    }
    let configs = topic.configs.into_iter().map(|c| (c.name.to_string(), c.value.as_deref().map(str::to_owned)));
    Ok(CreateTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments(topic.assignments)?,
        configs: configs.collect(),
    })
}

fn assignments(assigned: Vec<CreatableReplicaAssignment>) -> Result<BTreeMap<i32, Vec<NodeId>>, Refusal> {
    let mut assignments = BTreeMap::new();
    for partition in assigned {
        let index = partition.partition_index;
        let replicas = nodes(partition.broker_ids.iter().map(|id| id.0))?;
        if assignments.insert(index, replicas).is_some() {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!("partition {index} is assigned twice; assign it once"),
            ));
        }
    }
    Ok(assignments)
}

/// Node ids of a request.
pub(crate) fn nodes(ids: impl Iterator<Item = i32>) -> Result<Vec<NodeId>, Refusal> {
    let node = |id: i32| {
        u32::try_from(id).map(NodeId).map_err(|_| {
            Refusal::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!("there is no node {id}; node ids are not negative"),
            )
        })
    };
    ids.map(node).collect()
}

fn refused(name: TopicName, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(refusal.code().code())
        .with_error_message(refusal.message())
}

fn config(setting: &Setting) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(setting.name.into())
        .with_value(setting.value().map(wire))
        .with_read_only(false)
        .with_config_source(setting.source().code())
}

impl Outcome for CreateTopicsResponse {
    fn failed(&self) -> bool {
        self.topics.iter().any(|topic| topic.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use caudal_protocol::messages::BrokerId;

    use super::*;
    use crate::text::topic_name;

    fn assigned(index: i32, brokers: &[i32]) -> CreatableReplicaAssignment {
        let brokers = brokers.iter().map(|id| BrokerId(*id)).collect();
        CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers)
    }

    fn topic(partitions: i32, factor: i16, assignments: Vec<CreatableReplicaAssignment>) -> CreatableTopic {
        CreatableTopic::default()
            .with_name(topic_name("t"))
            .with_num_partitions(partitions)
            .with_replication_factor(factor)
            .with_assignments(assignments)
    }

    #[test]
    fn assignments_exclude_numbers_and_come_once() {
        let code = |topic| typed(topic).unwrap_err().code();
        let made = typed(topic(-1, -1, vec![assigned(0, &[1, 2]), assigned(1, &[2])])).unwrap();
        assert_eq!(made.assignments, BTreeMap::from([(0, vec![NodeId(1), NodeId(2)]), (1, vec![NodeId(2)])]));
        assert_eq!(code(topic(2, -1, vec![assigned(0, &[1])])), ErrorCode::INVALID_REQUEST);
        assert_eq!(code(topic(-1, 3, vec![assigned(0, &[1])])), ErrorCode::INVALID_REQUEST);
        let twice = vec![assigned(0, &[1]), assigned(0, &[2])];
        assert_eq!(code(topic(-1, -1, twice)), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
        assert_eq!(code(topic(-1, -1, vec![assigned(0, &[-1])])), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
        assert_eq!(typed(topic(6, 3, vec![])).unwrap().partitions, 6);
    }
}
