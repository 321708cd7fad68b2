//! DescribeCluster: the nodes of the cluster.

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::BrokerId;
use caudal_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use caudal_protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

use crate::access;
use crate::cluster::Cluster;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::wire;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) struct DescribeCluster {
    cluster: Cluster,
}

impl DescribeCluster {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }
}

impl Handler for DescribeCluster {
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;

    async fn handle(&self, context: &RequestContext, request: DescribeClusterRequest) -> DescribeClusterResponse {
        let endpoint_type = if context.version >= 1 { request.endpoint_type } else { BROKERS };
        if endpoint_type != BROKERS {
            return mismatched(endpoint_type);
        }
        let image = self.cluster.image();
        let brokers = image.nodes.values().filter_map(|node| {
            let fenced = !self.cluster.is_alive(node.id);
            let shown = !fenced || request.include_fenced_brokers;
            shown.then(|| {
                DescribeClusterBroker::default()
                    .with_broker_id(BrokerId(node.id.as_kafka()))
                    .with_host(wire(&node.host))
                    .with_port(i32::from(node.port))
                    .with_rack(node.rack.as_deref().map(wire))
                    .with_is_fenced(fenced)
            })
        });
        let operations = access::if_asked(request.include_cluster_authorized_operations, access::CLUSTER);
        DescribeClusterResponse::default()
            .with_endpoint_type(BROKERS)
            .with_cluster_id(wire(&image.cluster_id))
            .with_controller_id(self.cluster.controller_id(&image))
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(operations)
    }
}

/// Clients that want the endpoints of controllers asked a listener for brokers.
fn mismatched(endpoint_type: i8) -> DescribeClusterResponse {
    let (code, text) = if endpoint_type == CONTROLLERS {
        (
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "this is a listener for brokers, which serves controllers' requests too; ask for the endpoint type 1"
                .to_owned(),
        )
    } else {
        let text = format!("there is no endpoint type {endpoint_type}; ask for 1, the brokers");
        (ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, text)
    };
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(wire(&text)))
        .with_controller_id(BrokerId(-1))
}

impl Outcome for DescribeClusterResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
