//! DeleteAcls: refused, since there are none without an authorizer.

use caudal_protocol::messages::delete_acls_request::DeleteAclsRequest;
use caudal_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsResponse};

use crate::handlers::acls;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct DeleteAcls;

impl Handler for DeleteAcls {
    type Request = DeleteAclsRequest;
    type Response = DeleteAclsResponse;

    async fn handle(&self, _context: &RequestContext, request: DeleteAclsRequest) -> DeleteAclsResponse {
        let refusal = acls::disabled();
        let result = DeleteAclsFilterResult::default()
            .with_error_code(refusal.code().code())
            .with_error_message(refusal.message());
        DeleteAclsResponse::default().with_filter_results(vec![result; request.filters.len()])
    }
}

impl Outcome for DeleteAclsResponse {
    fn failed(&self) -> bool {
        self.filter_results.iter().any(|result| result.error_code != 0)
    }
}
