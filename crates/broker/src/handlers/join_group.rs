//! JoinGroup: a member joins a consumer group; answered when the rebalance is complete.

use caudal_coordinator::model::{JoinRequest, Joined, JoinedMember};
use caudal_coordinator::{Coordinator, GroupError};
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::join_group_request::JoinGroupRequest;
use caudal_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct JoinGroup {
    coordinator: Coordinator,
}

impl JoinGroup {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for JoinGroup {
    type Request = JoinGroupRequest;
    type Response = JoinGroupResponse;

    async fn handle(&self, context: &RequestContext, request: JoinGroupRequest) -> JoinGroupResponse {
        let member_id = request.member_id.clone();
        match self.coordinator.join(typed(context, request)).await {
            Ok(joined) => response(context.version, joined),
            Err(error) => refusal(context.version, &error, member_id),
        }
    }
}

fn typed(context: &RequestContext, request: JoinGroupRequest) -> JoinRequest {
    // Before version 1 there is one time-out for both.
    let rebalance_timeout_ms =
        if context.version >= 1 { request.rebalance_timeout_ms } else { request.session_timeout_ms };
    let protocols = request.protocols.into_iter().map(|protocol| (protocol.name.to_string(), protocol.metadata));
    JoinRequest {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        require_known_member_id: context.version >= 4 && request.group_instance_id.is_none(),
        instance_id: request.group_instance_id.as_deref().map(str::to_owned),
        client_id: context.client_id.to_string(),
        client_host: context.client_host.to_string(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
        supports_skip_assignment: context.version >= 9,
        reason: request.reason.as_deref().map(str::to_owned),
    }
}

fn response(version: i16, joined: Joined) -> JoinGroupResponse {
    let member = |member: JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(member.member_id.into())
            .with_group_instance_id(member.instance_id.filter(|_| version >= 5).map(Into::into))
            .with_metadata(member.metadata)
    };
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(StrBytes::from(joined.protocol_type)).filter(|_| version >= 7))
        .with_protocol_name(protocol_name(version, joined.protocol))
        .with_leader(joined.leader.into())
        .with_skip_assignment(joined.skip_assignment && version >= 9)
        .with_member_id(joined.member_id.into())
        .with_members(joined.members.into_iter().map(member).collect())
}

fn refusal(version: i16, error: &GroupError, member_id: StrBytes) -> JoinGroupResponse {
    let member_id = match error {
        GroupError::MemberIdRequired { member_id } => StrBytes::from(member_id.clone()),
        _ => member_id,
    };
    JoinGroupResponse::default()
        .with_error_code(error.code().code())
        .with_generation_id(-1)
        .with_protocol_name(protocol_name(version, String::new()))
        .with_member_id(member_id)
}

/// "None" is null from version 7 on, and empty before.
fn protocol_name(version: i16, protocol: String) -> Option<StrBytes> {
    (version < 7 || !protocol.is_empty()).then(|| protocol.into())
}

impl Outcome for JoinGroupResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
