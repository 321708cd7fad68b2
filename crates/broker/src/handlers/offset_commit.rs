//! OffsetCommit: a consumer group's positions.

use std::sync::Arc;

use caudal_coordinator::model::{MemberIdentity, OffsetToCommit};
use caudal_coordinator::{Coordinator, GroupError};
use caudal_metadata::{ClusterImage, TopicImage};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::OffsetCommitRequest;
use caudal_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use caudal_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use crate::cluster::{Cluster, TopicRef, partition_of};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on members of the consumer protocol commit (KIP-848).
const WITH_EPOCHS: i16 = 9;
/// From this version on topics are named by id.
const BY_ID: i16 = 10;

pub(crate) struct OffsetCommit {
    cluster: Cluster,
    coordinator: Coordinator,
}

impl OffsetCommit {
    pub(crate) fn new(cluster: Cluster, coordinator: Coordinator) -> Self {
        Self { cluster, coordinator }
    }
}

impl Handler for OffsetCommit {
    type Request = OffsetCommitRequest;
    type Response = OffsetCommitResponse;

    async fn handle(&self, context: &RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let image = self.cluster.image();
        let retention_ms = Some(request.retention_time_ms).filter(|ms| context.version <= 4 && *ms >= 0);
        let mut offsets = Vec::new();
        let mut response: Vec<OffsetCommitResponseTopic> = request
            .topics
            .iter()
            .map(|topic| check_topic(context.version, &image, topic, retention_ms, &mut offsets))
            .collect();
        let member = MemberIdentity {
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.as_deref().map(str::to_owned),
            generation: request.generation_id_or_member_epoch,
            before_epochs: context.version < WITH_EPOCHS,
        };
        let count = offsets.len();
        let results = if count == 0 {
            Vec::new()
        } else {
            let results = self.coordinator.commit_offsets(&request.group_id, &member, offsets).await;
            results.unwrap_or_else(|error| vec![Err(error); count])
        };
        fill_in(&mut response, results);
        OffsetCommitResponse::default().with_topics(response)
    }
}

/// Refuses what does not exist, and puts the rest into `offsets`.
fn check_topic(
    version: i16,
    image: &ClusterImage,
    topic: &OffsetCommitRequestTopic,
    retention_ms: Option<i64>,
    offsets: &mut Vec<OffsetToCommit>,
) -> OffsetCommitResponseTopic {
    let found = TopicRef::new(version >= BY_ID, &topic.name, topic.topic_id).find(image).cloned();
    let mut part = |partition: &OffsetCommitRequestPartition| {
        let part = OffsetCommitResponsePartition::default().with_partition_index(partition.partition_index);
        match check(&found, partition) {
            Ok(topic) => offsets.push(to_commit(topic, partition, retention_ms)),
            Err(code) => return part.with_error_code(code.code()),
        }
        part
    };
    let partitions = topic.partitions.iter().map(&mut part).collect();
    OffsetCommitResponseTopic::default()
        .with_name(topic.name.clone())
        .with_topic_id(topic.topic_id)
        .with_partitions(partitions)
}

fn check<'a>(
    found: &'a Result<Arc<TopicImage>, ErrorCode>,
    partition: &OffsetCommitRequestPartition,
) -> Result<&'a TopicImage, ErrorCode> {
    let topic = found.as_ref().map_err(|code| *code)?;
    partition_of(topic, partition.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    Ok(topic)
}

fn to_commit(
    topic: &TopicImage,
    partition: &OffsetCommitRequestPartition,
    retention_ms: Option<i64>,
) -> OffsetToCommit {
    OffsetToCommit {
        key: (Arc::clone(&topic.name), partition.partition_index),
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
        retention_ms,
    }
}

/// Puts the results, in order, where nothing was refused yet.
fn fill_in(response: &mut [OffsetCommitResponseTopic], results: Vec<Result<(), GroupError>>) {
    let parts = response.iter_mut().flat_map(|topic| &mut topic.partitions);
    for (part, result) in parts.filter(|part| part.error_code == 0).zip(results) {
        if let Err(error) = result {
            part.error_code = error.code().code();
        }
    }
}

impl Outcome for OffsetCommitResponse {
    fn failed(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use caudal_metadata::RaftGroupImage;
    use caudal_types::{RaftGroupId, TopicId};

    use super::*;
    use crate::text::topic_name;

    fn image() -> ClusterImage {
        let group = |id| RaftGroupImage { group: RaftGroupId(id), replicas: vec![] };
        let topic = TopicImage {
            id: TopicId(uuid::Uuid::from_u128(5)),
            name: "known".into(),
            configs: Default::default(),
            partitions: vec![group(1), group(2)],
        };
        let mut image = ClusterImage::default();
        image.topic_names.insert(topic.id, Arc::clone(&topic.name));
        image.topics.insert(Arc::clone(&topic.name), Arc::new(topic));
        image
    }

    fn topic(name: &'static str, id: u128, partitions: &[i32]) -> OffsetCommitRequestTopic {
        let partition = |index: &i32| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*index)
                .with_committed_offset(100 + i64::from(*index))
                .with_committed_metadata(Some("words".into()))
        };
        OffsetCommitRequestTopic::default()
            .with_name(topic_name(name))
            .with_topic_id(uuid::Uuid::from_u128(id))
            .with_partitions(partitions.iter().map(partition).collect())
    }

    #[test]
    fn what_is_unknown_is_refused_and_the_rest_committed() {
        let (image, mut offsets) = (image(), Vec::new());
        let mut response = vec![
            check_topic(9, &image, &topic("gone", 0, &[0]), None, &mut offsets),
            check_topic(9, &image, &topic("known", 0, &[1, 7, 0]), None, &mut offsets),
        ];
        assert_eq!(offsets.iter().map(|o| (o.key.1, o.offset)).collect::<Vec<_>>(), [(1, 101), (0, 100)]);
        assert_eq!(offsets[0].metadata, "words");
        fill_in(&mut response, vec![Ok(()), Err(GroupError::MetadataTooLarge { size: 2, max: 1 })]);
        let codes: Vec<_> = response.iter().flat_map(|t| &t.partitions).map(|p| ErrorCode(p.error_code)).collect();
        assert_eq!(
            codes,
            [
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ErrorCode::NONE,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ErrorCode::OFFSET_METADATA_TOO_LARGE,
            ]
        );
    }

    #[test]
    fn ids_name_topics_from_version_10_on() {
        let (image, mut offsets) = (image(), Vec::new());
        let known = check_topic(10, &image, &topic("", 5, &[0]), None, &mut offsets);
        let gone = check_topic(10, &image, &topic("", 6, &[0]), None, &mut offsets);
        assert_eq!(known.partitions[0].error_code, 0);
        assert_eq!(gone.partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID.code());
        assert_eq!(offsets.len(), 1);
        assert_eq!(&*offsets[0].key.0, "known");
    }
}
