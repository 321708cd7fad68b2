//! What has settings, as flags name it.

use caudal_client::ConfigResource;
use clap::Args;
use serde::Serialize;

/// Whose settings: one of these.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Resource {
    /// Those of a topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Those of a node
    #[arg(long, value_name = "ID")]
    pub node: Option<i32>,
    /// The levels of a node's log lines: it forgets them when it stops
    #[arg(long, value_name = "ID")]
    pub loggers: Option<i32>,
    /// Those that all nodes share and that were set while they run
    #[arg(long)]
    pub cluster: bool,
    /// Those of a consumer group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Those of a subscription of client metrics
    #[arg(long, value_name = "NAME")]
    pub client_metrics: Option<String>,
}

impl Resource {
    pub(crate) fn named(self) -> ConfigResource {
        match self {
            Self { topic: Some(topic), .. } => ConfigResource::Topic(topic),
            Self { node: Some(node), .. } => ConfigResource::Node(node),
            Self { loggers: Some(node), .. } => ConfigResource::Loggers(node),
            Self { group: Some(group), .. } => ConfigResource::Group(group),
            Self { client_metrics: Some(name), .. } => ConfigResource::ClientMetrics(name),
            _ => ConfigResource::Cluster,
        }
    }
}

/// A resource as the JSON names it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Named {
    #[serde(rename = "type")]
    kind: &'static str,
    name: Option<String>,
}

impl From<&ConfigResource> for Named {
    fn from(resource: &ConfigResource) -> Self {
        let (kind, name) = match resource {
            ConfigResource::Topic(name) => ("topic", Some(name.clone())),
            ConfigResource::Node(id) => ("node", Some(id.to_string())),
            ConfigResource::Loggers(id) => ("loggers", Some(id.to_string())),
            ConfigResource::Cluster => ("cluster", None),
            ConfigResource::Group(name) => ("group", Some(name.clone())),
            ConfigResource::ClientMetrics(name) => ("client_metrics", Some(name.clone())),
        };
        Self { kind, name }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        resource: Resource,
    }

    fn named(flags: &[&str]) -> Option<ConfigResource> {
        Line::try_parse_from(["line"].iter().chain(flags)).ok().map(|line| line.resource.named())
    }

    #[test]
    fn exactly_one_flag_says_whose() {
        assert_eq!(named(&["--topic", "t"]), Some(ConfigResource::Topic("t".to_owned())));
        assert_eq!(named(&["--node", "3"]), Some(ConfigResource::Node(3)));
        assert_eq!(named(&["--loggers", "3"]), Some(ConfigResource::Loggers(3)));
        assert_eq!(named(&["--cluster"]), Some(ConfigResource::Cluster));
        assert_eq!(named(&["--group", "g"]), Some(ConfigResource::Group("g".to_owned())));
        assert_eq!(named(&["--client-metrics", "m"]), Some(ConfigResource::ClientMetrics("m".to_owned())));
        assert_eq!(named(&[]), None);
        assert_eq!(named(&["--topic", "t", "--cluster"]), None);
        assert_eq!(named(&["--node", "three"]), None);
        assert_eq!(named(&["--node", "3", "--loggers", "3"]), None);
    }
}
