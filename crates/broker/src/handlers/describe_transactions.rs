//! DescribeTransactions: what their coordinator knows of transactional ids (KIP-664).

use std::collections::BTreeMap;

use caudal_coordinator::Coordinator;
use caudal_coordinator::transactions::{DescribedTransaction, Participant};
use caudal_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use caudal_protocol::messages::describe_transactions_response::{
    DescribeTransactionsResponse, TopicData, TransactionState,
};
use caudal_protocol::messages::{ProducerId, TransactionalId};

use crate::error::KafkaError;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::topic_name;

pub(crate) struct DescribeTransactions {
    coordinator: Coordinator,
}

impl DescribeTransactions {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator }
    }

    async fn describe(&self, id: TransactionalId) -> TransactionState {
        let state = TransactionState::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
        match self.coordinator.describe_transaction(&id).await {
            Ok(transaction) => described(&transaction),
            Err(error) => state.with_error_code(error.code().code()),
        }
        .with_transactional_id(id)
    }
}

fn described(transaction: &DescribedTransaction) -> TransactionState {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for participant in &transaction.participants {
        if let Participant::Partition { topic, partition, .. } = participant {
            topics.entry(topic).or_default().push(*partition);
        }
    }
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        TopicData::default().with_topic(topic_name(name)).with_partitions(partitions)
    };
    TransactionState::default()
        .with_transaction_state(transaction.state.into())
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.started_at)
        .with_producer_id(ProducerId(transaction.producer.id))
        .with_producer_epoch(transaction.producer.epoch)
        .with_topics(topics.into_iter().map(topic).collect())
}

impl Handler for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    type Response = DescribeTransactionsResponse;

    async fn handle(
        &self,
        _context: &RequestContext,
        request: DescribeTransactionsRequest,
    ) -> DescribeTransactionsResponse {
        let mut states = Vec::with_capacity(request.transactional_ids.len());
        for id in request.transactional_ids {
            states.push(self.describe(id).await);
        }
        DescribeTransactionsResponse::default().with_transaction_states(states)
    }
}

impl Outcome for DescribeTransactionsResponse {
    fn failed(&self) -> bool {
        self.transaction_states.iter().any(|state| state.error_code != 0)
    }
}
