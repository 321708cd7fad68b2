//! The schemas of the requests that bring clients' metrics (KIP-714).

use super::Field;
use super::requests::{ALL, BOOL, BYTES, I8, I32, UUID, field};

pub(super) const GET_TELEMETRY_SUBSCRIPTIONS: &[Field] = &[field("client_instance_id", ALL, UUID)];

pub(super) const PUSH_TELEMETRY: &[Field] = &[
    field("client_instance_id", ALL, UUID),
    field("subscription_id", ALL, I32),
    field("terminating", ALL, BOOL),
    field("compression_type", ALL, I8),
    field("metrics", ALL, BYTES),
];
