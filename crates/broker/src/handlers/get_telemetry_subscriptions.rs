//! GetTelemetrySubscriptions: which metrics a client is asked for, and how often (KIP-714).

use std::sync::Arc;

use caudal_protocol::batch::Codec;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::get_telemetry_subscriptions_request::GetTelemetrySubscriptionsRequest;
use caudal_protocol::messages::get_telemetry_subscriptions_response::GetTelemetrySubscriptionsResponse;

use crate::cluster::Cluster;
use crate::table::{Handler, Outcome, RequestContext};
use crate::telemetry::Telemetry;

/// The codecs that clients may use, the best first (Kafka's order).
const ACCEPTED: [Codec; 4] = [Codec::Zstd, Codec::Lz4, Codec::Gzip, Codec::Snappy];

pub(crate) struct GetTelemetrySubscriptions {
    cluster: Cluster,
    telemetry: Arc<Telemetry>,
}

impl GetTelemetrySubscriptions {
    pub(crate) fn new(cluster: Cluster, telemetry: Arc<Telemetry>) -> Self {
        Self { cluster, telemetry }
    }
}

impl Handler for GetTelemetrySubscriptions {
    type Request = GetTelemetrySubscriptionsRequest;
    type Response = GetTelemetrySubscriptionsResponse;

    async fn handle(
        &self,
        context: &RequestContext,
        request: GetTelemetrySubscriptionsRequest,
    ) -> GetTelemetrySubscriptionsResponse {
        let response = GetTelemetrySubscriptionsResponse::default();
        match self.telemetry.subscription(&self.cluster.image(), context, request.client_instance_id) {
            Ok(granted) => response
                .with_client_instance_id(granted.client)
                .with_subscription_id(granted.subscription_id)
                .with_accepted_compression_types(ACCEPTED.map(Codec::id).into())
                .with_push_interval_ms(granted.interval_ms)
                .with_telemetry_max_bytes(i32::try_from(self.telemetry.max_bytes()).unwrap_or(i32::MAX))
                .with_delta_temporality(true)
                .with_requested_metrics(granted.metrics.into_iter().map(StrBytes::from).collect()),
            Err(code) => response.with_error_code(code.code()),
        }
    }
}

impl Outcome for GetTelemetrySubscriptionsResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
