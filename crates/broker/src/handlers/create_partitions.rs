//! CreatePartitions: more partitions for topics.

use std::sync::Arc;

use caudal_metadata::{Controller, CreatePartitions as Wish};
use caudal_protocol::messages::TopicName;
use caudal_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use caudal_protocol::messages::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};

use crate::error::Refusal;
use crate::handlers::create_topics::nodes;
use crate::handlers::wishes::{Wishes, wishes};
use crate::handlers::within;
use crate::quotas::Quotas;
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on clients understand that they have used up what they may (KIP-599).
const STRICT: i16 = 3;

pub(crate) struct CreatePartitions {
    controller: Controller,
    quotas: Arc<Quotas>,
}

impl CreatePartitions {
    pub(crate) fn new(controller: Controller, quotas: Arc<Quotas>) -> Self {
        Self { controller, quotas }
    }
}

impl Handler for CreatePartitions {
    type Request = CreatePartitionsRequest;
    type Response = CreatePartitionsResponse;

    async fn handle(&self, context: &RequestContext, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
        let Wishes { names, wished, refused } = wishes(request.topics, |topic| &topic.name, |topic| typed(&topic));
        let mut results: Vec<_> = refused.into_iter().map(|(name, refusal)| result(name, Err(refusal))).collect();
        let mut throttle_ms = 0;
        if !wished.is_empty() {
            let (payer, within) = (context.payer(context.version >= STRICT), within(request.timeout_ms));
            let made = self.controller.create_partitions_for(Some(payer), wished, request.validate_only, within).await;
            throttle_ms = made.throttle_ms;
            let refusals = made.results.into_iter().map(|made| made.map_err(|error| Refusal::from(&error)));
            results.extend(names.into_iter().zip(refusals).map(|(name, made)| result(name, made)));
        }
        self.quotas.mutated(throttle_ms);
        CreatePartitionsResponse::default().with_results(results).with_throttle_time_ms(throttle_ms)
    }
}

fn typed(topic: &CreatePartitionsTopic) -> Result<Wish, Refusal> {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        assignments.iter().map(|partition| nodes(partition.broker_ids.iter().map(|id| id.0))).collect()
    });
    Ok(Wish { topic: topic.name.to_string(), count: topic.count, assignments: assignments.transpose()? })
}

fn result(name: TopicName, made: Result<(), Refusal>) -> CreatePartitionsTopicResult {
    let result = CreatePartitionsTopicResult::default().with_name(name);
    match made {
        Ok(()) => result,
        Err(refusal) => result.with_error_code(refusal.code().code()).with_error_message(refusal.message()),
    }
}

impl Outcome for CreatePartitionsResponse {
    fn failed(&self) -> bool {
        self.results.iter().any(|result| result.error_code != 0)
    }
}
