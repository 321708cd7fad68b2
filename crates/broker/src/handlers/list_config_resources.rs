//! ListConfigResources: what has settings, by kind (KIP-1142); version 0 knows the subscriptions to clients' metrics only (KIP-714).

use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use caudal_protocol::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};

use crate::cluster::Cluster;
use crate::handlers::resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on the client says which kinds it asks for.
const KINDS: i16 = 1;
/// All kinds, in the order of the answer.
const ALL: [i8; 5] = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

pub(crate) struct ListConfigResources {
    cluster: Cluster,
}

impl ListConfigResources {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    fn names(&self, image: &ClusterImage, kind: i8) -> Vec<String> {
        match kind {
            GROUP => image.group_configs.keys().map(ToString::to_string).collect(),
            CLIENT_METRICS => image.client_metrics().keys().cloned().collect(),
            BROKER | BROKER_LOGGER => self.cluster.listed_nodes(image).map(|node| node.id.to_string()).collect(),
            _ => image.topics.keys().map(ToString::to_string).collect(),
        }
    }
}

impl Handler for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    type Response = ListConfigResourcesResponse;

    async fn handle(
        &self,
        context: &RequestContext,
        request: ListConfigResourcesRequest,
    ) -> ListConfigResourcesResponse {
        let Some(kinds) = kinds(context.version, &request.resource_types) else {
            return ListConfigResourcesResponse::default().with_error_code(ErrorCode::UNSUPPORTED_VERSION.code());
        };
        let image = self.cluster.image();
        let of_kind = |kind: i8| {
            let resource = move |name: String| {
                ConfigResource::default().with_resource_name(StrBytes::from(name)).with_resource_type(kind)
            };
            self.names(&image, kind).into_iter().map(resource)
        };
        ListConfigResourcesResponse::default().with_config_resources(kinds.into_iter().flat_map(of_kind).collect())
    }
}

/// Which kinds are asked for: all that the version knows if none is named. `None` if there is no such kind.
fn kinds(version: i16, asked: &[i8]) -> Option<Vec<i8>> {
    if version < KINDS {
        return Some(vec![CLIENT_METRICS]);
    }
    if !asked.iter().all(|kind| ALL.contains(kind)) {
        return None;
    }
    Some(ALL.into_iter().filter(|kind| asked.is_empty() || asked.contains(kind)).collect())
}

impl Outcome for ListConfigResourcesResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_no_kind_is_told_of_all() {
        assert_eq!(kinds(0, &[]), Some(vec![CLIENT_METRICS]));
        assert_eq!(kinds(1, &[]), Some(ALL.to_vec()));
        assert_eq!(kinds(1, &[TOPIC, GROUP, TOPIC]), Some(vec![GROUP, TOPIC]));
        assert_eq!(kinds(1, &[TOPIC, 3]), None);
    }
}
