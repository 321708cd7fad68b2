//! ConsumerGroupHeartbeat: members of the consumer protocol join, show themselves, reconcile and leave (KIP-848).

use caudal_coordinator::model::consumer::{Heartbeat, HeartbeatAnswer, Partitions};
use caudal_coordinator::{Coordinator, GroupError};
use caudal_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use caudal_protocol::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use caudal_types::TopicId;

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on members make up their ids themselves.
const OWN_MEMBER_ID: i16 = 1;

pub(crate) struct ConsumerGroupHeartbeat {
    coordinator: Coordinator,
}

impl ConsumerGroupHeartbeat {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }

    async fn answer(
        &self,
        context: &RequestContext,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Result<HeartbeatAnswer, GroupError> {
        if context.version >= OWN_MEMBER_ID && request.member_id.is_empty() {
            return Err(GroupError::InvalidRequest("MemberId can't be empty.".to_owned()));
        }
        self.coordinator.consumer_heartbeat(typed(context, request)).await
    }
}

impl Handler for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    type Response = ConsumerGroupHeartbeatResponse;

    async fn handle(
        &self,
        context: &RequestContext,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        match self.answer(context, request).await {
            Ok(answer) => ConsumerGroupHeartbeatResponse::default()
                .with_member_id(Some(answer.member_id.into()))
                .with_member_epoch(answer.member_epoch)
                .with_heartbeat_interval_ms(answer.heartbeat_interval_ms)
                .with_assignment(answer.assignment.map(assignment)),
            Err(error) => ConsumerGroupHeartbeatResponse::default()
                .with_error_code(error.code().code())
                .with_error_message(error.message()),
        }
    }
}

fn typed(context: &RequestContext, request: ConsumerGroupHeartbeatRequest) -> Heartbeat {
    let owned = request.topic_partitions.map(|topics| -> Partitions {
        topics.into_iter().map(|topic| (TopicId(topic.topic_id), topic.partitions.into_iter().collect())).collect()
    });
    Heartbeat {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id.as_deref().map(str::to_owned),
        rack_id: request.rack_id.as_deref().map(str::to_owned),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|timeout| *timeout != -1),
        topic_names: request
            .subscribed_topic_names
            .map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
        topic_regex: request.subscribed_topic_regex.as_deref().map(str::to_owned),
        assignor: request.server_assignor.as_deref().map(str::to_owned),
        owned,
        client_id: context.client_id.to_string(),
        client_host: context.client_host.to_string(),
    }
}

fn assignment(partitions: Partitions) -> Assignment {
    let topic = |(id, partitions): (TopicId, std::collections::BTreeSet<i32>)| {
        TopicPartitions::default().with_topic_id(id.0).with_partitions(partitions.into_iter().collect())
    };
    Assignment::default().with_topic_partitions(partitions.into_iter().map(topic).collect())
}

impl Outcome for ConsumerGroupHeartbeatResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}

#[cfg(test)]
mod tests {
    use caudal_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
    use uuid::Uuid;

    use super::*;

    fn context() -> RequestContext {
        RequestContext {
            version: 1,
            correlation_id: 1,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            peer: std::sync::Arc::default(),
            user: "u".into(),
            size: 0,
            timer: None,
        }
    }

    #[test]
    fn what_is_not_said_has_not_changed() {
        let request = ConsumerGroupHeartbeatRequest::default().with_member_id("m".into()).with_member_epoch(4);
        let beat = typed(&context(), request);
        assert_eq!((&*beat.member_id, beat.member_epoch, &*beat.client_host), ("m", 4, "/127.0.0.1"));
        assert!(beat.rebalance_timeout_ms.is_none() && beat.topic_names.is_none() && beat.owned.is_none());
    }

    #[test]
    fn partitions_go_there_and_back() {
        let id = Uuid::from_u128(7);
        let owned = vec![Owned::default().with_topic_id(id).with_partitions(vec![3, 1])];
        let beat = typed(&context(), ConsumerGroupHeartbeatRequest::default().with_topic_partitions(Some(owned)));
        let answer = assignment(beat.owned.unwrap());
        assert_eq!(answer.topic_partitions.len(), 1);
        assert_eq!((answer.topic_partitions[0].topic_id, &*answer.topic_partitions[0].partitions), (id, &[1, 3][..]));
    }
}
