//! FindCoordinator: which node coordinates a consumer group or a transactional producer.

use std::sync::Arc;

use caudal_coordinator::Coordinator;
use caudal_metadata::NodeImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::BrokerId;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use caudal_protocol::messages::find_coordinator_response::{Coordinator as Found, FindCoordinatorResponse};

use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::wire;

/// The first version that asks for many keys.
const MANY: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub(crate) struct FindCoordinator {
    cluster: Cluster,
    coordinator: Coordinator,
}

impl FindCoordinator {
    pub(crate) fn new(cluster: Cluster, coordinator: Coordinator) -> Self {
        Self { cluster, coordinator }
    }

    fn find(&self, key_type: i8, key: &str) -> Result<Arc<NodeImage>, Refusal> {
        match key_type {
            GROUP | TRANSACTION => {}
            SHARE => return Err(Refusal::invalid_request("share groups are not served; use a consumer group")),
            other => {
                return Err(Refusal::invalid_request(format!(
                    "there is no coordinator of type {other}; 0 is a consumer group's, 1 a transaction's"
                )));
            }
        }
        let image = self.cluster.image();
        let node = self.coordinator.coordinator_of(key).and_then(|node| self.cluster.live_node(&image, node));
        node.ok_or_else(|| {
            Refusal::new(
                ErrorCode::COORDINATOR_NOT_AVAILABLE,
                format!("the coordinator of '{key}' is being elected; try again"),
            )
        })
    }
}

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;
    type Response = FindCoordinatorResponse;

    async fn handle(&self, context: &RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        // Version 0 knows consumer groups only.
        let key_type = if context.version >= 1 { request.key_type } else { GROUP };
        if context.version >= MANY {
            let found = |key: StrBytes| many(self.find(key_type, &key)).with_key(key);
            let coordinators = request.coordinator_keys.into_iter().map(found).collect();
            return FindCoordinatorResponse::default().with_coordinators(coordinators);
        }
        single(context.version, self.find(key_type, &request.key))
    }
}

fn many(found: Result<Arc<NodeImage>, Refusal>) -> Found {
    match found {
        Ok(node) => Found::default()
            .with_node_id(BrokerId(node.id.as_kafka()))
            .with_host(wire(&node.host))
            .with_port(i32::from(node.port)),
        Err(refusal) => Found::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(refusal.code().code())
            .with_error_message(refusal.message()),
    }
}

fn single(version: i16, found: Result<Arc<NodeImage>, Refusal>) -> FindCoordinatorResponse {
    match found {
        Ok(node) => FindCoordinatorResponse::default()
            .with_node_id(BrokerId(node.id.as_kafka()))
            .with_host(wire(&node.host))
            .with_port(i32::from(node.port)),
        Err(refusal) => FindCoordinatorResponse::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(refusal.code().code())
            .with_error_message(refusal.message().filter(|_| version >= 1)),
    }
}

impl Outcome for FindCoordinatorResponse {
    fn failed(&self) -> bool {
        self.error_code != 0 || self.coordinators.iter().any(|found| found.error_code != 0)
    }
}
