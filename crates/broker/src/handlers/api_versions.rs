//! ApiVersions: which APIs are served, in which versions. The first request on every connection.

use caudal_protocol::ErrorCode;
use caudal_protocol::api::{SERVED, key};
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::api_versions_request::ApiVersionsRequest;
use caudal_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::cluster::Cluster;
use crate::reply::Served;
use crate::table::{Handler, Outcome, RequestContext, encoded};

/// A feature of Kafka's that is served: its name, and the least and the greatest level. The greatest is the finalized one.
type Feature = (&'static str, i16, i16);

/// The behaviour of Kafka 4.3, by Kafka's numbers. Features of what is not served (`group.version`, `share.version` ...) are not named, so that clients do not
/// rely on them.
const FEATURES: [Feature; 2] = [
    // From Kafka 3.3, the first that has the feature, to Kafka 4.3.
    ("metadata.version", 7, 30),
    // KIP-890.
    ("transaction.version", 0, 2),
];

pub(crate) struct ApiVersions {
    cluster: Cluster,
}

impl ApiVersions {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }
}

impl Handler for ApiVersions {
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;

    async fn handle(&self, context: &RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse {
        if context.version < 3 {
            return ApiVersionsResponse::default().with_api_keys(served());
        }
        if !is_valid(&request.client_software_name) || !is_valid(&request.client_software_version) {
            return ApiVersionsResponse::default().with_error_code(ErrorCode::INVALID_REQUEST.code());
        }
        tracing::debug!(
            host = %context.client_host,
            client = %context.client_id,
            software = %request.client_software_name,
            version = %request.client_software_version,
            "client connected"
        );
        ApiVersionsResponse::default()
            .with_api_keys(served())
            .with_supported_features(
                FEATURES.iter().filter(|feature| context.version >= 4 || feature.1 > 0).map(supported).collect(),
            )
            .with_finalized_features_epoch(i64::try_from(self.cluster.image().version).unwrap_or(i64::MAX))
            .with_finalized_features(FEATURES.iter().map(finalized).collect())
    }
}

fn supported((name, min, max): &Feature) -> SupportedFeatureKey {
    SupportedFeatureKey::default().with_name((*name).into()).with_min_version(*min).with_max_version(*max)
}

fn finalized((name, _, level): &Feature) -> FinalizedFeatureKey {
    FinalizedFeatureKey::default()
        .with_name((*name).into())
        .with_min_version_level(*level)
        .with_max_version_level(*level)
}

impl Outcome for ApiVersionsResponse {
    fn failed(&self) -> bool {
        self.error_code != 0
    }
}

/// The answer to a version that is not served: in version 0, which every client reads, with the list, so that the client can choose another (KIP-511).
pub(crate) fn unsupported_version(correlation_id: i32) -> Served {
    let response =
        ApiVersionsResponse::default().with_error_code(ErrorCode::UNSUPPORTED_VERSION.code()).with_api_keys(served());
    let context = RequestContext { version: 0, correlation_id, client_id: StrBytes::new(), client_host: "".into() };
    encoded(key::API_VERSIONS, &context, &response)
}

fn served() -> Vec<ApiVersion> {
    let version = |api: &caudal_protocol::api::Api| {
        ApiVersion::default().with_api_key(api.key).with_min_version(api.min_advertised).with_max_version(api.max)
    };
    SERVED.iter().map(version).collect()
}

/// Kafka's rule for the client's name and version: letters, digits, dots and dashes, the ends no dot or dash.
fn is_valid(software: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = software.as_bytes();
    outer(bytes.first()) && outer(bytes.last()) && bytes.iter().all(|byte| inner(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Answer;

    #[test]
    fn software_names_follow_kafkas_rule() {
        for name in ["apache-kafka-java", "librdkafka", "4.3.1", "a", "2.15.0-RC1"] {
            assert!(is_valid(name), "{name}");
        }
        for name in ["", "-a", "a.", "a b", "ä", "a_b", "a\n"] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn an_unsupported_version_is_answered_with_the_list_in_version_0() {
        let Answer::Send(frame) = unsupported_version(77).answer else { panic!("an answer is sent") };
        let bytes = frame.pieces.concat();
        assert_eq!(bytes[4..8], 77_i32.to_be_bytes());
        assert_eq!(bytes[8..10], ErrorCode::UNSUPPORTED_VERSION.code().to_be_bytes());
        assert_eq!(bytes[10..14], i32::try_from(SERVED.len()).unwrap().to_be_bytes());
        assert_eq!(bytes.len(), 14 + 6 * SERVED.len());
    }
}
