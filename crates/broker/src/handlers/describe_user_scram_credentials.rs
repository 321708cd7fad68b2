//! DescribeUserScramCredentials: there is no SCRAM here, so that no user has credentials; tools that describe users ask all the same (KIP-554).

use std::collections::BTreeMap;

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::describe_user_scram_credentials_request::DescribeUserScramCredentialsRequest;
use caudal_protocol::messages::describe_user_scram_credentials_response::{
    DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};

use crate::table::{Handler, Outcome, RequestContext};
use crate::text::wire;

pub(crate) struct DescribeUserScramCredentials;

impl Handler for DescribeUserScramCredentials {
    type Request = DescribeUserScramCredentialsRequest;
    type Response = DescribeUserScramCredentialsResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        request: DescribeUserScramCredentialsRequest,
    ) -> DescribeUserScramCredentialsResponse {
        let mut counts: BTreeMap<StrBytes, usize> = BTreeMap::new();
        for user in request.users.into_iter().flatten() {
            *counts.entry(user.name).or_default() += 1;
        }
        let results = counts.into_iter().map(|(user, count)| result(user, count > 1));
        DescribeUserScramCredentialsResponse::default().with_results(results.collect())
    }
}

fn result(user: StrBytes, repeated: bool) -> DescribeUserScramCredentialsResult {
    let (code, text) = if repeated {
        (ErrorCode::DUPLICATE_RESOURCE, format!("the user '{user}' is named twice; name it once"))
    } else {
        (ErrorCode::RESOURCE_NOT_FOUND, format!("the user '{user}' has no SCRAM credentials"))
    };
    DescribeUserScramCredentialsResult::default()
        .with_user(user)
        .with_error_code(code.code())
        .with_error_message(Some(wire(&text)))
}

impl Outcome for DescribeUserScramCredentialsResponse {
    /// That a user has no credentials is the expected answer.
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
