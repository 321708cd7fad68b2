//! ListPartitionReassignments: partitions whose replicas move to other nodes (KIP-455). The replicas of a partition are where it was created for as long as it
//! exists, so that there are none.

use caudal_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use caudal_protocol::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;

use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct ListPartitionReassignments;

impl Handler for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    type Response = ListPartitionReassignmentsResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        _request: ListPartitionReassignmentsRequest,
    ) -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse::default().with_error_message(None)
    }
}

impl Outcome for ListPartitionReassignmentsResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
