//! DeleteGroups: removes empty consumer groups with their offsets.

use caudal_coordinator::Coordinator;
use caudal_protocol::messages::GroupId;
use caudal_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use caudal_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use futures::StreamExt;
use futures::stream;

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// How many groups of one request are removed at once.
const AT_ONCE: usize = 16;

pub(crate) struct DeleteGroups {
    coordinator: Coordinator,
}

impl DeleteGroups {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }

    async fn delete(&self, group_id: GroupId) -> DeletableGroupResult {
        let code = match self.coordinator.delete_group(&group_id).await {
            Ok(()) => 0,
            Err(error) => error.code().code(),
        };
        DeletableGroupResult::default().with_group_id(group_id).with_error_code(code)
    }
}

impl Handler for DeleteGroups {
    type Request = DeleteGroupsRequest;
    type Response = DeleteGroupsResponse;

    async fn handle(&self, _context: &RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut seen = std::collections::HashSet::new();
        let mut groups = request.groups_names;
        groups.retain(|group| seen.insert(group.clone()));
        let deletions = groups.into_iter().map(|group| self.delete(group));
        let results = stream::iter(deletions).buffered(AT_ONCE).collect().await;
        DeleteGroupsResponse::default().with_results(results)
    }
}

impl Outcome for DeleteGroupsResponse {
    fn failed(&self) -> bool {
        self.results.iter().any(|result| result.error_code != 0)
    }
}
