//! InitProducerId: an id for an idempotent producer, or the takeover of a transactional id.

use caudal_coordinator::Coordinator;
use caudal_coordinator::transactions::ProducerIdentity;
use caudal_metadata::Controller;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::ProducerId;
use caudal_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use caudal_protocol::messages::init_producer_id_response::InitProducerIdResponse;

use super::transactions::{code_for, identity};
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on clients know PRODUCER_FENCED.
const FENCED: i16 = 4;

pub(crate) struct InitProducerId {
    controller: Controller,
    coordinator: Coordinator,
}

impl InitProducerId {
    pub(crate) fn new(controller: Controller, coordinator: Coordinator) -> Self {
        Self { controller, coordinator }
    }

    /// An idempotent producer always gets a new id, as with Kafka: one that wants to go on (KIP-360) raises its epoch by itself.
    async fn idempotent(&self) -> Result<ProducerIdentity, ErrorCode> {
        match self.controller.next_producer_id().await {
            Ok(id) => Ok(ProducerIdentity { id, epoch: 0 }),
            // Retried by clients, unlike NOT_CONTROLLER, which they do not expect here.
            Err(error) if error.code() == ErrorCode::NOT_CONTROLLER => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            Err(error) => Err(error.code()),
        }
    }

    async fn transactional(
        &self,
        version: i16,
        id: &str,
        request: &InitProducerIdRequest,
    ) -> Result<ProducerIdentity, ErrorCode> {
        let expected = identity(request.producer_id, request.producer_epoch);
        let expected = (expected.id >= 0).then_some(expected);
        let taken_over = self.coordinator.init_producer(id, request.transaction_timeout_ms, expected).await;
        taken_over.map_err(|error| code_for(&error, version >= FENCED))
    }
}

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;

    async fn handle(&self, context: &RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse {
        if let Err(code) = check(&request) {
            return refused(code);
        }
        let producer = match &request.transactional_id {
            None => self.idempotent().await,
            Some(id) => self.transactional(context.version, id, &request).await,
        };
        match producer {
            Ok(producer) => InitProducerIdResponse::default()
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch),
            Err(code) => refused(code),
        }
    }
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    // Both or neither are given.
    let is_half = (request.producer_id.0 == -1) != (request.producer_epoch == -1);
    let is_empty = request.transactional_id.as_ref().is_some_and(|id| id.is_empty());
    if is_half || is_empty { Err(ErrorCode::INVALID_REQUEST) } else { Ok(()) }
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
        assert_eq!(check(&transactional("billing")), Ok(()));
    }
}
