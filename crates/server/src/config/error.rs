//! What is wrong with a configuration, where, and what to do.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file, at a line counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{origin}: {reason}; the file must be TOML, such as: num.partitions = 4")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        reason: String,
    },
    /// No such key.
    #[error("{origin}: unknown key '{key}'{}", hint(nearest.as_deref()))]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// The known key that is nearest to it.
        nearest: Option<String>,
    },
    /// The same key stands twice in the file.
    #[error("{origin}: '{key}' is set a second time; keep one of the two")]
    Repeated {
        /// Where the second stands.
        origin: Origin,
        /// The key.
        key: String,
    },
    /// A value that cannot be.
    #[error("{origin}: {key} = '{value}': {reason}")]
    Invalid {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Why not, and what to write instead.
        reason: String,
    },
    /// A key without a default is not set.
    #[error("{key} is not set; add it to the file ({key} = {example}), or pass --{key} {example}")]
    Missing {
        /// The key.
        key: String,
        /// A value that it could have.
        example: String,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Conflict(String),
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(key) => format!("; did you mean '{key}'?"),
        None => "; `caudal start --help` lists all keys".to_owned(),
    }
}
