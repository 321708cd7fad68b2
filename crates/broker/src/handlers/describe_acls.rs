//! DescribeAcls: the access control lists, of which there are none.

use caudal_protocol::messages::describe_acls_request::DescribeAclsRequest;
use caudal_protocol::messages::describe_acls_response::DescribeAclsResponse;

use crate::handlers::acls;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct DescribeAcls;

impl Handler for DescribeAcls {
    type Request = DescribeAclsRequest;
    type Response = DescribeAclsResponse;

    async fn handle(&self, _context: &RequestContext, _request: DescribeAclsRequest) -> DescribeAclsResponse {
        let refusal = acls::disabled();
        DescribeAclsResponse::default().with_error_code(refusal.code().code()).with_error_message(refusal.message())
    }
}

impl Outcome for DescribeAclsResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
