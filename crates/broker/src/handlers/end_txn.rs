//! EndTxn: commits or aborts a transaction. From version 5 on (KIP-890) the producer goes on with a new epoch.

use caudal_coordinator::Coordinator;
use caudal_protocol::messages::ProducerId;
use caudal_protocol::messages::end_txn_request::EndTxnRequest;
use caudal_protocol::messages::end_txn_response::EndTxnResponse;

use super::transactions::{code_for, identity};
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on the client speaks version 2 of transactions.
const VERSION_2: i16 = 5;
/// From this version on clients know PRODUCER_FENCED.
const FENCED: i16 = 2;

pub(crate) struct EndTxn {
    coordinator: Coordinator,
}

impl EndTxn {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for EndTxn {
    type Request = EndTxnRequest;
    type Response = EndTxnResponse;

    async fn handle(&self, context: &RequestContext, request: EndTxnRequest) -> EndTxnResponse {
        let producer = identity(request.producer_id, request.producer_epoch);
        let protocol = if context.version >= VERSION_2 { 2 } else { 1 };
        let ended = self.coordinator.end_transaction(&request.transactional_id, producer, protocol, request.committed);
        let response = EndTxnResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
        match ended.await {
            Ok(Some(next)) if context.version >= VERSION_2 => {
                response.with_producer_id(ProducerId(next.id)).with_producer_epoch(next.epoch)
            }
            Ok(_) => response,
            Err(error) => response.with_error_code(code_for(&error, context.version >= FENCED).code()),
        }
    }
}

impl Outcome for EndTxnResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
