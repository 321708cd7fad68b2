//! AddPartitionsToTxn: partitions join a transaction, before a client of version 1 writes to them. From version 4 on for many transactions at once, as
//! brokers ask each other; then they may also only be looked for.

use std::collections::BTreeMap;

use caudal_coordinator::transactions::{JoinTransaction, Participant};
use caudal_coordinator::{Coordinator, TransactionError};
use caudal_metadata::ClusterImage;
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::TopicName;
use caudal_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use caudal_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};

use super::transactions::{code_for, identity, join, participant};
use crate::cluster::Cluster;
use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};

/// From this version on many transactions are asked about.
const MANY: i16 = 4;
/// From this version on clients know PRODUCER_FENCED.
const FENCED: i16 = 2;

pub(crate) struct AddPartitionsToTxn {
    cluster: Cluster,
    coordinator: Coordinator,
}

impl AddPartitionsToTxn {
    pub(crate) fn new(cluster: Cluster, coordinator: Coordinator) -> Self {
        Self { cluster, coordinator }
    }

    async fn transaction(
        &self,
        version: i16,
        transaction: AddPartitionsToTxnTransaction,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let participants = match participants(&self.cluster.image(), &transaction.topics) {
            Ok(participants) => participants,
            Err(codes) => return results(&transaction.topics, |key| codes[&key]),
        };
        let producer = identity(transaction.producer_id, transaction.producer_epoch);
        let protocol = if version >= MANY { 2 } else { 1 };
        let join = join(&transaction.transactional_id, producer, protocol, !transaction.verify_only);
        if transaction.verify_only {
            return self.verify(&join, &transaction.topics, &participants).await;
        }
        let code = match self.coordinator.join_transaction_here(&join, participants).await {
            Ok(_number) => ErrorCode::NONE,
            Err(error) => code_for(&error, version >= FENCED),
        };
        results(&transaction.topics, |_| code)
    }

    /// Each partition is answered for itself, as by Kafka.
    async fn verify(
        &self,
        join: &JoinTransaction,
        topics: &[AddPartitionsToTxnTopic],
        participants: &[Participant],
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        match self.coordinator.verify_transaction_here(join, participants).await {
            Ok(take_part) => {
                let code = |takes_part| if takes_part { ErrorCode::NONE } else { TransactionError::NotEnlisted.code() };
                let codes: BTreeMap<_, _> = keys(topics).zip(take_part.into_iter().map(code)).collect();
                results(topics, |key| codes[&key])
            }
            Err(error) => results(topics, |_| error.code()),
        }
    }
}

/// All partitions; or, when one does not exist, a code for each: none is added then.
fn participants(
    image: &ClusterImage,
    topics: &[AddPartitionsToTxnTopic],
) -> Result<Vec<Participant>, BTreeMap<(TopicName, i32), ErrorCode>> {
    let (mut found, mut codes, mut complete) = (Vec::new(), BTreeMap::new(), true);
    for (topic, partition) in keys(topics) {
        let code = match participant(image, &topic, partition) {
            Ok(participant) => {
                found.push(participant);
                ErrorCode::OPERATION_NOT_ATTEMPTED
            }
            Err(code) => {
                complete = false;
                code
            }
        };
        codes.insert((topic, partition), code);
    }
    if complete { Ok(found) } else { Err(codes) }
}

fn keys(topics: &[AddPartitionsToTxnTopic]) -> impl Iterator<Item = (TopicName, i32)> {
    topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.clone(), *partition)))
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn((TopicName, i32)) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topic = |topic: &AddPartitionsToTxnTopic| {
        let partition = |partition: &i32| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code((topic.name.clone(), *partition)).code())
        };
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition).collect())
    };
    topics.iter().map(topic).collect()
}

fn only_transaction(request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnTransaction {
    AddPartitionsToTxnTransaction::default()
        .with_transactional_id(request.v3_and_below_transactional_id)
        .with_producer_id(request.v3_and_below_producer_id)
        .with_producer_epoch(request.v3_and_below_producer_epoch)
        .with_topics(request.v3_and_below_topics)
}

impl Handler for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    type Response = AddPartitionsToTxnResponse;

    async fn handle(&self, context: &RequestContext, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
        if context.version < MANY {
            let topics = self.transaction(context.version, only_transaction(request)).await;
            return AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics);
        }
        let mut results = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            let id = transaction.transactional_id.clone();
            let topics = self.transaction(context.version, transaction).await;
            results.push(AddPartitionsToTxnResult::default().with_transactional_id(id).with_topic_results(topics));
        }
        AddPartitionsToTxnResponse::default().with_results_by_transaction(results)
    }
}

impl Outcome for AddPartitionsToTxnResponse {
    fn failed(&self) -> bool {
        let of_transactions = self.results_by_transaction.iter().flat_map(|result| &result.topic_results);
        let topics = self.results_by_topic_v3_and_below.iter().chain(of_transactions);
        self.error_code != 0
            || topics.flat_map(|topic| &topic.results_by_partition).any(|part| part.partition_error_code != 0)
    }
}
