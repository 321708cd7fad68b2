//! Settings of topics, nodes, consumer groups and client metrics, and the levels of nodes' log lines.

use caudal_protocol::messages::describe_configs_request::DescribeConfigsResource;
use caudal_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsSynonym};
use caudal_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use caudal_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest, Request};

use crate::admin::text;
use crate::{Client, ClientError};

const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

/// What has settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A node.
    Node(i32),
    /// The levels of a node's log lines (KIP-412).
    Loggers(i32),
    /// All nodes of the cluster.
    Cluster,
    /// A consumer group.
    Group(String),
    /// A subscription of client metrics (KIP-714).
    ClientMetrics(String),
}

impl ConfigResource {
    /// Kafka's number for the kind.
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Node(_) | Self::Cluster => 4,
            Self::Loggers(_) => 8,
            Self::ClientMetrics(_) => 16,
            Self::Group(_) => 32,
        }
    }

    /// Its name on the wire.
    fn name(&self) -> String {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::ClientMetrics(name) => name.clone(),
            Self::Node(id) | Self::Loggers(id) => id.to_string(),
            Self::Cluster => String::new(),
        }
    }
}

impl std::fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic '{name}'"),
            Self::Node(id) => write!(f, "node {id}"),
            Self::Loggers(id) => write!(f, "the log levels of node {id}"),
            Self::Cluster => f.write_str("the cluster"),
            Self::Group(name) => write!(f, "group '{name}'"),
            Self::ClientMetrics(name) => write!(f, "client metrics '{name}'"),
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the node while it runs.
    Node,
    /// Set on all nodes while they run.
    Cluster,
    /// Given to the node in its configuration.
    Configuration,
    /// Built in.
    Default,
    /// A level of log lines, on its node.
    Logger,
    /// Set on the client metrics.
    ClientMetrics,
    /// Set on the group.
    Group,
    /// Some other place, by Kafka's number.
    Other(i8),
}

impl ConfigSource {
    fn of_kafka(source: i8) -> Self {
        match source {
            1 => Self::Topic,
            2 => Self::Node,
            3 => Self::Cluster,
            4 => Self::Configuration,
            5 => Self::Default,
            6 => Self::Logger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            other => Self::Other(other),
        }
    }

    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Node => "node",
            Self::Cluster => "cluster",
            Self::Configuration => "configuration",
            Self::Default => "default",
            Self::Logger => "logger",
            Self::ClientMetrics => "client_metrics",
            Self::Group => "group",
            Self::Other(_) => "other",
        }
    }
}

/// Where else a setting has a value; the first that has one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key there.
    pub name: String,
    /// The value there; none if it is secret.
    pub value: Option<String>,
    /// Where.
    pub source: ConfigSource,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// Its value; none if it is secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Cannot be changed while the node runs.
    pub read_only: bool,
    /// A secret.
    pub sensitive: bool,
    /// What it means, if the broker tells.
    pub documentation: Option<String>,
    /// Where it has values, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
}

impl ConfigEntry {
    /// The value that is built in, if the broker tells.
    pub fn default_value(&self) -> Option<&str> {
        if self.source == ConfigSource::Default {
            return self.value.as_deref();
        }
        let default = self.synonyms.iter().find(|synonym| synonym.source == ConfigSource::Default);
        default.and_then(|synonym| synonym.value.as_deref())
    }
}

/// A change of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Gives it a value.
    Set(String, String),
    /// Puts it back to what it is when nobody sets it here.
    Delete(String),
}

impl Client {
    /// The settings of something, by key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>, ClientError> {
        let asked = DescribeConfigsResource::default()
            .with_resource_type(resource.kind())
            .with_resource_name(text(&resource.name()))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![asked])
            .with_include_synonyms(true)
            .with_include_documentation(true);
        let mut retry = self.retry();
        let response = loop {
            match self.call_for(resource, &request).await {
                Ok(response) => break response,
                Err(error) => retry.after(error).await?,
            }
        };
        let result = response.results.first().ok_or_else(|| ClientError::Missing(resource.to_string()))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || {
            format!("asking for the settings of {resource}")
        })?;
        let mut entries: Vec<_> = result.configs.iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Changes settings of something, all or none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn alter_configs(&self, resource: &ConfigResource, changes: &[ConfigChange]) -> Result<(), ClientError> {
        let altered = AlterConfigsResource::default()
            .with_resource_type(resource.kind())
            .with_resource_name(text(&resource.name()))
            .with_configs(changes.iter().map(alterable).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![altered]);
        let response = self.call_for(resource, &request).await?;
        let result = response.responses.first().ok_or_else(|| ClientError::Missing(resource.to_string()))?;
        ClientError::check(result.error_code, result.error_message.as_deref(), || {
            format!("changing the settings of {resource}")
        })
    }

    /// A node speaks for itself; any node speaks for the rest.
    async fn call_for<R: Request>(&self, resource: &ConfigResource, request: &R) -> Result<R::Response, ClientError> {
        match resource {
            ConfigResource::Node(node) | ConfigResource::Loggers(node) => {
                self.nodes().await?;
                self.call_node(*node, request).await
            }
            _ => self.call_any(request).await,
        }
    }
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    let synonym = |synonym: &DescribeConfigsSynonym| ConfigSynonym {
        name: synonym.name.to_string(),
        value: synonym.value.as_ref().map(ToString::to_string),
        source: ConfigSource::of_kafka(synonym.source),
    };
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.as_ref().map(ToString::to_string),
        source: ConfigSource::of_kafka(config.config_source),
        read_only: config.read_only,
        sensitive: config.is_sensitive,
        documentation: config.documentation.as_ref().map(ToString::to_string),
        synonyms: config.synonyms.iter().map(synonym).collect(),
    }
}

fn alterable(change: &ConfigChange) -> AlterableConfig {
    match change {
        ConfigChange::Set(key, value) => AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(OPERATION_SET)
            .with_value(Some(text(value))),
        ConfigChange::Delete(key) => {
            AlterableConfig::default().with_name(text(key)).with_config_operation(OPERATION_DELETE).with_value(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_where_the_broker_puts_it() {
        let synonym = |value: &str, source| ConfigSynonym {
            name: "retention.ms".to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let entry = |source, synonyms| ConfigEntry {
            name: "retention.ms".to_owned(),
            value: Some("7".to_owned()),
            source,
            read_only: false,
            sensitive: false,
            documentation: None,
            synonyms,
        };
        let own = vec![synonym("7", ConfigSource::Topic), synonym("9", ConfigSource::Default)];
        assert_eq!(entry(ConfigSource::Topic, own).default_value(), Some("9"));
        assert_eq!(entry(ConfigSource::Default, Vec::new()).default_value(), Some("7"));
        assert_eq!(entry(ConfigSource::Topic, Vec::new()).default_value(), None);
    }
}
