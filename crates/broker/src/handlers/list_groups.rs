//! ListGroups: the consumer groups that this node coordinates.

use caudal_coordinator::Coordinator;
use caudal_coordinator::model::ListedGroup;
use caudal_protocol::messages::GroupId;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::list_groups_request::ListGroupsRequest;
use caudal_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup as Listed};

use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct ListGroups {
    coordinator: Coordinator,
}

impl ListGroups {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }
}

impl Handler for ListGroups {
    type Request = ListGroupsRequest;
    type Response = ListGroupsResponse;

    async fn handle(&self, context: &RequestContext, request: ListGroupsRequest) -> ListGroupsResponse {
        let wanted = |group: &ListedGroup| {
            passes(&request.states_filter, group.state) && passes(&request.types_filter, group.group_type)
        };
        let groups = self.coordinator.list_groups().into_iter().filter(wanted);
        ListGroupsResponse::default().with_groups(groups.map(|group| listed(context.version, group)).collect())
    }
}

fn listed(version: i16, group: ListedGroup) -> Listed {
    let from = |least: i16, text: &'static str| if version >= least { text.into() } else { StrBytes::new() };
    Listed::default()
        .with_group_id(GroupId(group.group_id.into()))
        .with_protocol_type(group.protocol_type.into())
        .with_group_state(from(4, group.state))
        .with_group_type(from(5, group.group_type))
}

/// An empty filter lets everything pass; names are compared without regard to case.
fn passes(filter: &[StrBytes], name: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
}

impl Outcome for ListGroupsResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_ignore_case_and_let_all_pass_when_empty() {
        assert!(passes(&[], "Stable"));
        assert!(passes(&["empty".into(), "stable".into()], "Stable"));
        assert!(!passes(&["empty".into()], "Stable"));
    }
}
