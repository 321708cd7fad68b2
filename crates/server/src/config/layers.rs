//! Flag over environment over file over default.

use std::collections::BTreeMap;
use std::path::Path;

use caudal_metadata::config_defs::{
    KafkaNodeConfig, OF_LISTENER, OF_LISTENER_REFUSED, TopicConfigDef, Treatment, kafka_node_config,
    kafka_node_configs, topic_config_defs, validate_topic_config,
};

use super::error::Origin;
use super::keys::{self, KEYS, KeyDef};
use super::suggest::{edits, suggestion};
use super::value::ConfigValue;
use super::{ConfigError, file};

const ENV_PREFIX: &str = "CAUDAL_";

/// Kafka's other names of keys, each with the key.
pub const ALIASES: [(&str, &str); 2] = [("broker.id", "node.id"), ("log.dir", "log.dirs")];

/// Values by which Kafka leaves a key unset.
const UNSET_IN_KAFKA: [(&str, &str); 2] = [("broker.id", "-1"), ("queued.max.request.bytes", "-1")];

/// Stands for a value that must not be seen.
const HIDDEN: &str = "(hidden)";

/// The environment variable of a key: `num.partitions` is `CAUDAL_NUM_PARTITIONS`.
pub fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// The topic settings whose defaults a node may set, with the names that they have there.
pub fn topic_default_keys() -> impl Iterator<Item = (&'static str, &'static TopicConfigDef)> {
    topic_config_defs()
        .iter()
        .filter_map(|def| def.broker_name.map(|name| (name, def)))
        .filter(|(name, _)| keys::find(name).is_none())
}

/// The names of all keys that do something.
pub fn own_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name).chain(topic_default_keys().map(|(name, _)| name))
}

/// Kafka's settings that are no keys here.
pub fn kafka_settings() -> impl Iterator<Item = &'static KafkaNodeConfig> {
    kafka_node_configs().iter().filter(|config| keys::find(config.name).is_none())
}

/// The names of all keys, those of Kafka without effect included.
pub fn all_names() -> impl Iterator<Item = &'static str> {
    let aliases = ALIASES.into_iter().map(|(alias, _)| alias);
    own_names().chain(aliases).chain(kafka_settings().map(|config| config.name))
}

/// The values that were given, each with where it came from; the strongest source wins.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    values: BTreeMap<String, (String, Origin)>,
    warnings: Vec<String>,
}

impl Layers {
    /// Reads the file (if there is one), then lays the environment over it, then the flags.
    ///
    /// # Errors
    /// An unreadable file, or a key that does not exist.
    pub fn gather(
        config_file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        if let Some(path) = config_file {
            for entry in file::read(path)? {
                layers.put(entry.key, entry.value, Origin::File(path.to_owned(), entry.line))?;
            }
        }
        layers.put_environment(environment)?;
        for (key, value) in flags {
            let origin = Origin::Flag(format!("--{key}"));
            layers.put(key, value, origin)?;
        }
        layers.leave_out_controller_listeners();
        Ok(layers)
    }

    /// What the user should know, although nothing is refused.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A typed value: the given one, else the default.
    ///
    /// # Errors
    /// When it is missing, cannot be read, or is out of its range.
    pub fn value<T: ConfigValue>(&self, key: &KeyDef) -> Result<T, ConfigError> {
        let (text, origin) = match (self.values.get(key.name), key.default) {
            (Some((text, origin)), _) => (text.as_str(), origin.clone()),
            (None, Some(default)) => (default, Origin::Default),
            (None, None) => {
                return Err(ConfigError::Missing { key: key.name.to_owned(), example: key.example.to_owned() });
            }
        };
        let text = text.trim();
        let value = T::parse(text).and_then(|value| in_range(key, text).map(|()| value));
        value.map_err(|reason| invalid(key.name, text, origin, reason))
    }

    /// The node-level defaults of topic settings that were given, by their node-level names.
    ///
    /// # Errors
    /// A value that its topic setting does not take.
    pub fn topic_defaults(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut defaults = BTreeMap::new();
        for (name, def) in topic_default_keys() {
            if let Some((text, origin)) = self.values.get(name) {
                let text = text.trim();
                validate_topic_config(def.name, text).map_err(|reason| invalid(name, text, origin.clone(), reason))?;
                defaults.insert(name.to_owned(), text.to_owned());
            }
        }
        Ok(defaults)
    }

    /// The text that a key was given.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(text, _)| text.trim())
    }

    fn put(&mut self, key: String, value: String, origin: Origin) -> Result<(), ConfigError> {
        if UNSET_IN_KAFKA.contains(&(key.as_str(), value.trim())) {
            return Ok(());
        }
        if let Some((_, main)) = ALIASES.iter().find(|(alias, _)| *alias == key) {
            self.put_alias(main, value, origin);
            return Ok(());
        }
        if let Some(setting) = kafka_node_config(&key).filter(|_| keys::find(&key).is_none()) {
            self.check_kafka(setting, value.trim(), &origin)?;
        } else if key.starts_with(OF_LISTENER) {
            return Err(invalid(&key, HIDDEN, origin, OF_LISTENER_REFUSED.to_owned()));
        } else if !own_names().any(|name| name == key) {
            let nearest = suggestion(&key, all_names()).map(str::to_owned);
            return Err(ConfigError::UnknownKey { origin, key, nearest });
        }
        self.values.insert(key, (value, origin));
        Ok(())
    }

    /// The key itself counts more than its other name in the same place.
    fn put_alias(&mut self, main: &str, value: String, origin: Origin) {
        let same_place = |known: &Origin| std::mem::discriminant(known) == std::mem::discriminant(&origin);
        if !self.values.get(main).is_some_and(|(_, known)| same_place(known)) {
            self.values.insert(main.to_owned(), (value, origin));
        }
    }

    fn check_kafka(&mut self, setting: &KafkaNodeConfig, value: &str, origin: &Origin) -> Result<(), ConfigError> {
        setting.check(value).map_err(|reason| {
            let shown = if setting.is_secret() { HIDDEN } else { value };
            invalid(setting.name, shown, origin.clone(), reason)
        })?;
        if matches!(setting.treatment, Treatment::NoEffect) && !setting.is_default(value) {
            self.warnings.push(format!("{origin}: {} is accepted without effect: {}", setting.name, setting.why));
        }
        Ok(())
    }

    /// Who comes from Kafka names the controller's listeners among those of the broker.
    fn leave_out_controller_listeners(&mut self) {
        let Some(names) = self.given("controller.listener.names").map(str::to_owned) else { return };
        let is_controllers = |item: &str| {
            let name = item.trim().split_once("://").map_or("", |(name, _)| name);
            names.split(',').any(|controllers| controllers.trim().eq_ignore_ascii_case(name))
        };
        for key in ["listeners", "advertised.listeners"] {
            let Some((value, origin)) = self.values.get_mut(key) else { continue };
            let (left_out, kept): (Vec<_>, Vec<_>) = value.split(',').partition(|item| is_controllers(item));
            if !kept.is_empty() && !left_out.is_empty() {
                self.warnings.push(format!(
                    "{origin}: {} is left out of {key}: nodes talk to each other at peer.listener",
                    left_out.join(",")
                ));
                *value = kept.join(",");
            }
        }
    }

    /// Variables that are no keys are left alone, since other programs make some with our prefix (Kubernetes does for a service called `caudal`);
    /// those that look like slips are told.
    fn put_environment(&mut self, environment: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
        let known: BTreeMap<String, &str> = all_names().map(|name| (env_name(name), name)).collect();
        for (variable, value) in environment.filter(|(variable, _)| variable.starts_with(ENV_PREFIX)) {
            if let Some(key) = known.get(&variable) {
                self.put((*key).to_owned(), value, Origin::Env(variable))?;
            } else if let Some(near) = known.keys().find(|near| edits(&variable, near) <= 2) {
                self.warnings
                    .push(format!("environment variable {variable} is no key and is ignored; did you mean {near}?"));
            }
        }
        Ok(())
    }
}

fn in_range(key: &KeyDef, text: &str) -> Result<(), String> {
    match (&key.range, text.parse::<i64>()) {
        (Some(range), Ok(number)) if !range.contains(&number) => Err(match *range.end() {
            i64::MAX => format!("write a number of at least {}", range.start()),
            end => format!("write a number from {} to {end}", range.start()),
        }),
        _ => Ok(()),
    }
}

fn invalid(key: &str, value: &str, origin: Origin, reason: String) -> ConfigError {
    ConfigError::Invalid { origin, key: key.to_owned(), value: value.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The nearest to a configuration that comes with Apache Kafka: what it sets, and in which form.
    const OF_KAFKA: &str = "\
        process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
        controller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
        num.network.threads=3\nnum.io.threads=8\nlog.dir=/data\nqueued.max.request.bytes=-1\n\
        offsets.topic.replication.factor=1\nlog.retention.hours=168\n";

    fn gather(text: &str, env: &[(&str, &str)]) -> Result<Layers, ConfigError> {
        let file = tempfile::Builder::new().suffix(".properties").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Layers::gather(Some(file.path()), env, std::iter::empty())
    }

    #[test]
    fn a_configuration_for_kafka_is_read() {
        let layers = gather(OF_KAFKA, &[]).unwrap();
        let config = Config::from_layers(&layers).unwrap();
        assert_eq!(config.advertised.to_string(), "localhost:9092");
        assert_eq!(config.settings.log_dirs.to_str(), Some("/data"));
        assert_eq!(config.settings.queued_max_request_bytes, None);
        let told = config.warnings.join("\n");
        for name in ["inter.broker.listener.name", "CONTROLLER://:9093 is left out of listeners", "offsets.topic.repl"]
        {
            assert!(told.contains(name), "{told}");
        }
        // What says the same as the default goes without saying.
        assert!(!told.contains("num.network.threads") && !told.contains("process.roles"), "{told}");
    }

    #[test]
    fn other_names_of_keys_count_less_in_the_same_place() {
        let dirs = |text: &str, env: &[(&str, &str)]| gather(text, env).unwrap().given("log.dirs").map(str::to_owned);
        assert_eq!(dirs("log.dirs=/a\nlog.dir=/b\n", &[]).as_deref(), Some("/a"));
        assert_eq!(dirs("log.dir=/b\nlog.dirs=/a\n", &[]).as_deref(), Some("/a"));
        assert_eq!(dirs("log.dirs=/a\n", &[("CAUDAL_LOG_DIR", "/b")]).as_deref(), Some("/b"));
        assert_eq!(gather("broker.id=-1\n", &[]).unwrap().given("node.id"), None);
    }

    #[test]
    fn refusals_say_why_and_no_secret_is_seen() {
        let says = |text: &str| gather(text, &[]).unwrap_err().to_string();
        let keystore = says("node.id=1\nssl.keystore.location=/keys\n");
        assert!(keystore.contains(":2: ssl.keystore.location = '/keys': connections"), "{keystore}");
        for secret in ["ssl.key.password=geheim", "listener.name.plaintext.sasl.jaas.config=geheim"] {
            let says = says(secret);
            assert!(says.contains("'(hidden)'") && !says.contains("geheim"), "{says}");
        }
        assert!(says("num.replica.fetchers=four").contains("whole number"));
    }
}
