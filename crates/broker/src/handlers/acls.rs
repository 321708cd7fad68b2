//! What the three APIs for access control lists have in common: there is no authorizer, so that there are no lists (Kafka answers likewise when none
//! is configured).

use caudal_protocol::ErrorCode;

use crate::error::Refusal;

/// Why they are refused.
pub(super) fn disabled() -> Refusal {
    Refusal::new(
        ErrorCode::SECURITY_DISABLED,
        "No authorizer is configured: every client may do everything, and there are no access control lists",
    )
}
