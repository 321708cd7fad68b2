//! WriteTxnMarkers: ends transactions in partitions by force, as operators do with one that hangs (`kafka-transactions --abort`). Coordinators here tell
//! partitions between nodes, not by this API.

use caudal_partition::{EndMarker, Partitions};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WriteTxnMarkersRequest};
use caudal_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult, WriteTxnMarkersResponse,
};

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

    async fn marker(&self, marker: &WritableTxnMarker) -> WritableTxnMarkerResult {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in &marker.topics {
            let mut parts = Vec::with_capacity(topic.partition_indexes.len());
            for index in &topic.partition_indexes {
                let code = self.end(marker, &topic.name, *index).await;
                let part = WritableTxnMarkerPartitionResult::default().with_partition_index(*index);
                parts.push(part.with_error_code(code.code()));
            }
            topics.push(WritableTxnMarkerTopicResult::default().with_name(topic.name.clone()).with_partitions(parts));
        }
        WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics)
    }

    async fn end(&self, marker: &WritableTxnMarker, topic: &str, index: i32) -> ErrorCode {
        let place = TopicRef::Name(topic.into()).locate(&self.cluster.image(), &self.partitions, index);
        let partition = match place {
            Place::Here(_, partition) => partition,
            Place::Elsewhere(_) => return ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Place::Nowhere(code) => return code,
        };
        let (producer_id, epoch) = (marker.producer_id.0, marker.producer_epoch);
        let open = partition.open_transactions().into_iter().find(|(producer, ..)| *producer == producer_id);
        // Without an open transaction there is nothing to end.
        let Some((_, current, open)) = open else { return ErrorCode::NONE };
        if epoch < current {
            return ErrorCode::INVALID_PRODUCER_EPOCH;
        }
        let number = open.enlistment.number;
        tracing::warn!(
            topic, partition = index, producer_id, epoch, id = %open.enlistment.transactional_id, commit = marker.transaction_result,
            "a transaction is ended in a partition by force"
        );
        let (coordinator_epoch, commit) = (marker.coordinator_epoch, marker.transaction_result);
        let marker = EndMarker { producer_id, epoch, number, coordinator_epoch, commit };
        partition.end_transaction(marker).await.map_or_else(|error| error.code(), |()| ErrorCode::NONE)
    }
}

impl Handler for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    type Response = WriteTxnMarkersResponse;

    async fn handle(&self, _context: &RequestContext, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
        let mut markers = Vec::with_capacity(request.markers.len());
        for marker in &request.markers {
            markers.push(self.marker(marker).await);
        }
        WriteTxnMarkersResponse::default().with_markers(markers)
    }
}

impl Outcome for WriteTxnMarkersResponse {
    fn failed(&self) -> bool {
        let topics = self.markers.iter().flat_map(|marker| &marker.topics);
        topics.flat_map(|topic| &topic.partitions).any(|partition| partition.error_code != 0)
    }
}
