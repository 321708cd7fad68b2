//! What clients that ask for the node's settings (DescribeConfigs of a broker) are shown: every key, with what it was given and what it has otherwise.

use caudal_broker::NodeSetting;

use super::keys::{KEYS, KeyDef};
use super::{Config, Layers};

pub(super) fn settings(layers: &Layers, config: &Config) -> Vec<NodeSetting> {
    let shown = |key: &'static KeyDef| {
        let given = layers.given(key.name).map(str::to_owned);
        let derived = if given.is_none() { derived(key.name, config) } else { None };
        let default = derived.or_else(|| key.default.map(str::to_owned));
        NodeSetting { name: key.name, kind: key.wire_type, documentation: key.documentation, given, default }
    };
    let mut settings: Vec<_> = KEYS.iter().map(shown).collect();
    let id = settings.iter().find(|setting| setting.name == "node.id").cloned();
    // Kafka's older name, which tools still look for.
    settings.extend(id.map(|id| NodeSetting { name: "broker.id", documentation: "The same as node.id.", ..id }));
    settings
}

/// What a key that may stay unset follows from.
fn derived(name: &str, config: &Config) -> Option<String> {
    Some(match name {
        "advertised.listeners" => format!("PLAINTEXT://{}", config.advertised),
        "peer.listener" => config.peer_listener.to_string(),
        "default.replication.factor" => config.controller().replication_factor().to_string(),
        "queued.max.request.bytes" => config.memory.requests.to_string(),
        "queued.max.response.bytes" => config.memory.answers.to_string(),
        "raft.log.cache.bytes" => config.memory.log_cache.to_string(),
        "storage.block.cache.bytes" => config.memory.block_cache.to_string(),
        "storage.log.memtable.bytes" => config.memory.log_memtable.to_string(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::config;

    fn shown(flags: &[(&str, &str)], name: &str) -> (Option<String>, Option<String>) {
        let shown = config::load(flags, &[]).unwrap().shown;
        let setting = shown.into_iter().find(|setting| setting.name == name).unwrap();
        (setting.given, setting.default)
    }

    #[test]
    fn every_key_is_shown_with_what_it_was_given_and_what_it_has_otherwise() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(shown(&[("node.id", "7")], "broker.id"), (text("7"), None));
        assert_eq!(shown(&[], "group.consumer.session.timeout.ms"), (None, text("45000")));
        let longer = [("group.consumer.session.timeout.ms", "50000")];
        assert_eq!(shown(&longer, "group.consumer.session.timeout.ms"), (text("50000"), text("45000")));
    }

    #[test]
    fn what_is_unset_is_shown_as_it_works() {
        assert_eq!(shown(&[], "advertised.listeners").1.as_deref(), Some("PLAINTEXT://127.0.0.1:9092"));
        assert_eq!(shown(&[], "default.replication.factor").1.as_deref(), Some("1"));
        for key in [
            "queued.max.request.bytes",
            "queued.max.response.bytes",
            "raft.log.cache.bytes",
            "storage.block.cache.bytes",
            "storage.log.memtable.bytes",
        ] {
            assert!(shown(&[], key).1.is_some_and(|derived| derived.parse::<usize>().is_ok()), "{key}");
        }
    }
}
