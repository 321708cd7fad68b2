//! OffsetDelete: removes a consumer group's positions (KIP-496).

use std::sync::Arc;

use caudal_coordinator::Coordinator;
use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::offset_delete_request::{OffsetDeleteRequest, OffsetDeleteRequestTopic};
use caudal_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use caudal_coordinator::model::OffsetKey;

use crate::cluster::{Cluster, partition_of};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct OffsetDelete {
    cluster: Cluster,
    coordinator: Coordinator,
}

impl OffsetDelete {
    pub(crate) fn new(cluster: Cluster, coordinator: Coordinator) -> Self {
        Self { cluster, coordinator }
    }
}

impl Handler for OffsetDelete {
    type Request = OffsetDeleteRequest;
    type Response = OffsetDeleteResponse;

    async fn handle(&self, _context: &RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let image = self.cluster.image();
        let mut keys = Vec::new();
        let mut topics: Vec<OffsetDeleteResponseTopic> =
            request.topics.into_iter().map(|topic| check(&image, topic, &mut keys)).collect();
        // Asked even when there is nothing to remove: the group may not exist.
        let results = match self.coordinator.delete_offsets(&request.group_id, keys).await {
            Ok(results) => results,
            Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code().code()),
        };
        let parts = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for (part, result) in parts.filter(|part| part.error_code == 0).zip(results) {
            if let Err(error) = result {
                part.error_code = error.code().code();
            }
        }
        OffsetDeleteResponse::default().with_topics(topics)
    }
}

/// Refuses what does not exist, and puts the rest into `keys`.
fn check(
    image: &ClusterImage,
    topic: OffsetDeleteRequestTopic,
    keys: &mut Vec<OffsetKey>,
) -> OffsetDeleteResponseTopic {
    let found = image.topic(&topic.name);
    let partitions = topic.partitions.iter().map(|asked| {
        let index = asked.partition_index;
        let part = OffsetDeleteResponsePartition::default().with_partition_index(index);
        match found.filter(|topic| partition_of(topic, index).is_some()) {
            Some(topic) => {
                keys.push((Arc::clone(&topic.name), index));
                part
            }
            None => part.with_error_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.code()),
        }
    });
    let partitions = partitions.collect();
    OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
}

impl Outcome for OffsetDeleteResponse {
    fn failed(&self) -> bool {
        self.error_code != 0 || self.topics.iter().flat_map(|topic| &topic.partitions).any(|p| p.error_code != 0)
    }
}
