//! LeaveGroup: members leave a consumer group, or an operator removes them (KIP-345).

use caudal_coordinator::model::MemberIdentity;
use caudal_coordinator::{Coordinator, GroupError};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity as LeavingMember};
use caudal_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// The first version that takes many members.
const MANY: i16 = 3;

pub(crate) struct LeaveGroup {
    coordinator: Coordinator,
}

impl LeaveGroup {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for LeaveGroup {
    type Request = LeaveGroupRequest;
    type Response = LeaveGroupResponse;

    async fn handle(&self, context: &RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse {
        let leaving = if context.version >= MANY {
            request.members
        } else {
            vec![LeavingMember::default().with_member_id(request.member_id)]
        };
        let members = leaving.iter().map(typed).collect();
        let results = match self.coordinator.leave(&request.group_id, members).await {
            Ok(results) => results,
            Err(error) => return LeaveGroupResponse::default().with_error_code(error.code().code()),
        };
        let codes: Vec<ErrorCode> = results.iter().map(code).collect();
        if context.version < MANY {
            let code = codes.first().map_or(0, |code| code.code());
            return LeaveGroupResponse::default().with_error_code(code);
        }
        let member = |(member, code): (LeavingMember, ErrorCode)| {
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(code.code())
        };
        LeaveGroupResponse::default().with_members(leaving.into_iter().zip(codes).map(member).collect())
    }
}

fn typed(member: &LeavingMember) -> MemberIdentity {
    MemberIdentity {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_deref().map(str::to_owned),
        generation: -1,
        before_epochs: false,
    }
}

fn code(result: &Result<(), GroupError>) -> ErrorCode {
    result.as_ref().map_or_else(KafkaError::code, |()| ErrorCode::NONE)
}

impl Outcome for LeaveGroupResponse {
    fn failed(&self) -> bool {
        self.error_code != 0 || self.members.iter().any(|member| member.error_code != 0)
    }
}
