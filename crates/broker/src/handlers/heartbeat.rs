//! Heartbeat: a member of a consumer group lives.

use caudal_coordinator::Coordinator;
use caudal_coordinator::model::MemberIdentity;
use caudal_protocol::messages::heartbeat_request::HeartbeatRequest;
use caudal_protocol::messages::heartbeat_response::HeartbeatResponse;

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct Heartbeat {
    coordinator: Coordinator,
}

impl Heartbeat {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for Heartbeat {
    type Request = HeartbeatRequest;
    type Response = HeartbeatResponse;

    async fn handle(&self, _context: &RequestContext, request: HeartbeatRequest) -> HeartbeatResponse {
        let member = MemberIdentity {
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.as_deref().map(str::to_owned),
            generation: request.generation_id,
            before_epochs: false,
        };
        let code = match self.coordinator.heartbeat(&request.group_id, &member) {
            Ok(()) => 0,
            Err(error) => error.code().code(),
        };
        HeartbeatResponse::default().with_error_code(code)
    }
}

impl Outcome for HeartbeatResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
