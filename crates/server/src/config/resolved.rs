//! What the settings mean together, checked.

use std::collections::{BTreeMap, BTreeSet};

use caudal_broker::NodeSetting;
use caudal_coordinator::Limited;
use caudal_types::NodeId;

use super::address::{ClusterNode, HostPort};
use super::memory::Memory;
use super::{ConfigError, Layers, Settings, shown};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A configuration that a node can start with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The values of all keys.
    pub settings: Settings,
    /// How `memory.limit` is divided.
    pub memory: Memory,
    /// This node.
    pub node_id: NodeId,
    /// All nodes of the cluster in the order of the configuration; this node alone when it has no others.
    pub nodes: Vec<ClusterNode>,
    /// Where to listen for the other nodes.
    pub peer_listener: HostPort,
    /// What clients are told to connect to.
    pub advertised: HostPort,
    /// Node-level defaults of topic settings, by their node-level names (`log.segment.bytes` ...); only those that were set.
    pub topic_defaults: BTreeMap<String, String>,
    /// What clients that ask for the node's settings are shown.
    pub shown: Vec<NodeSetting>,
    /// What the user should know, although nothing is refused.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to do.
    pub fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let settings = Settings::read(layers)?;
        let topic_defaults = topic_defaults(&settings, layers.topic_defaults()?);
        let node_id = NodeId(settings.node_id);
        let nodes = cluster_nodes(&settings, node_id)?;
        check_quorum(layers, &settings)?;
        let peer_listener = peer_listener(&settings, &nodes, node_id);
        let advertised = advertised(&settings)?;
        let memory = Memory::divide(&settings)?;
        let mut config = Self {
            settings,
            memory,
            node_id,
            nodes,
            peer_listener,
            advertised,
            topic_defaults,
            shown: Vec::new(),
            warnings: layers.warnings().to_vec(),
        };
        config.shown = shown::settings(layers, &config);
        config.check_sizes()?;
        config.check_times()?;
        config.check_replication()?;
        Ok(config)
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        let request_max = settings.socket_request_max_bytes;
        if self.memory.requests < request_max {
            return conflict(format!(
                "queued.max.request.bytes = {} is less than socket.request.max.bytes = {request_max}, so that the largest request could never be \
                 taken in; raise the first or lower the second",
                self.memory.requests
            ));
        }
        let message_max = self.topic_defaults.get("message.max.bytes").and_then(|text| text.parse::<usize>().ok());
        match message_max {
            Some(message_max) if message_max > request_max => conflict(format!(
                "message.max.bytes = {message_max} is more than socket.request.max.bytes = {request_max}, so that no such batch could be sent; \
                 raise the second or lower the first"
            )),
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        let (suspect, ping) = (settings.raft_suspect_after, settings.raft_ping_interval);
        if suspect < ping * 2 {
            return conflict(format!(
                "raft.suspect.after.ms = {} is less than twice raft.ping.interval.ms = {}, so that one late message would unseat leaders; raise the \
                 first",
                suspect.as_millis(),
                ping.as_millis()
            ));
        }
        let (min, max) = (settings.group_min_session_timeout_ms, settings.group_max_session_timeout_ms);
        if min > max {
            return conflict(format!(
                "group.min.session.timeout.ms = {min} is more than group.max.session.timeout.ms = {max}, so that no consumer could join; \
                 lower the first or raise the second"
            ));
        }
        self.check_consumer_groups()
    }

    fn check_consumer_groups(&self) -> Result<(), ConfigError> {
        let config = self.coordinator().consumer;
        for (name, limited) in
            [("session.timeout.ms", config.session_timeout), ("heartbeat.interval.ms", config.heartbeat_interval)]
        {
            let Limited { default, min, max } = limited;
            if !(min..=max).contains(&default) {
                return conflict(format!(
                    "group.consumer.{name} = {default} is not between group.consumer.min.{name} = {min} and group.consumer.max.{name} = {max}; \
                     change it or the bounds"
                ));
            }
        }
        let (session, interval) = (config.session_timeout.default, config.heartbeat_interval.default);
        if interval >= session {
            return conflict(format!(
                "group.consumer.heartbeat.interval.ms = {interval} is not less than group.consumer.session.timeout.ms = {session}, so that every \
                 session would end; lower the first or raise the second"
            ));
        }
        Ok(())
    }

    fn check_replication(&mut self) -> Result<(), ConfigError> {
        let nodes = self.nodes.len();
        let factor = usize::try_from(self.controller().replication_factor()).unwrap_or(1);
        if factor > nodes {
            return conflict(format!(
                "default.replication.factor = {factor} is more than the {nodes} nodes of the cluster (cluster.nodes); set at most {nodes}"
            ));
        }
        let min_insync = self.topic_defaults.get("min.insync.replicas").and_then(|text| text.parse::<usize>().ok());
        if let Some(min_insync) = min_insync.filter(|min_insync| *min_insync > factor) {
            self.warnings.push(format!(
                "min.insync.replicas = {min_insync} is more than the {factor} replicas that a topic gets by default: writes with acks=all to such a \
                 topic will be refused"
            ));
        }
        Ok(())
    }
}

fn conflict<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError::Conflict(text))
}

fn cluster_nodes(settings: &Settings, node_id: NodeId) -> Result<Vec<ClusterNode>, ConfigError> {
    let nodes = &settings.cluster_nodes;
    let mut ids = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for node in nodes {
        if !ids.insert(node.id) {
            return conflict(format!("cluster.nodes names node {} twice; give each node an id of its own", node.id));
        }
        if !addresses.insert(node.address.to_string()) {
            return conflict(format!("cluster.nodes names the address {} twice; each node has its own", node.address));
        }
    }
    if nodes.is_empty() {
        let address = HostPort { host: "127.0.0.1".to_owned(), port: 0 };
        return Ok(vec![ClusterNode { id: node_id, address }]);
    }
    if !ids.contains(&node_id) {
        return conflict(format!("node.id = {node_id} is not among cluster.nodes; add {node_id}@HOST:PORT to them"));
    }
    Ok(nodes.clone())
}

/// Each node of a cluster that was configured for Apache Kafka would be a cluster of its own.
fn check_quorum(layers: &Layers, settings: &Settings) -> Result<(), ConfigError> {
    if !settings.cluster_nodes.is_empty() {
        return Ok(());
    }
    for name in ["controller.quorum.voters", "controller.quorum.bootstrap.servers"] {
        let named = layers.given(name).unwrap_or_default();
        if named.split(',').filter(|item| !item.trim().is_empty()).count() > 1 {
            return conflict(format!(
                "{name} = {named} names several nodes, but cluster.nodes is not set, so that each would be a cluster of its own; set cluster.nodes to \
                 all nodes of the cluster, each as ID@HOST:PORT"
            ));
        }
    }
    Ok(())
}

/// A node without peers takes a port that nobody knows.
fn peer_listener(settings: &Settings, nodes: &[ClusterNode], node_id: NodeId) -> HostPort {
    let own = || nodes.iter().find(|node| node.id == node_id).map(|node| node.address.clone());
    let anywhere = || HostPort { host: "127.0.0.1".to_owned(), port: 0 };
    settings.peer_listener.clone().or_else(own).unwrap_or_else(anywhere)
}

fn advertised(settings: &Settings) -> Result<HostPort, ConfigError> {
    let (name, address) = match &settings.advertised_listeners {
        Some(listener) => ("advertised.listeners", &listener.0),
        None => ("listeners", &settings.listeners.0),
    };
    if address.is_wildcard() {
        return conflict(format!(
            "{name} = PLAINTEXT://{address} stands for all interfaces, which clients cannot connect to; set advertised.listeners to the host and \
             port at which they reach this node"
        ));
    }
    Ok(address.clone())
}

/// Kafka's longer units stand in for the keys in milliseconds where those are not set.
fn topic_defaults(settings: &Settings, mut given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let millis = |count: i64, unit: i64| if count < 0 { -1 } else { count.saturating_mul(unit) };
    let retention = settings
        .log_retention_minutes
        .map(|minutes| millis(minutes, MINUTE_MS))
        .or_else(|| settings.log_retention_hours.map(|hours| millis(hours, HOUR_MS)));
    let roll = settings.log_roll_hours.map(|hours| millis(hours, HOUR_MS));
    let jitter = settings.log_roll_jitter_hours.map(|hours| millis(hours, HOUR_MS));
    for (name, value) in [("log.retention.ms", retention), ("log.roll.ms", roll), ("log.roll.jitter.ms", jitter)] {
        if let Some(value) = value {
            given.entry(name.to_owned()).or_insert_with(|| value.to_string());
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    const NODES: &str = "1@127.0.0.1:10092,2@127.0.0.1:10093,3@127.0.0.1:10094";

    fn load(flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        config::load(flags, &[])
    }

    fn refusal(flags: &[(&str, &str)]) -> String {
        load(flags).unwrap_err().to_string()
    }

    #[test]
    fn a_node_alone_needs_two_keys() {
        let config = load(&[]).unwrap();
        assert_eq!(config.nodes.len(), 1);
        assert_eq!(config.advertised.to_string(), "127.0.0.1:9092");
        assert_eq!(config.peer_listener.port, 0);
        assert!(config.topic_defaults.is_empty() && config.warnings.is_empty());
    }

    #[test]
    fn what_must_be_set_is_asked_for() {
        let nothing = Layers::gather(None, std::iter::empty(), std::iter::empty()).unwrap();
        let says = Config::from_layers(&nothing).unwrap_err().to_string();
        assert_eq!(says, "node.id is not set; add it to the file (node.id = 1), or pass --node.id 1");
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "node.id = 1\nlog.dirs = '/file'\nnum.partitions = 2\nmax.connections = 20\nbroker.rack = 'file'\n";
        std::fs::write(file.path(), text).unwrap();
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
        };
        let env = pairs(&[("CAUDAL_NUM_PARTITIONS", "3"), ("CAUDAL_BROKER_RACK", "env"), ("HOME", "/")]);
        let flags = pairs(&[("broker.rack", "flag")]);
        let config = Config::from_layers(&Layers::gather(Some(file.path()), env, flags).unwrap()).unwrap();
        assert_eq!(config.settings.broker_rack.as_deref(), Some("flag"));
        assert_eq!(config.settings.num_partitions, 3);
        assert_eq!(config.settings.max_connections, 20);
        assert_eq!(config.settings.fetch_session_slots, 1000);
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "node.id = 1\n\nnum.partition = 2\n").unwrap();
        let says = Layers::gather(Some(file.path()), std::iter::empty(), std::iter::empty()).unwrap_err().to_string();
        let place = format!("{}:3", file.path().display());
        assert_eq!(says, format!("{place}: unknown key 'num.partition'; did you mean 'num.partitions'?"));
        let missing = Layers::gather(Some(Path::new("/no/such")), std::iter::empty(), std::iter::empty());
        assert!(missing.unwrap_err().to_string().contains("/no/such"));
    }

    #[test]
    fn mistyped_variables_are_told_and_foreign_ones_ignored() {
        let env = [("CAUDAL_NUM_PARTITION", "3"), ("CAUDAL_PORT_9092_TCP_ADDR", "10.0.0.1")];
        let warnings = config::load(&[], &env).unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].ends_with("did you mean CAUDAL_NUM_PARTITIONS?"), "{}", warnings[0]);
    }

    #[test]
    fn values_out_of_range_are_refused_with_their_origin() {
        let says = refusal(&[("num.partitions", "0")]);
        assert_eq!(says, "flag --num.partitions: num.partitions = '0': write a number from 1 to 10000");
        let says = config::load(&[], &[("CAUDAL_AUTO_CREATE_TOPICS_ENABLE", "yes")]).unwrap_err().to_string();
        assert!(says.contains("CAUDAL_AUTO_CREATE_TOPICS_ENABLE") && says.ends_with("write true or false"), "{says}");
        assert!(refusal(&[("log.segment.bytes", "many")]).contains("log.segment.bytes = 'many'"));
    }

    #[test]
    fn the_nodes_must_make_a_cluster() {
        let config = load(&[("cluster.nodes", NODES)]).unwrap();
        assert_eq!(config.nodes.len(), 3);
        assert_eq!(config.peer_listener.to_string(), "127.0.0.1:10092");
        assert!(refusal(&[("cluster.nodes", NODES), ("node.id", "4")]).contains("add 4@HOST:PORT"));
        assert!(refusal(&[("cluster.nodes", "1@a:1,1@b:1")]).contains("names node 1 twice"));
        assert!(refusal(&[("cluster.nodes", "1@a:1,2@a:1")]).contains("address a:1 twice"));
        assert!(refusal(&[("cluster.nodes", NODES), ("default.replication.factor", "4")]).contains("at most 3"));
    }

    #[test]
    fn a_configuration_for_several_nodes_of_kafka_has_to_name_them() {
        let voters = ("CAUDAL_CONTROLLER_QUORUM_VOTERS", "1@a:9093,2@b:9093");
        assert!(config::load(&[], &[voters]).unwrap_err().to_string().contains("set cluster.nodes"));
        assert!(config::load(&[("cluster.nodes", NODES)], &[voters]).is_ok());
        assert!(config::load(&[], &[("CAUDAL_CONTROLLER_QUORUM_VOTERS", "1@a:9093")]).is_ok());
    }

    #[test]
    fn clients_must_be_told_an_address_they_can_reach() {
        assert!(refusal(&[("listeners", "PLAINTEXT://:9092")]).contains("set advertised.listeners"));
        assert!(refusal(&[("advertised.listeners", "PLAINTEXT://0.0.0.0:9092")]).contains("all interfaces"));
        let flags = [("listeners", "PLAINTEXT://:9092"), ("advertised.listeners", "PLAINTEXT://kafka.example:9093")];
        assert_eq!(load(&flags).unwrap().advertised.to_string(), "kafka.example:9093");
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        assert!(refusal(&[("queued.max.request.bytes", "2048")]).contains("socket.request.max.bytes"));
        assert!(refusal(&[("message.max.bytes", "200000000")]).contains("socket.request.max.bytes"));
        assert!(refusal(&[("group.consumer.session.timeout.ms", "5000")]).contains("group.consumer.min.session"));
        let beats =
            [("group.consumer.max.heartbeat.interval.ms", "99000"), ("group.consumer.heartbeat.interval.ms", "50000")];
        assert!(refusal(&beats).contains("every session would end"));
        assert!(refusal(&[("group.min.session.timeout.ms", "1800001")]).contains("no consumer could join"));
        let warnings = load(&[("min.insync.replicas", "2")]).unwrap().warnings;
        assert!(warnings[0].contains("will be refused"), "{warnings:?}");
    }

    #[test]
    fn longer_units_stand_in_for_milliseconds() {
        let retention = |flags: &[(&str, &str)]| load(flags).unwrap().topic_defaults.get("log.retention.ms").cloned();
        let (hours, minutes, ms) =
            (("log.retention.hours", "1"), ("log.retention.minutes", "2"), ("log.retention.ms", "3"));
        assert_eq!(retention(&[hours]).as_deref(), Some("3600000"));
        assert_eq!(retention(&[hours, minutes]).as_deref(), Some("120000"));
        assert_eq!(retention(&[hours, minutes, ms]).as_deref(), Some("3"));
        assert_eq!(retention(&[("log.retention.hours", "-1")]).as_deref(), Some("-1"));
        assert_eq!(retention(&[]), None);
        let jitter = load(&[("log.roll.jitter.hours", "2")]).unwrap().topic_defaults["log.roll.jitter.ms"].clone();
        assert_eq!(jitter, "7200000");
    }
}
