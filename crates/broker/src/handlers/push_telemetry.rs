//! PushTelemetry: a client's metrics (KIP-714).

use std::sync::Arc;

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::push_telemetry_request::PushTelemetryRequest;
use caudal_protocol::messages::push_telemetry_response::PushTelemetryResponse;

use crate::cluster::Cluster;
use crate::table::{Handler, Outcome, RequestContext};
use crate::telemetry::{Push, Telemetry};

pub(crate) struct PushTelemetry {
    cluster: Cluster,
    telemetry: Arc<Telemetry>,
}

impl PushTelemetry {
    pub(crate) fn new(cluster: Cluster, telemetry: Arc<Telemetry>) -> Self {
        Self { cluster, telemetry }
    }
}

impl Handler for PushTelemetry {
    type Request = PushTelemetryRequest;
    type Response = PushTelemetryResponse;

    async fn handle(&self, context: &RequestContext, request: PushTelemetryRequest) -> PushTelemetryResponse {
        let push = Push {
            client: request.client_instance_id,
            subscription_id: request.subscription_id,
            terminating: request.terminating,
            compression_type: request.compression_type,
            metrics: &request.metrics,
        };
        let taken = self.telemetry.push(&self.cluster.image(), context, &push);
        PushTelemetryResponse::default().with_error_code(taken.err().unwrap_or(ErrorCode::NONE).code())
    }
}

impl Outcome for PushTelemetryResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
