//! Transactions, as coordinators and partitions know them.

use std::collections::BTreeMap;

use caudal_protocol::messages::TransactionalId;
use caudal_protocol::messages::describe_producers_request::{DescribeProducersRequest, TopicRequest};
use caudal_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use caudal_protocol::messages::list_transactions_request::ListTransactionsRequest;
use caudal_types::{Offset, ProducerId, TimestampMs};

use crate::admin::text;
use crate::{Client, ClientError, ClusterMetadata};

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The id.
    pub transactional_id: String,
    /// The producer that has it.
    pub producer_id: ProducerId,
    /// The node that coordinates it.
    pub coordinator: i32,
    /// The state, in Kafka's words.
    pub state: String,
    /// When its transaction began; -1 for none.
    pub started_at: TimestampMs,
    /// How long a transaction may take, in milliseconds.
    pub timeout_ms: i32,
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
    pub async fn list_transactions(&self) -> Result<Vec<ListedTransaction>, ClientError> {
        let cluster = self.metadata(None).await?;
        let mut all = Vec::new();
        for broker in &cluster.brokers {
            let request = ListTransactionsRequest::default().with_duration_filter(-1);
            let response = self.call_node(broker.id, &request).await?;
            ClientError::check(response.error_code, None, || "listing transactions".to_owned())?;
            let ids: Vec<_> = response.transaction_states.into_iter().map(|state| state.transactional_id).collect();
            all.extend(self.describe_transactions(broker.id, ids).await?);
        }
        all.sort_by(|left, right| left.transactional_id.cmp(&right.transactional_id));
        Ok(all)
    }

    async fn describe_transactions(
        &self,
        coordinator: i32,
        ids: Vec<TransactionalId>,
    ) -> Result<Vec<ListedTransaction>, ClientError> {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
        let response = self.call_node(coordinator, &request).await?;
        // Whatever has gone to another node, or altogether, since it was listed is left out.
        let described = response.transaction_states.into_iter().filter(|state| state.error_code == 0);
        Ok(described
            .map(|state| ListedTransaction {
                transactional_id: state.transactional_id.to_string(),
                producer_id: state.producer_id.0,
                coordinator,
                state: state.transaction_state.to_string(),
                started_at: state.transaction_start_time_ms,
                timeout_ms: state.transaction_timeout_ms,
            })
            .collect())
    }

    /// The transactions that are open in partitions, over all topics.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn open_transactions(&self) -> Result<Vec<OpenTransaction>, ClientError> {
        let cluster = self.metadata(None).await?;
        let mut open = Vec::new();
        for (leader, topics) in by_leader(&cluster) {
            let topics = topics.into_iter().map(|(topic, partitions)| {
                TopicRequest::default().with_name(text(topic).into()).with_partition_indexes(partitions)
            });
            let request = DescribeProducersRequest::default().with_topics(topics.collect());
            let response = self.call_node(leader, &request).await?;
            for topic in response.topics {
                for partition in topic.partitions {
                    let blocking =
                        partition.active_producers.iter().filter(|state| state.current_txn_start_offset >= 0);
                    open.extend(blocking.map(|state| OpenTransaction {
                        topic: topic.name.to_string(),
                        partition: partition.partition_index,
                        producer_id: state.producer_id.0,
                        first_offset: state.current_txn_start_offset,
                        last_time: state.last_timestamp,
                    }));
                }
            }
        }
        open.sort_by(|left, right| (&left.topic, left.partition).cmp(&(&right.topic, right.partition)));
        Ok(open)
    }
}

/// The partitions of each topic by the node that leads them; those without a leader are left out.
fn by_leader(cluster: &ClusterMetadata) -> BTreeMap<i32, BTreeMap<&str, Vec<i32>>> {
    let mut by_leader: BTreeMap<i32, BTreeMap<&str, Vec<i32>>> = BTreeMap::new();
    for topic in &cluster.topics {
        for partition in &topic.partitions {
            if let Some(leader) = partition.leader {
                by_leader.entry(leader).or_default().entry(&topic.name).or_default().push(partition.index);
            }
        }
    }
    by_leader
}
