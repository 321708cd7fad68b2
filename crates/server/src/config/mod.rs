//! The configuration: one list of keys ([`keys`]) from which the file, the flags, the environment variables and
//! `docs/configuration.md` follow.
//!
//! # Layout
//! - [`keys`]: every key with its type, default, range and sentence, and the struct [`Settings`] that they make
//! - [`value`]: how a text becomes a typed value
//! - [`address`]: listeners and nodes, as they are written
//! - [`layers`]: flag over environment over file over default
//! - [`file`]: the file, TOML or [`properties`]
//! - [`resolved`]: [`Config`]: what the settings mean together, checked
//! - [`memory`]: how `memory.limit` is divided
//! - [`parts`]: what each component takes from it
//! - [`docs`]: the page for readers
//! - `shown`: what clients are shown of it
//! - [`suggest`]: the nearest known key to a mistyped one
//! - [`error`]: what is wrong, where, and what to do

pub mod address;
pub mod docs;
pub mod error;
pub mod file;
pub mod keys;
pub mod layers;
pub mod memory;
pub mod parts;
pub mod properties;
pub mod resolved;
mod shown;
pub mod suggest;
pub mod value;

pub use address::{ClusterNode, HostPort};
pub use error::ConfigError;
pub use keys::{KeyDef, Settings};
pub use layers::{Layers, env_name};
pub use resolved::Config;

/// The configuration of a node alone with these settings over the least that one needs.
#[cfg(test)]
fn load(flags: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let base = [("node.id", "1"), ("log.dirs", "/data")];
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let flags = base.iter().chain(flags).map(owned);
    Config::from_layers(&Layers::gather(None, env.iter().map(owned), flags)?)
}
