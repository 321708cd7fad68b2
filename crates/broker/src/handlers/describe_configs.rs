//! DescribeConfigs: the settings of topics, of consumer groups, of subscriptions to clients' metrics and of this node, each with its value, source, synonyms, type
//! and text; and the levels of this node's log lines.

use std::sync::Arc;
use std::time::Duration;

use caudal_metadata::config_defs::dynamic_node_config_kind;
use caudal_metadata::{ClusterImage, MetadataError};
use caudal_protocol::ErrorCode;
use caudal_protocol::messages::StrBytes;
use caudal_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use caudal_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use caudal_types::topic_name::validate_topic_name;

use crate::cluster::Cluster;
use crate::config::BrokerConfig;
use crate::configs::{
    NodeLevel, Setting, Source, Synonym, of_all_nodes, of_client_metrics, of_group, of_node, of_topic,
    topic_defaults_of_node,
};
use crate::error::Refusal;
use crate::handlers::resource;
use crate::table::{Handler, Outcome, RequestContext};
use crate::text::wire;

/// From this version on types and texts are told.
const TYPES: i16 = 3;
/// A setting that was changed through any node is never shown as it was before: so this node first hears what there is to know. One that is cut off refuses
/// after this time. (In Kafka such a node shows what it last knew.)
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);

/// What the whole cluster knows of topics and groups; or why this node cannot tell.
type Known = Result<Arc<ClusterImage>, MetadataError>;

pub(crate) struct DescribeConfigs {
    cluster: Cluster,
    config: BrokerConfig,
}

/// What the client wants to see of a setting.
#[derive(Clone, Copy)]
struct View {
    version: i16,
    synonyms: bool,
    documentation: bool,
    read_only: bool,
}

impl DescribeConfigs {
    pub(crate) fn new(cluster: Cluster, config: &BrokerConfig) -> Self {
        Self { cluster, config: config.clone() }
    }

    /// A node that is cut off still tells what it was started with.
    async fn known(&self, request: &DescribeConfigsRequest) -> Known {
        let is_clusters = |asked: &DescribeConfigsResource| {
            let kind = asked.resource_type;
            matches!(kind, resource::TOPIC | resource::GROUP | resource::CLIENT_METRICS | resource::BROKER)
        };
        if !request.resources.iter().any(is_clusters) {
            return Ok(self.cluster.image());
        }
        let only_nodes = request.resources.iter().all(|asked| asked.resource_type == resource::BROKER);
        let caught_up = self.cluster.controller().catch_up(CATCH_UP_WITHIN).await;
        if only_nodes { Ok(caught_up.unwrap_or_else(|_| self.cluster.image())) } else { caught_up }
    }

    fn describe(&self, view: View, known: &Known, asked: DescribeConfigsResource) -> DescribeConfigsResult {
        let result = DescribeConfigsResult::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        if asked.resource_type == resource::BROKER_LOGGER {
            return match resource::own_loggers(self.config.node_id, &asked.resource_name) {
                Ok(()) => result.with_configs(self.loggers(&asked.configuration_keys.unwrap_or_default())),
                Err(refusal) => result.with_error_code(refusal.code().code()).with_error_message(refusal.message()),
            };
        }
        let settings = match self.settings(known, asked.resource_type, &asked.resource_name) {
            Ok(settings) => settings,
            Err(refusal) => {
                return result.with_error_code(refusal.code().code()).with_error_message(refusal.message());
            }
        };
        let keys = asked.configuration_keys.unwrap_or_default();
        let wanted = |setting: &Setting| keys.is_empty() || keys.iter().any(|key| &**key == setting.name);
        let is_node = asked.resource_type == resource::BROKER;
        let shown = |setting: Setting| {
            let read_only = is_node && dynamic_node_config_kind(setting.name).is_none();
            shown(View { read_only, ..view }, setting)
        };
        let configs = settings.into_iter().filter(wanted).map(shown).collect();
        result.with_configs(configs)
    }

    fn loggers(&self, keys: &[StrBytes]) -> Vec<DescribeConfigsResourceResult> {
        let wanted = |target: &String| keys.is_empty() || keys.iter().any(|key| **key == **target);
        let levels = self.config.log_levels.all().into_iter().filter(|(target, _)| wanted(target));
        let shown = |(target, level): (String, String)| {
            DescribeConfigsResourceResult::default()
                .with_name(target.into())
                .with_value(Some(level.into()))
                .with_config_source(Source::NodeLogger.code())
        };
        levels.map(shown).collect()
    }

    fn settings(&self, known: &Known, resource_type: i8, name: &str) -> Result<Vec<Setting>, Refusal> {
        match resource_type {
            resource::TOPIC => self.topic(known, name),
            resource::GROUP if name.is_empty() => {
                Err(Refusal::invalid_request("the group id is empty; name the group"))
            }
            resource::GROUP => {
                let image = known.as_ref().map_err(cut_off)?;
                Ok(of_group(image.group_configs.get(name), &self.config.shown, self.node_level(image)))
            }
            resource::CLIENT_METRICS if name.is_empty() => {
                Err(Refusal::invalid_request("the name of the subscription is empty; name it"))
            }
            resource::CLIENT_METRICS => {
                let image = known.as_ref().map_err(cut_off)?;
                Ok(of_client_metrics(image.client_metrics().get(name)))
            }
            resource::BROKER if name.is_empty() => {
                Ok(of_all_nodes(&known.as_ref().map_err(cut_off)?.resources, &self.config.shown))
            }
            resource::BROKER if name.parse() == Ok(self.config.node_id.0) => {
                Ok(self.node(known.as_ref().map_err(cut_off)?))
            }
            resource::BROKER => Err(Refusal::invalid_request(format!(
                "this is node {}; ask node '{name}' for its own settings",
                self.config.node_id
            ))),
            other => Err(resource::unsupported(other)),
        }
    }

    fn topic(&self, known: &Known, name: &str) -> Result<Vec<Setting>, Refusal> {
        if let Err(error) = validate_topic_name(name) {
            return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, error.to_string()));
        }
        let image = known.as_ref().map_err(cut_off)?;
        let topic = image.topic(name).ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic '{name}'"))
        })?;
        Ok(of_topic(&topic.configs, self.node_level(image)))
    }

    fn node_level<'a>(&'a self, image: &'a ClusterImage) -> NodeLevel<'a> {
        let fixed = &self.cluster.controller().config().topic_defaults;
        NodeLevel { dynamic: &image.resources, node: self.config.node_id, fixed }
    }

    fn node(&self, image: &ClusterImage) -> Vec<Setting> {
        let mut settings = of_node(&self.config.shown, self.node_level(image));
        settings.extend(topic_defaults_of_node(self.node_level(image)));
        settings.sort_by_key(|setting| setting.name);
        settings.dedup_by_key(|setting| setting.name);
        settings
    }
}

fn cut_off(error: &MetadataError) -> Refusal {
    let message =
        format!("this node cannot tell whether it knows the newest settings; ask another one, or again: {error}");
    Refusal::new(ErrorCode::REQUEST_TIMED_OUT, message)
}

fn shown(view: View, setting: Setting) -> DescribeConfigsResourceResult {
    let (is_secret, source) = (setting.is_secret(), setting.source());
    let value = setting.value().filter(|_| !is_secret).map(wire);
    let synonym = |synonym: Synonym| {
        DescribeConfigsSynonym::default()
            .with_name(synonym.name.into())
            .with_value((!is_secret).then(|| synonym.value.into()))
            .with_source(synonym.source.code())
    };
    let synonyms = if view.synonyms { setting.synonyms.into_iter().map(synonym).collect() } else { Vec::new() };
    let told = |text: &'static str| (view.documentation && view.version >= TYPES).then(|| StrBytes::from(text));
    DescribeConfigsResourceResult::default()
        .with_name(setting.name.into())
        .with_value(value)
        .with_is_sensitive(is_secret)
        .with_read_only(view.read_only)
        .with_config_source(source.code())
        .with_synonyms(synonyms)
        .with_config_type(if view.version >= TYPES { setting.kind as i8 } else { 0 })
        .with_documentation(told(setting.documentation))
}

impl Handler for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;

    async fn handle(&self, context: &RequestContext, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let view = View {
            version: context.version,
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
            read_only: false,
        };
        let known = self.known(&request).await;
        let results = request.resources.into_iter().map(|asked| self.describe(view, &known, asked)).collect();
        DescribeConfigsResponse::default().with_results(results)
    }
}

impl Outcome for DescribeConfigsResponse {
    fn failed(&self) -> bool {
        self.results.iter().any(|result| result.error_code != 0)
    }
}
