//! ApiVersions: which APIs are served, in which versions. The first request on every connection.

use std::sync::Arc;

use caudal_protocol::ErrorCode;
use caudal_protocol::api::{SERVED, key};
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::api_versions_request::ApiVersionsRequest;
use caudal_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::cluster::Cluster;
use crate::features::{FEATURES, Feature};
use crate::reply::Served;
use crate::table::{Handler, Outcome, RequestContext, Software, encoded};

/// How many characters of a client's name and version are kept with its connection.
const SOFTWARE_CHARS_MAX: usize = 256;

/// From this version on clients can read a feature whose least level is 0.
const LEVEL_0: i16 = 4;

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
        // What it says later does not count.
        let _ = context.peer.software.set(Software {
            name: shortened(&request.client_software_name),
            version: shortened(&request.client_software_version),
        });
        ApiVersionsResponse::default()
            .with_api_keys(served())
            .with_supported_features(supported(context.version))
            .with_finalized_features_epoch(i64::try_from(self.cluster.image().version).unwrap_or(i64::MAX))
            .with_finalized_features(FEATURES.iter().map(finalized).collect())
    }
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
    let context = RequestContext {
        version: 0,
        correlation_id,
        client_id: StrBytes::new(),
        client_host: "".into(),
        peer: Arc::default(),
        user: "".into(),
        size: 0,
        timer: None,
    };
    encoded(key::API_VERSIONS, &context, &response)
}

/// Clients of version 3 stumble over a least level of 0, so that they are not told of such features (KAFKA-17492).
fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    let key = |feature: &Feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.min)
            .with_max_version(feature.max)
    };
    FEATURES.iter().filter(|feature| version >= LEVEL_0 || feature.min > 0).map(key).collect()
}

fn finalized(feature: &Feature) -> FinalizedFeatureKey {
    FinalizedFeatureKey::default()
        .with_name(StrBytes::from_static_str(feature.name))
        .with_min_version_level(feature.max)
        .with_max_version_level(feature.max)
}

fn served() -> Vec<ApiVersion> {
    let version = |api: &caudal_protocol::api::Api| {
        ApiVersion::default().with_api_key(api.key).with_min_version(api.min_advertised).with_max_version(api.max)
    };
    SERVED.iter().map(version).collect()
}

fn shortened(software: &str) -> String {
    software.chars().take(SOFTWARE_CHARS_MAX).collect()
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
    fn older_clients_are_not_told_of_features_from_level_0_on() {
        let names = |version| supported(version).iter().map(|key| key.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(3), ["metadata.version"]);
        assert_eq!(names(4), ["group.version", "metadata.version", "transaction.version"]);
        assert_eq!(finalized(&FEATURES[0]).max_version_level, 1);
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
