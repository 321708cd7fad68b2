//! DescribeGroups: states and members of consumer groups.

use caudal_coordinator::model::{DescribedGroup, DescribedMember};
use caudal_coordinator::{Coordinator, GroupError};
use caudal_protocol::messages::GroupId;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use caudal_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup as Described, DescribedGroupMember,
};

use crate::access;
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// The first version that tells a group that does not exist from a dead one (KIP-1043).
const NOT_FOUND: i16 = 6;

pub(crate) struct DescribeGroups {
    coordinator: Coordinator,
}

impl DescribeGroups {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for DescribeGroups {
    type Request = DescribeGroupsRequest;
    type Response = DescribeGroupsResponse;

    async fn handle(&self, context: &RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
        let asked = request.include_authorized_operations && context.version >= 3;
        let describe = |group_id: GroupId| match self.coordinator.describe_group(&group_id) {
            Ok(group) => {
                described(context.version, group).with_authorized_operations(access::if_asked(asked, access::GROUP))
            }
            Err(error) => refused(context.version, &error, asked).with_group_id(group_id),
        };
        DescribeGroupsResponse::default().with_groups(request.groups.into_iter().map(describe).collect())
    }
}

fn described(version: i16, group: DescribedGroup) -> Described {
    let member = |member: DescribedMember| {
        DescribedGroupMember::default()
            .with_member_id(member.member_id.into())
            .with_group_instance_id(member.instance_id.filter(|_| version >= 4).map(Into::into))
            .with_client_id(member.client_id.into())
            .with_client_host(member.client_host.into())
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    };
    Described::default()
        .with_group_id(GroupId(group.group_id.into()))
        .with_group_state(group.state.into())
        .with_protocol_type(group.protocol_type.into())
        .with_protocol_data(group.protocol.into())
        .with_members(group.members.into_iter().map(member).collect())
}

fn refused(version: i16, error: &GroupError, asked: bool) -> Described {
    let dead = StrBytes::from_static_str("Dead");
    match error {
        GroupError::GroupNotFound(_) | GroupError::OtherProtocol(_) if version < NOT_FOUND => Described::default()
            .with_group_state(dead)
            .with_authorized_operations(access::if_asked(asked, access::GROUP)),
        GroupError::GroupNotFound(_) | GroupError::OtherProtocol(_) => Described::default()
            .with_error_code(error.code().code())
            .with_error_message(error.message())
            .with_group_state(dead),
        _ => Described::default()
            .with_error_code(error.code().code())
            .with_error_message(error.message().filter(|_| version >= NOT_FOUND)),
    }
}

impl Outcome for DescribeGroupsResponse {
    fn failed(&self) -> bool {
        self.groups.iter().any(|group| group.error_code != 0)
    }
}
