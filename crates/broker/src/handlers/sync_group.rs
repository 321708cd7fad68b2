//! SyncGroup: the leader of a consumer group hands out the assignments, and each member gets its own.

use caudal_coordinator::Coordinator;
use caudal_coordinator::model::SyncRequest;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::sync_group_request::SyncGroupRequest;
use caudal_protocol::messages::sync_group_response::SyncGroupResponse;

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct SyncGroup {
    coordinator: Coordinator,
}

impl SyncGroup {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for SyncGroup {
    type Request = SyncGroupRequest;
    type Response = SyncGroupResponse;

    async fn handle(&self, context: &RequestContext, request: SyncGroupRequest) -> SyncGroupResponse {
        // From version 5 on a member must say what it believes the group does (KIP-559).
        if context.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            return SyncGroupResponse::default().with_error_code(ErrorCode::INCONSISTENT_GROUP_PROTOCOL.code());
        }
        match self.coordinator.sync(typed(request)).await {
            Ok(synced) => {
                let named = |name: String| Some(StrBytes::from(name)).filter(|_| context.version >= 5);
                SyncGroupResponse::default()
                    .with_protocol_type(named(synced.protocol_type))
                    .with_protocol_name(named(synced.protocol))
                    .with_assignment(synced.assignment)
            }
            Err(error) => SyncGroupResponse::default().with_error_code(error.code().code()),
        }
    }
}

fn typed(request: SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.into_iter().map(|a| (a.member_id.to_string(), a.assignment));
    SyncRequest {
        group_id: request.group_id.to_string(),
        generation: request.generation_id,
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_deref().map(str::to_owned),
        protocol_type: request.protocol_type.as_deref().map(str::to_owned),
        protocol: request.protocol_name.as_deref().map(str::to_owned),
        assignments: assignments.collect(),
    }
}

impl Outcome for SyncGroupResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
