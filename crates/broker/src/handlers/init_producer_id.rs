//! InitProducerId: an id for an idempotent producer.

use caudal_metadata::Controller;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::ProducerId;
use caudal_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use caudal_protocol::messages::init_producer_id_response::InitProducerIdResponse;

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct InitProducerId {
    controller: Controller,
}

impl InitProducerId {
    pub(crate) fn new(controller: Controller) -> Self {
        Self { controller }
    }
}

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;

    async fn handle(&self, _context: &RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse {
        if let Err(code) = check(&request) {
            return refused(code);
        }
        // An idempotent producer always gets a new id, as with Kafka: one that wants to go on (KIP-360) raises its epoch by itself.
        match self.controller.next_producer_id().await {
            Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0),
            // Retried by clients, unlike NOT_CONTROLLER, which they do not expect here.
            Err(error) if error.code() == ErrorCode::NOT_CONTROLLER => refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            Err(error) => refused(error.code()),
        }
    }
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    // Both or neither are given.
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    match request.transactional_id.as_ref().map(|id| id.as_str()) {
        None => Ok(()),
        Some("") => Err(ErrorCode::INVALID_REQUEST),
        // Transactions are not served. This code is fatal to producers, and says why: others would make them try again for a minute.
        Some(_) => Err(ErrorCode::UNSUPPORTED_VERSION),
    }
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code.code())
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

impl Outcome for InitProducerIdResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}

#[cfg(test)]
mod tests {
    use caudal_protocol::messages::TransactionalId;

    use super::*;

    #[test]
    fn requests_are_checked_as_kafka_does() {
        let plain = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        assert_eq!(check(&plain), Ok(()));
        assert_eq!(check(&plain.clone().with_producer_id(ProducerId(7)).with_producer_epoch(2)), Ok(()));
        assert_eq!(check(&plain.clone().with_producer_id(ProducerId(7))), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(check(&plain.clone().with_producer_epoch(0)), Err(ErrorCode::INVALID_REQUEST));
        let transactional = |id: &'static str| plain.clone().with_transactional_id(Some(TransactionalId(id.into())));
        assert_eq!(check(&transactional("")), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(check(&transactional("billing")), Err(ErrorCode::UNSUPPORTED_VERSION));
    }
}
