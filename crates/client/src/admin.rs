//! Topics and their settings.

use caudal_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use caudal_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use caudal_protocol::messages::delete_topics_request::DeleteTopicState;
use caudal_protocol::messages::describe_configs_request::DescribeConfigsResource;
use caudal_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use caudal_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, StrBytes,
};

use crate::{Client, ClientError, TopicMetadata};

/// Kafka's number for topics among the resources that have settings.
const RESOURCE_TOPIC: i8 = 2;
/// Kafka's number for settings that were made on the topic itself.
const SOURCE_TOPIC: i8 = 1;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the cluster's default.
    pub partitions: i32,
    /// How many replicas of each; -1 for the cluster's default.
    pub replication_factor: i16,
    /// Its settings.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with the cluster's defaults.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), partitions: -1, replication_factor: -1, configs: Vec::new() }
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

/// A change of a topic's setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Gives it a value.
    Set(String, String),
    /// Puts it back to the cluster's default.
    Delete(String),
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// Its value; none if it is secret.
    pub value: Option<String>,
    /// Set on the topic itself, and not a default.
    pub overridden: bool,
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
        let creatable = CreatableTopic::default()
            .with_name(text(&topic.name).into())
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication_factor)
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

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_partitions(&self, name: &str, total: i32) -> Result<(), ClientError> {
        let topic =
            CreatePartitionsTopic::default().with_name(text(name).into()).with_count(total).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms());
        self.forget(name);
        let response = self.call_any(&request).await?;
        let result = response.results.first().ok_or_else(|| ClientError::Missing(format!("topic '{name}'")))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || {
            format!("giving topic '{name}' {total} partitions")
        })
    }

    /// A topic's settings, by key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn describe_configs(&self, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let response = self.call_any(&request).await?;
        let result = response.results.first().ok_or_else(|| ClientError::Missing(format!("topic '{name}'")))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || {
            format!("asking for the settings of topic '{name}'")
        })?;
        let mut entries: Vec<_> = result
            .configs
            .iter()
            .map(|config| ConfigEntry {
                name: config.name.to_string(),
                value: config.value.as_ref().map(ToString::to_string),
                overridden: config.config_source == SOURCE_TOPIC,
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Changes a topic's settings, all or none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn alter_configs(&self, name: &str, changes: &[ConfigChange]) -> Result<(), ClientError> {
        let config = |change: &ConfigChange| match change {
            ConfigChange::Set(key, value) => AlterableConfig::default()
                .with_name(text(key))
                .with_config_operation(OPERATION_SET)
                .with_value(Some(text(value))),
            ConfigChange::Delete(key) => {
                AlterableConfig::default().with_name(text(key)).with_config_operation(OPERATION_DELETE).with_value(None)
            }
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(text(name))
            .with_configs(changes.iter().map(config).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let response = self.call_any(&request).await?;
        let result = response.responses.first().ok_or_else(|| ClientError::Missing(format!("topic '{name}'")))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || {
            format!("changing the settings of topic '{name}'")
        })
    }
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
