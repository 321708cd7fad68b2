//! Flag over environment over file over default.

use std::collections::BTreeMap;
use std::path::Path;

use caudal_metadata::config_defs::{TopicConfigDef, topic_config_defs, validate_topic_config};

use super::error::Origin;
use super::keys::{self, KEYS, KeyDef};
use super::suggest::{edits, suggestion};
use super::value::ConfigValue;
use super::{ConfigError, file};

const ENV_PREFIX: &str = "CAUDAL_";

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

/// The names of all keys.
pub fn all_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name).chain(topic_default_keys().map(|(name, _)| name))
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
        if !all_names().any(|name| name == key) {
            let nearest = suggestion(&key, all_names()).map(str::to_owned);
            return Err(ConfigError::UnknownKey { origin, key, nearest });
        }
        self.values.insert(key, (value, origin));
        Ok(())
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
