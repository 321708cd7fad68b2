//! Transactions, as coordinators and partitions know them.

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::describe_producers_request::{DescribeProducersRequest, TopicRequest};
use caudal_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use caudal_protocol::messages::describe_transactions_response::{DescribeTransactionsResponse, TransactionState};
use caudal_protocol::messages::list_transactions_request::ListTransactionsRequest;
use caudal_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use caudal_protocol::messages::{ProducerId as WireProducerId, TransactionalId};
use caudal_types::{Offset, ProducerId, TimestampMs};
use futures::future::join_all;

use crate::admin::text;
use crate::nodes::{Coordinated, by_leader, gather};
use crate::{Answers, Broker, Client, ClientError, Place};

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The id.
    pub transactional_id: String,
    /// The producer that has it.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The node that coordinates it.
    pub coordinator: i32,
    /// The state, in Kafka's words.
    pub state: String,
    /// When its transaction began; none if there is none.
    pub started_at: Option<TimestampMs>,
    /// How long a transaction may take, in milliseconds.
    pub timeout_ms: i32,
    /// The partitions that take part in its transaction.
    pub partitions: Vec<Place>,
}

/// A transaction that is open in a partition: readers of committed records wait before its first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The producer.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch of its coordinator, if the partition has heard of one.
    pub coordinator_epoch: Option<i32>,
    /// Its first record.
    pub first_offset: Offset,
    /// When the producer last wrote there.
    pub last_time: TimestampMs,
}

impl Client {
    /// All transactional ids, in their order.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list_transactions(&self) -> Result<Answers<ListedTransaction>, ClientError> {
        let ask = |node: Broker| async move {
            let request = ListTransactionsRequest::default().with_duration_filter(-1);
            let response = self.call_at(&node.address(), &request).await?;
            ClientError::check(response.error_code, None, || "listing transactions".to_owned())?;
            let ids: Vec<_> = response.transaction_states.into_iter().map(|state| state.transactional_id).collect();
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
            let response = self.call_at(&node.address(), &request).await?;
            // Whatever has gone to another node, or altogether, since it was listed is left out.
            let described = response.transaction_states.into_iter().filter(|state| state.error_code == 0);
            Ok(described.map(|state| listed(node.id, state)).collect())
        };
        let mut answers = self.ask_all(ask).await?;
        answers.found.sort_by(|left, right| left.transactional_id.cmp(&right.transactional_id));
        Ok(answers)
    }

    /// A transactional id.
    ///
    /// # Errors
    /// See [`ClientError`]; TRANSACTIONAL_ID_NOT_FOUND when there is none.
    pub async fn describe_transaction(&self, id: &str) -> Result<ListedTransaction, ClientError> {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(id))]);
        let read = |node: &Broker, response: DescribeTransactionsResponse| {
            let what = || format!("transactional id '{id}'");
            let state = response.transaction_states.into_iter().next();
            let state = state.ok_or_else(|| ClientError::Missing(what()))?;
            ClientError::check(state.error_code, None, || format!("describing {}", what()))?;
            Ok(listed(node.id, state))
        };
        self.at_coordinator(Coordinated::TransactionalId(id), &request, read).await
    }

    /// The transactions that are open in partitions, over all topics. A leader that does not answer for one of its partitions counts as silent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn open_transactions(&self) -> Result<Answers<OpenTransaction>, ClientError> {
        let cluster = self.metadata(None).await?;
        let asked = by_leader(&cluster).into_iter().map(|(leader, topics)| async move {
            let topics = topics.into_iter().map(|(topic, partitions)| {
                TopicRequest::default().with_name(text(&topic).into()).with_partition_indexes(partitions)
            });
            let request = DescribeProducersRequest::default().with_topics(topics.collect());
            (leader, self.open_transactions_at(leader, &request).await)
        });
        let answers = join_all(asked).await;
        if answers.is_empty() {
            return Ok(Answers { found: Vec::new(), silent: Vec::new() });
        }
        let mut answers = gather(answers.into_iter())?;
        answers.found.sort_by(|left, right| (&left.topic, left.partition).cmp(&(&right.topic, right.partition)));
        Ok(answers)
    }

    async fn open_transactions_at(
        &self,
        leader: i32,
        request: &DescribeProducersRequest,
    ) -> Result<Vec<OpenTransaction>, ClientError> {
        let response = self.call_node(leader, request).await?;
        let mut open = Vec::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let index = partition.partition_index;
                ClientError::check(partition.error_code, partition.error_message.as_deref(), || {
                    format!("asking for the producers of {}-{index}", &*topic.name)
                })?;
                let blocking = partition.active_producers.iter().filter(|state| state.current_txn_start_offset >= 0);
                open.extend(blocking.map(|state| OpenTransaction {
                    topic: topic.name.to_string(),
                    partition: index,
                    producer_id: state.producer_id.0,
                    producer_epoch: i16::try_from(state.producer_epoch).unwrap_or(-1),
                    coordinator_epoch: Some(state.coordinator_epoch).filter(|epoch| *epoch >= 0),
                    first_offset: state.current_txn_start_offset,
                    last_time: state.last_timestamp,
                }));
            }
        }
        Ok(open)
    }

    /// Aborts a transaction in one partition by force, whatever its coordinator thinks of it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn abort_in_partition(&self, open: &OpenTransaction) -> Result<(), ClientError> {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(text(&open.topic).into())
            .with_partition_indexes(vec![open.partition]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(WireProducerId(open.producer_id))
            .with_producer_epoch(open.producer_epoch)
            .with_coordinator_epoch(open.coordinator_epoch.unwrap_or(0))
            .with_transaction_result(false)
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let mut retry = self.retry();
        loop {
            match self.try_abort(open, &request).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.forget(&open.topic);
                    retry.after(error).await?;
                }
            }
        }
    }

    async fn try_abort(&self, open: &OpenTransaction, request: &WriteTxnMarkersRequest) -> Result<(), ClientError> {
        let leader = self.cached_topic(&open.topic, false).await?.leader(open.partition)?;
        let response = self.call_node(leader, request).await?;
        let what = || format!("the transaction of producer {} in {}-{}", open.producer_id, open.topic, open.partition);
        let answers = response.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions);
        let code = answers.map(|answer| ErrorCode(answer.error_code)).next();
        let code = code.ok_or_else(|| ClientError::Missing(what()))?;
        ClientError::check(code.code(), None, || format!("aborting {}", what()))
    }
}

fn listed(coordinator: i32, state: TransactionState) -> ListedTransaction {
    let mut partitions: Vec<Place> = state
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic.to_string(), *partition)))
        .collect();
    partitions.sort();
    ListedTransaction {
        transactional_id: state.transactional_id.to_string(),
        producer_id: state.producer_id.0,
        producer_epoch: state.producer_epoch,
        coordinator,
        state: state.transaction_state.to_string(),
        started_at: Some(state.transaction_start_time_ms).filter(|time| *time >= 0),
        timeout_ms: state.transaction_timeout_ms,
        partitions,
    }
}
