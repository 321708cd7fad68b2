//! AddOffsetsToTxn: a consumer group joins a transaction, before a client of version 1 commits offsets with it.

use caudal_coordinator::Coordinator;
use caudal_coordinator::transactions::Participant;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use caudal_protocol::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;

use super::transactions::{code_for, identity, join};
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on clients know PRODUCER_FENCED.
const FENCED: i16 = 2;

pub(crate) struct AddOffsetsToTxn {
    coordinator: Coordinator,
}

impl AddOffsetsToTxn {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    type Response = AddOffsetsToTxnResponse;

    async fn handle(&self, context: &RequestContext, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
        let join = join(&request.transactional_id, identity(request.producer_id, request.producer_epoch), 1, true);
        let group = Participant::Group(request.group_id.as_str().into());
        let code = match self.coordinator.join_transaction_here(&join, vec![group]).await {
            Ok(_number) => ErrorCode::NONE,
            Err(error) => code_for(&error, context.version >= FENCED),
        };
        AddOffsetsToTxnResponse::default().with_error_code(code.code())
    }
}

impl Outcome for AddOffsetsToTxnResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
