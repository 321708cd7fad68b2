//! CreateAcls: refused, since there is no authorizer that would mind them.

use caudal_protocol::messages::create_acls_request::CreateAclsRequest;
use caudal_protocol::messages::create_acls_response::{AclCreationResult, CreateAclsResponse};

use crate::handlers::acls;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct CreateAcls;

impl Handler for CreateAcls {
    type Request = CreateAclsRequest;
    type Response = CreateAclsResponse;

    async fn handle(&self, _context: &RequestContext, request: CreateAclsRequest) -> CreateAclsResponse {
        let refusal = acls::disabled();
        let result =
            AclCreationResult::default().with_error_code(refusal.code().code()).with_error_message(refusal.message());
        CreateAclsResponse::default().with_results(vec![result; request.creations.len()])
    }
}

impl Outcome for CreateAclsResponse {
    fn failed(&self) -> bool {
        self.results.iter().any(|result| result.error_code != 0)
    }
}
