//! Making, growing and deleting topics.

use caudal_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use caudal_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use caudal_protocol::messages::delete_topics_request::DeleteTopicState;
use caudal_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, StrBytes,
};

use crate::{Client, ClientError, TopicMetadata};

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the cluster's default.
    pub partitions: i32,
    /// How many replicas of each; -1 for the cluster's default.
    pub replication_factor: i16,
    /// The nodes of each partition, its preferred leader first; none: the cluster chooses. Both numbers are -1 then, or it is refused.
    pub assignment: Vec<Vec<i32>>,
    /// Its settings.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with the cluster's defaults.
    pub fn new(name: &str) -> Self {
        let (assignment, configs) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), partitions: -1, replication_factor: -1, assignment, configs }
    }

    /// With a number of partitions.
    #[must_use]
    pub fn partitions(self, partitions: i32) -> Self {
        Self { partitions, ..self }
    }

    /// With a number of replicas.
    #[must_use]
    pub fn replication_factor(self, replication_factor: i16) -> Self {
        Self { replication_factor, ..self }
    }

    /// With a setting.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.configs.push((key.to_owned(), value.to_owned()));
        self
    }
}

impl Client {
    /// Creates a topic.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<(), ClientError> {
        let config = |(key, value): &(String, String)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        let assigned = |(index, nodes): (i32, &Vec<i32>)| {
            CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers(nodes))
        };
        let creatable = CreatableTopic::default()
            .with_name(text(&topic.name).into())
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication_factor)
            .with_assignments((0..).zip(&topic.assignment).map(assigned).collect())
            .with_configs(topic.configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(self.timeout_ms());
        self.forget(&topic.name);
        let mut retry = self.retry();
        loop {
            let outcome = match self.call_any(&request).await {
                Ok(response) => match response.topics.first() {
                    Some(result) => ClientError::check(result.error_code, result.error_message.as_deref(), || {
                        format!("creating topic '{}'", topic.name)
                    }),
                    None => Err(ClientError::Missing(format!("topic '{}'", topic.name))),
                },
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest::default()
            .with_topics(vec![DeleteTopicState::default().with_name(Some(text(name).into()))])
            .with_timeout_ms(self.timeout_ms());
        self.forget(name);
        let response = self.call_any(&request).await?;
        let result = response.responses.first().ok_or_else(|| ClientError::Missing(format!("topic '{name}'")))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || format!("deleting topic '{name}'"))
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list_topics(&self) -> Result<Vec<TopicMetadata>, ClientError> {
        let mut topics = self.metadata(None).await?.topics;
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// Gives a topic more partitions, `total` in all. `assignment` has the nodes of each new one; without it, the cluster chooses.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_partitions(
        &self,
        name: &str,
        total: i32,
        assignment: Option<&[Vec<i32>]>,
    ) -> Result<(), ClientError> {
        let assigned = |nodes: &Vec<i32>| CreatePartitionsAssignment::default().with_broker_ids(brokers(nodes));
        let topic = CreatePartitionsTopic::default()
            .with_name(text(name).into())
            .with_count(total)
            .with_assignments(assignment.map(|partitions| partitions.iter().map(assigned).collect()));
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms());
        self.forget(name);
        let response = self.call_any(&request).await?;
        let result = response.results.first().ok_or_else(|| ClientError::Missing(format!("topic '{name}'")))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || {
            format!("giving topic '{name}' {total} partitions")
        })
    }
}

fn brokers(nodes: &[i32]) -> Vec<BrokerId> {
    nodes.iter().copied().map(BrokerId).collect()
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
