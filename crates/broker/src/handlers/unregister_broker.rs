//! UnregisterBroker: makes the cluster forget a node that was taken out of it for good (KIP-500). The nodes of a cluster are those of the setting
//! `cluster.nodes`, and register by themselves.

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use caudal_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use caudal_types::NodeId;

use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::table::{Handler, Outcome, RequestContext};

pub(crate) struct UnregisterBroker {
    cluster: Cluster,
}

impl UnregisterBroker {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }
}

impl Handler for UnregisterBroker {
    type Request = UnregisterBrokerRequest;
    type Response = UnregisterBrokerResponse;

    async fn handle(&self, _context: &RequestContext, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse {
        let image = self.cluster.image();
        let node = u32::try_from(request.broker_id.0).map(NodeId);
        let is_registered = node.is_ok_and(|node| image.nodes.contains_key(&node));
        let refusal = if is_registered {
            let text = format!(
                "Node {} is registered, and no node can be taken out of a cluster; one whose disk was lost may come back with an empty disk",
                request.broker_id.0
            );
            Refusal::invalid_request(text)
        } else {
            let text = format!("No node with the id {} is registered", request.broker_id.0);
            Refusal::new(ErrorCode::BROKER_ID_NOT_REGISTERED, text)
        };
        UnregisterBrokerResponse::default().with_error_code(refusal.code().code()).with_error_message(refusal.message())
    }
}

impl Outcome for UnregisterBrokerResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}
