//! The node-level settings of Apache Kafka 4.3 that are no keys of a node here. All are known, so that a configuration that was written for Kafka is read with
//! an answer to each of its lines: most have nothing to act on in Caudal and are accepted without effect; those that promise what Caudal does not do are
//! refused, unless they have the value by which Kafka does not do it either.
//!
//! # Layout
//! - `cluster`, `network`, `replication`, `storage`, `groups`, `security`: the settings by theme, each theme with the reason

mod cluster;
mod groups;
mod network;
mod replication;
mod security;
mod storage;

use std::sync::LazyLock;

use super::rule::list_items;
use super::{ConfigType, rule};

/// What Kafka's settings of a single listener begin with.
pub const OF_LISTENER: &str = "listener.name.";

/// Why they are refused, and what to do.
pub const OF_LISTENER_REFUSED: &str = "there is one listener for clients, without encryption and authentication, and nothing to set for it alone; leave the setting out";

/// What becomes of a setting.
#[derive(Clone, Copy, Debug)]
pub enum Treatment {
    /// It is accepted and does nothing.
    NoEffect,
    /// It is refused, but for Kafka's default and for the values that this function takes.
    Refused(fn(&str) -> bool),
}

impl Treatment {
    fn in_short(self) -> &'static str {
        match self {
            Self::NoEffect => "Without effect",
            Self::Refused(_) => "Refused",
        }
    }
}

/// A node-level setting of Apache Kafka that is no key of a node here.
#[derive(Clone, Debug)]
pub struct KafkaNodeConfig {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub kind: ConfigType,
    /// Kafka's default, as it is written.
    pub default: Option<&'static str>,
    /// Kafka does not show it, unless it is set.
    pub internal: bool,
    /// What becomes of it.
    pub treatment: Treatment,
    /// Why, and what to do instead, as the rest of a sentence.
    pub why: &'static str,
    /// What becomes of it and why, for users.
    pub documentation: String,
}

impl KafkaNodeConfig {
    /// Checks a trimmed value.
    ///
    /// # Errors
    /// Why it is refused, or what it would have to be.
    pub fn check(&self, value: &str) -> Result<(), String> {
        if self.is_default(value) {
            return Ok(());
        }
        match self.treatment {
            Treatment::NoEffect => fits(self.kind, value),
            Treatment::Refused(unless) if unless(value) => Ok(()),
            Treatment::Refused(_) => Err(self.why.to_owned()),
        }
    }

    /// Whether a trimmed value says the same as Kafka's default. An empty one leaves a setting without default unset.
    pub fn is_default(&self, value: &str) -> bool {
        let default = self.default.unwrap_or_default();
        match self.kind {
            ConfigType::Boolean => default.eq_ignore_ascii_case(value),
            ConfigType::List => list_items(default) == list_items(value),
            ConfigType::Int | ConfigType::Short | ConfigType::Long | ConfigType::Double => {
                let number = |text: &str| text.parse::<f64>().ok();
                default == value || number(default).is_some_and(|number_of| number(value) == Some(number_of))
            }
            _ => default == value,
        }
    }

    /// Whether it is a secret, which is neither logged nor shown.
    pub fn is_secret(&self) -> bool {
        self.kind == ConfigType::Password
    }

    /// Whether Kafka changes it while nodes run, and it is accepted here.
    pub fn is_dynamic(&self) -> bool {
        DYNAMIC.contains(&self.name) || self.is_per_node()
    }

    /// Whether it is changed for one node at a time only.
    pub fn is_per_node(&self) -> bool {
        PER_NODE.contains(&self.name)
    }
}

/// All of them, by name.
pub fn kafka_node_configs() -> &'static [KafkaNodeConfig] {
    static ALL: LazyLock<Vec<KafkaNodeConfig>> = LazyLock::new(|| {
        let themes =
            [cluster::THEMES, network::THEMES, replication::THEMES, storage::THEMES, groups::THEMES, security::THEMES];
        let of_theme = |theme: &'static Theme| {
            theme.settings.iter().map(move |setting| KafkaNodeConfig {
                name: setting.name,
                kind: setting.kind,
                default: setting.default,
                internal: setting.internal,
                treatment: theme.treatment,
                why: theme.why,
                documentation: format!("{}: {}", theme.treatment.in_short(), theme.why),
            })
        };
        let mut all: Vec<_> = themes.into_iter().flatten().flat_map(of_theme).collect();
        all.sort_unstable_by_key(|config| config.name);
        all
    });
    &ALL
}

/// One of them.
pub fn kafka_node_config(name: &str) -> Option<&'static KafkaNodeConfig> {
    let all = kafka_node_configs();
    all.binary_search_by(|config| config.name.cmp(name)).ok().map(|index| &all[index])
}

/// Settings with the same fate, for the same reason.
struct Theme {
    treatment: Treatment,
    why: &'static str,
    settings: &'static [Setting],
}

struct Setting {
    name: &'static str,
    kind: ConfigType,
    default: Option<&'static str>,
    internal: bool,
}

const fn shown(name: &'static str, kind: ConfigType, default: Option<&'static str>) -> Setting {
    Setting { name, kind, default, internal: false }
}

const fn internal(name: &'static str, kind: ConfigType, default: Option<&'static str>) -> Setting {
    Setting { name, kind, default, internal: true }
}

/// Those that Kafka changes while nodes run, for all of them or for one, but for those that are refused here altogether.
const DYNAMIC: [&str; 26] = [
    "background.threads",
    "follower.fetch.last.tiered.offset.enable",
    "follower.replication.throttled.rate",
    "group.consumer.assignment.interval.ms",
    "group.coordinator.cached.buffer.max.bytes",
    "group.share.assignment.interval.ms",
    "group.streams.assignment.interval.ms",
    "leader.replication.throttled.rate",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "metric.reporters",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.fetch.max.wait.ms",
    "remote.list.offsets.request.timeout.ms",
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.copy.max.bytes.per.second",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.fetch.max.bytes.per.second",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
    "replica.alter.log.dirs.io.max.bytes.per.second",
    "share.coordinator.cached.buffer.max.bytes",
    "transaction.partition.verification.enable",
];

/// Those that Kafka changes while nodes run for one node at a time only, with the same exception.
const PER_NODE: [&str; 9] = [
    "listener.security.protocol.map",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
];

fn never(_: &str) -> bool {
    false
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn is_false(value: &str) -> bool {
    value.eq_ignore_ascii_case("false")
}

fn has_broker(value: &str) -> bool {
    list_items(value).contains(&"broker")
}

fn is_plain_map(value: &str) -> bool {
    let plain = |item: &&str| {
        item.split_once(':').is_some_and(|(name, protocol)| {
            !name.trim().eq_ignore_ascii_case("PLAINTEXT") || protocol.trim().eq_ignore_ascii_case("PLAINTEXT")
        })
    };
    list_items(value).iter().all(plain)
}

/// Whether a value is of a type.
fn fits(kind: ConfigType, value: &str) -> Result<(), String> {
    match kind {
        ConfigType::Boolean => rule::boolean(value).map(|_| ()),
        ConfigType::Short => rule::whole(value, i64::from(i16::MIN), i64::from(i16::MAX)),
        ConfigType::Int => rule::whole(value, i64::from(i32::MIN), i64::from(i32::MAX)),
        ConfigType::Long => rule::whole(value, i64::MIN, i64::MAX),
        ConfigType::Double => match value.parse::<f64>() {
            Ok(_) => Ok(()),
            Err(_) => Err("it must be a number".to_owned()),
        },
        ConfigType::String | ConfigType::List | ConfigType::Class | ConfigType::Password => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), String> {
        kafka_node_config(name).unwrap().check(value)
    }

    #[test]
    fn each_has_one_name_one_reason_and_takes_its_default() {
        let all = kafka_node_configs();
        assert!(all.is_sorted_by(|left, right| left.name < right.name));
        for config in all {
            assert_eq!(config.check(config.default.unwrap_or_default()), Ok(()), "{}", config.name);
            let goes_on = config.why.starts_with(|first: char| first.is_ascii_lowercase());
            assert!(goes_on && config.why.ends_with('.'), "{}: {}", config.name, config.why);
        }
        for name in DYNAMIC {
            assert!(kafka_node_config(name).is_some(), "{name}");
        }
        for name in PER_NODE {
            assert!(kafka_node_config(name).is_some_and(KafkaNodeConfig::is_dynamic), "{name}");
            assert!(!DYNAMIC.contains(&name), "{name} stands there twice");
        }
    }

    #[test]
    fn users_are_told_what_becomes_of_a_setting() {
        let told = |name: &str| kafka_node_config(name).unwrap().documentation.as_str();
        assert_eq!(told("group.share.max.size"), "Without effect: there are no share groups.");
        assert!(told("cordoned.log.dirs").starts_with("Refused: a node has one data folder"));
    }

    #[test]
    fn what_promises_security_is_refused_unless_it_says_that_there_is_none() {
        assert!(check("ssl.keystore.location", "/etc/keys").unwrap_err().contains("not encrypted"));
        assert!(check("sasl.enabled.mechanisms", "PLAIN").is_err());
        assert!(check("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer").is_err());
        assert!(check("security.inter.broker.protocol", "SASL_SSL").is_err());
        assert_eq!(check("security.inter.broker.protocol", "PLAINTEXT"), Ok(()));
        assert_eq!(check("ssl.enabled.protocols", "TLSv1.2, TLSv1.3"), Ok(()));
        assert_eq!(check("ssl.keystore.location", ""), Ok(()));
        let map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL";
        assert_eq!(check("listener.security.protocol.map", map), Ok(()));
        assert!(check("listener.security.protocol.map", "PLAINTEXT:SSL").is_err());
        for config in kafka_node_configs().iter().filter(|config| config.is_secret()) {
            assert!(config.check("secret").is_err(), "{}", config.name);
        }
    }

    #[test]
    fn values_without_effect_have_their_type() {
        assert_eq!(check("num.network.threads", "16"), Ok(()));
        assert!(check("num.network.threads", "many").unwrap_err().contains("whole number"));
        assert!(check("auto.leader.rebalance.enable", "2").unwrap_err().contains("true or false"));
        assert!(check("log.cleaner.io.buffer.load.factor", "most").is_err());
        assert_eq!(check("process.roles", "controller, broker"), Ok(()));
        assert!(check("process.roles", "controller").unwrap_err().contains("serves clients"));
        assert!(check("delete.topic.enable", "false").is_err());
    }
}
