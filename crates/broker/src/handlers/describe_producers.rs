//! DescribeProducers: the producers that partitions remember, and their open transactions (KIP-664).

use caudal_partition::{DescribedProducer, Partitions};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::ProducerId;
use caudal_protocol::messages::describe_producers_request::DescribeProducersRequest;
use caudal_protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use crate::cluster::{Cluster, Place, TopicRef};
use crate::error::{KafkaError, Refusal};
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct DescribeProducers {
    cluster: Cluster,
    partitions: Partitions,
}

impl DescribeProducers {
    pub(crate) fn new(cluster: Cluster, partitions: Partitions) -> Self {
        Self { cluster, partitions }
    }

    async fn partition(&self, topic: &str, index: i32) -> PartitionResponse {
        let response = PartitionResponse::default().with_partition_index(index);
        let refused = |refusal: &Refusal| {
            response.clone().with_error_code(refusal.code().code()).with_error_message(refusal.message())
        };
        match TopicRef::Name(topic.into()).locate(&self.cluster.image(), &self.partitions, index) {
            Place::Here(_, partition) => match partition.producers().await {
                Ok(producers) => response.with_active_producers(producers.iter().map(described).collect()),
                Err(error) => refused(&Refusal::new(error.code(), error.to_string())),
            },
            Place::Elsewhere(_) => {
                let text = "this node does not lead the partition; ask its leader";
                refused(&Refusal::new(ErrorCode::NOT_LEADER_OR_FOLLOWER, text))
            }
            Place::Nowhere(code) => refused(&Refusal::new(code, "this node knows no such topic or partition")),
        }
    }
}

fn described(producer: &DescribedProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.producer_id))
        .with_producer_epoch(i32::from(producer.epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_time)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.open_since.unwrap_or(-1))
}

impl Handler for DescribeProducers {
    type Request = DescribeProducersRequest;
    type Response = DescribeProducersResponse;

    async fn handle(&self, _context: &RequestContext, request: DescribeProducersRequest) -> DescribeProducersResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in topic.partition_indexes {
                partitions.push(self.partition(&topic.name, index).await);
            }
            topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
        }
        DescribeProducersResponse::default().with_topics(topics)
    }
}

impl Outcome for DescribeProducersResponse {
    fn failed(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}
