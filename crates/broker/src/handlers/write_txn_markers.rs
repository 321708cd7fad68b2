//! WriteTxnMarkers: ends transactions in partitions by force, as operators do with one that hangs (`kafka-transactions --abort`). Coordinators here tell
//! partitions between nodes, not by this API.

use caudal_partition::{EndMarker, Partition, Partitions};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::write_txn_markers::Marker;
use caudal_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponse as WriteTxnMarkersResponseBody,
};
use caudal_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use caudal_types::{ProducerEpoch, ProducerId};

use crate::cluster::{Cluster, Place, TopicRef};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct WriteTxnMarkers {
    cluster: Cluster,
    partitions: Partitions,
}

impl WriteTxnMarkers {
    pub(crate) fn new(cluster: Cluster, partitions: Partitions) -> Self {
        Self { cluster, partitions }
    }

    async fn marker(&self, marker: &Marker) -> WritableTxnMarkerResult {
        let mut topics = Vec::with_capacity(marker.body.topics.len());
        for topic in &marker.body.topics {
            let mut parts = Vec::with_capacity(topic.partition_indexes.len());
            for index in &topic.partition_indexes {
                let code = self.end(marker, &topic.name, *index).await;
                let part = WritableTxnMarkerPartitionResult::default().with_partition_index(*index);
                parts.push(part.with_error_code(code.code()));
            }
            topics.push(WritableTxnMarkerTopicResult::default().with_name(topic.name.clone()).with_partitions(parts));
        }
        WritableTxnMarkerResult::default().with_producer_id(marker.body.producer_id).with_topics(topics)
    }

    async fn end(&self, marker: &Marker, topic: &str, index: i32) -> ErrorCode {
        let place = TopicRef::Name(topic.into()).locate(&self.cluster.image(), &self.partitions, index);
        let partition = match place {
            Place::Here(_, partition) => partition,
            Place::Elsewhere(_) => return ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Place::Nowhere(code) => return code,
        };
        let (producer_id, epoch) = (marker.body.producer_id.0, marker.body.producer_epoch);
        let open = partition.open_transactions().into_iter().find(|(producer, ..)| *producer == producer_id);
        let Some((_, current, open)) = open else { return nothing_to_end(&partition, producer_id, epoch).await };
        if !may_end(epoch, current, marker.transaction_version) {
            return ErrorCode::INVALID_PRODUCER_EPOCH;
        }
        let number = open.enlistment.number;
        tracing::warn!(
            topic, partition = index, producer_id, epoch, id = %open.enlistment.transactional_id, commit = marker.body.transaction_result,
            "a transaction is ended in a partition by force"
        );
        let (coordinator_epoch, commit) = (marker.body.coordinator_epoch, marker.body.transaction_result);
        let marker = EndMarker { producer_id, epoch, number, coordinator_epoch, commit };
        partition.end_transaction(marker).await.map_or_else(|error| error.code(), |()| ErrorCode::NONE)
    }
}

/// What a marker is answered where its producer has no open transaction: as by Kafka, its epoch is looked at all the same.
async fn nothing_to_end(partition: &Partition, producer_id: ProducerId, epoch: ProducerEpoch) -> ErrorCode {
    match partition.producers().await {
        Ok(producers) => {
            let known = producers.iter().find(|producer| producer.producer_id == producer_id);
            let is_old = known.is_some_and(|producer| epoch < producer.epoch);
            if is_old { ErrorCode::INVALID_PRODUCER_EPOCH } else { ErrorCode::NONE }
        }
        Err(error) => error.code(),
    }
}

/// Whether a marker of this epoch ends the transaction of a producer whose epoch is `current`. Where each transaction has an epoch of its own, its marker has
/// the next one; at the last epoch there is none (KIP-890, KIP-1228).
fn may_end(epoch: ProducerEpoch, current: ProducerEpoch, transaction_version: i8) -> bool {
    if transaction_version >= 2 && epoch != ProducerEpoch::MAX { epoch > current } else { epoch >= current }
}

impl Handler for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    type Response = WriteTxnMarkersResponse;

    async fn handle(&self, _context: &RequestContext, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
        let mut markers = Vec::with_capacity(request.markers.len());
        for marker in &request.markers {
            markers.push(self.marker(marker).await);
        }
        WriteTxnMarkersResponse(WriteTxnMarkersResponseBody::default().with_markers(markers))
    }
}

impl Outcome for WriteTxnMarkersResponse {
    fn failed(&self) -> bool {
        let topics = self.markers.iter().flat_map(|marker| &marker.topics);
        topics.flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_of_version_2_has_a_newer_epoch() {
        assert_eq!([4, 5, 6].map(|epoch| may_end(epoch, 5, 1)), [false, true, true]);
        assert_eq!([4, 5, 6].map(|epoch| may_end(epoch, 5, 2)), [false, false, true]);
        assert!(may_end(ProducerEpoch::MAX, ProducerEpoch::MAX, 2));
    }
}
