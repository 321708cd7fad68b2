//! DeleteTopics: removes topics, by name or by id.

use std::collections::HashMap;
use std::sync::Arc;

use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use caudal_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use caudal_types::TopicId;

use crate::cluster::Cluster;
use crate::error::Refusal;
use crate::handlers::within;
use crate::quotas::Quotas;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::topic_name;

/// From this version on topics may be named by id.
const BY_ID: i16 = 6;
/// From this version on the answer carries texts, and clients understand that they have used up what they may (KIP-599).
const TEXTS: i16 = 5;

pub(crate) struct DeleteTopics {
    cluster: Cluster,
    quotas: Arc<Quotas>,
}

impl DeleteTopics {
    pub(crate) fn new(cluster: Cluster, quotas: Arc<Quotas>) -> Self {
        Self { cluster, quotas }
    }
}

impl Handler for DeleteTopics {
    type Request = DeleteTopicsRequest;
    type Response = DeleteTopicsResponse;

    async fn handle(&self, context: &RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let version = context.version;
        let by_name = |name| DeleteTopicState::default().with_name(Some(name));
        let asked =
            if version >= BY_ID { request.topics } else { request.topic_names.into_iter().map(by_name).collect() };
        let mut image = self.cluster.image();
        let mut found = find(&image, &asked);
        if found.iter().any(is_unknown) {
            // This node may not have heard of the topic yet.
            match self.cluster.controller().catch_up(within(request.timeout_ms)).await {
                Ok(newer) => {
                    found = find(&newer, &asked);
                    image = newer;
                }
                Err(error) => found.iter_mut().filter(|found| is_unknown(found)).for_each(|found| {
                    *found = Err(Refusal::from(&error));
                }),
            }
        }
        let ids: Vec<TopicId> = found.iter().filter_map(|found| found.as_ref().ok().copied()).collect();
        let mut throttle_ms = 0;
        let mut deleted = if ids.is_empty() {
            Vec::new().into_iter()
        } else {
            let (payer, within) = (context.payer(version >= TEXTS), within(request.timeout_ms));
            let deleted = self.cluster.controller().delete_topics_for(Some(payer), ids, within).await;
            throttle_ms = deleted.throttle_ms;
            deleted.results.into_iter()
        };
        let results = asked.into_iter().zip(found).map(|(state, found)| match found {
            Err(refusal) => result(version, &image, state, Err(refusal)),
            Ok(id) => {
                let outcome = deleted.next().map(|deleted| deleted.map_err(|error| Refusal::from(&error)));
                let outcome = outcome.unwrap_or_else(|| Err(no_outcome()));
                result(version, &image, state.with_topic_id(id.0), outcome)
            }
        });
        self.quotas.mutated(throttle_ms);
        DeleteTopicsResponse::default().with_responses(results.collect()).with_throttle_time_ms(throttle_ms)
    }
}

fn no_outcome() -> Refusal {
    Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, "the controller said nothing of the topic; look whether it is there")
}

fn is_unknown(found: &Result<TopicId, Refusal>) -> bool {
    let codes = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::UNKNOWN_TOPIC_ID];
    found.as_ref().is_err_and(|refusal| codes.contains(&refusal.code()))
}

/// The ids of the topics asked for; each topic is taken once.
fn find(image: &ClusterImage, asked: &[DeleteTopicState]) -> Vec<Result<TopicId, Refusal>> {
    let mut counts: HashMap<TopicId, usize> = HashMap::new();
    let found: Vec<Result<TopicId, Refusal>> = asked.iter().map(|state| find_one(image, state)).collect();
    for id in found.iter().flatten() {
        *counts.entry(*id).or_default() += 1;
    }
    let once = |found: Result<TopicId, Refusal>| match found {
        Ok(id) if counts.get(&id).is_some_and(|count| *count > 1) => {
            Err(Refusal::invalid_request("the topic is named twice; name it once"))
        }
        found => found,
    };
    found.into_iter().map(once).collect()
}

fn find_one(image: &ClusterImage, state: &DeleteTopicState) -> Result<TopicId, Refusal> {
    match (state.name.as_deref(), TopicId(state.topic_id)) {
        (Some(name), TopicId::NIL) => image
            .topic(name)
            .map(|topic| topic.id)
            .ok_or_else(|| Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic '{name}'"))),
        (None, TopicId::NIL) => Err(Refusal::invalid_request("neither name nor id of the topic is given; give one")),
        (None, id) => image
            .topic_by_id(id)
            .map(|topic| topic.id)
            .ok_or_else(|| Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, format!("there is no topic with the id {id}"))),
        (Some(_), _) => Err(Refusal::invalid_request("both name and id of the topic are given; give one")),
    }
}

fn result(
    version: i16,
    image: &ClusterImage,
    state: DeleteTopicState,
    outcome: Result<(), Refusal>,
) -> DeletableTopicResult {
    let id = TopicId(state.topic_id);
    let name = state.name.or_else(|| image.topic_by_id(id).map(|topic| topic_name(&topic.name)));
    let result = DeletableTopicResult::default()
        // The name cannot be null before topics were named by id.
        .with_name(if version >= BY_ID { name } else { Some(name.unwrap_or_default()) })
        .with_topic_id(if version >= BY_ID { id.0 } else { uuid::Uuid::nil() });
    match outcome {
        Ok(()) => result,
        Err(refusal) => result
            .with_error_code(refusal.code().code())
            .with_error_message(refusal.message().filter(|_| version >= TEXTS)),
    }
}

impl Outcome for DeleteTopicsResponse {
    fn failed(&self) -> bool {
        self.responses.iter().any(|response| response.error_code != 0)
    }
}

#[cfg(test)]
mod tests {
    use caudal_metadata::TopicImage;

    use super::*;

    #[test]
    fn topics_are_found_by_name_or_id_but_only_once() {
        let mut image = ClusterImage::default();
        let id = TopicId(uuid::Uuid::from_u128(5));
        let topic = TopicImage { id, name: "t".into(), configs: Default::default(), partitions: vec![] };
        image.topic_names.insert(id, Arc::clone(&topic.name));
        image.topics.insert(Arc::clone(&topic.name), Arc::new(topic));

        let state = |name: Option<&str>, id: u128| {
            DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(uuid::Uuid::from_u128(id))
        };
        let codes = |states: &[DeleteTopicState]| -> Vec<_> {
            find(&image, states).into_iter().map(|found| found.map_err(|refusal| refusal.code())).collect()
        };
        assert_eq!(codes(&[state(Some("t"), 0)]), [Ok(id)]);
        assert_eq!(codes(&[state(None, 5)]), [Ok(id)]);
        assert_eq!(codes(&[state(Some("t"), 0), state(None, 5)]), [Err(ErrorCode::INVALID_REQUEST); 2]);
        assert_eq!(
            codes(&[state(Some("q"), 0), state(None, 6), state(None, 0), state(Some("t"), 5)]),
            [
                Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                Err(ErrorCode::UNKNOWN_TOPIC_ID),
                Err(ErrorCode::INVALID_REQUEST),
                Err(ErrorCode::INVALID_REQUEST),
            ]
        );
    }
}
