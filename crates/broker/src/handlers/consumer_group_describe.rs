//! ConsumerGroupDescribe: states, members and assignments of groups of the consumer protocol (KIP-848).

use caudal_coordinator::Coordinator;
use caudal_coordinator::model::consumer::{DescribedConsumer, DescribedConsumerGroup, Partitions};
use caudal_metadata::ClusterImage;
use caudal_protocol::messages::GroupId;
use caudal_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use caudal_protocol::messages::consumer_group_describe_response::{
    Assignment, ConsumerGroupDescribeResponse, DescribedGroup, Member, TopicPartitions,
};

use crate::access;
use crate::cluster::Cluster;
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::topic_name;

/// From this version on it is told which protocol a member speaks.
const MEMBER_TYPE: i16 = 1;
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

pub(crate) struct ConsumerGroupDescribe {
    cluster: Cluster,
    coordinator: Coordinator,
}

impl ConsumerGroupDescribe {
    pub(crate) fn new(cluster: Cluster, coordinator: Coordinator) -> Self {
        Self { cluster, coordinator }
    }
}

impl Handler for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    type Response = ConsumerGroupDescribeResponse;

    async fn handle(
        &self,
        context: &RequestContext,
        request: ConsumerGroupDescribeRequest,
    ) -> ConsumerGroupDescribeResponse {
        let image = self.cluster.image();
        let operations = access::if_asked(request.include_authorized_operations, access::GROUP);
        let describe = |group_id: GroupId| match self.coordinator.describe_consumer_group(&group_id) {
            Ok(group) => described(context.version, &image, group).with_authorized_operations(operations),
            Err(error) => DescribedGroup::default()
                .with_group_id(group_id)
                .with_error_code(error.code().code())
                .with_error_message(error.message())
                .with_authorized_operations(access::NOT_ASKED),
        };
        ConsumerGroupDescribeResponse::default().with_groups(request.group_ids.into_iter().map(describe).collect())
    }
}

fn described(version: i16, image: &ClusterImage, group: DescribedConsumerGroup) -> DescribedGroup {
    let members = group.members.into_iter().map(|described| member(version, image, described)).collect();
    DescribedGroup::default()
        .with_group_id(GroupId(group.group_id.into()))
        .with_group_state(group.state.into())
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(group.assignor.into())
        .with_members(members)
}

fn member(version: i16, image: &ClusterImage, member: DescribedConsumer) -> Member {
    let described = Member::default()
        .with_member_id(member.member_id.into())
        .with_instance_id(member.instance_id.map(Into::into))
        .with_rack_id(member.rack_id.map(Into::into))
        .with_member_epoch(member.epoch)
        .with_client_id(member.client_id.into())
        .with_client_host(member.client_host.into())
        .with_subscribed_topic_names(member.topic_names.iter().map(|name| topic_name(name)).collect())
        .with_subscribed_topic_regex(member.topic_regex.map(Into::into))
        .with_assignment(assignment(image, member.assignment))
        .with_target_assignment(assignment(image, member.target));
    if version < MEMBER_TYPE {
        return described;
    }
    described.with_member_type(if member.is_classic { CLASSIC } else { CONSUMER })
}

/// Topics that are gone have no name by which they could be told.
fn assignment(image: &ClusterImage, partitions: Partitions) -> Assignment {
    let topics = partitions.into_iter().filter_map(|(id, partitions)| {
        let name = image.topic_names.get(&id)?;
        Some(
            TopicPartitions::default()
                .with_topic_id(id.0)
                .with_topic_name(topic_name(name))
                .with_partitions(partitions.into_iter().collect()),
        )
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

impl Outcome for ConsumerGroupDescribeResponse {
    fn failed(&self) -> bool {
        self.groups.iter().any(|group| group.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use caudal_types::TopicId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn topics_are_named_and_those_that_are_gone_left_out() {
        let (known, gone) = (TopicId(Uuid::from_u128(1)), TopicId(Uuid::from_u128(2)));
        let mut image = ClusterImage::default();
        image.topic_names.insert(known, "t".into());
        let partitions = Partitions::from([(known, BTreeSet::from([0])), (gone, BTreeSet::from([1]))]);
        let topics = assignment(&image, partitions).topic_partitions;
        assert_eq!((topics.len(), topics[0].topic_name.as_str(), &*topics[0].partitions), (1, "t", &[0][..]));
    }
}
