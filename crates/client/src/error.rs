//! What can go wrong.

use std::time::Duration;

use caudal_protocol::ErrorCode;
use caudal_protocol::batch::BatchError;
use caudal_protocol::frame::FrameError;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The bootstrap list is empty or has an entry that is no `host:port`.
    #[error("'{0}' is no bootstrap address; give HOST:PORT, or several separated by commas")]
    BadBootstrap(String),
    /// No connection could be made.
    #[error("cannot connect to {address}: {source}; is the broker running, and is the address right?")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A connection broke.
    #[error("the connection to {address} broke: {source}")]
    Broken {
        /// Where to.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// No answer came in time.
    #[error("{address} did not answer a {api} request within {} ms", within.as_millis())]
    Timeout {
        /// Who.
        address: String,
        /// What was asked.
        api: &'static str,
        /// How long it had.
        within: Duration,
    },
    /// The other side does not speak Kafka's protocol.
    #[error("{address} does not answer as a Kafka broker does: {reason}")]
    NotKafka {
        /// Who.
        address: String,
        /// What was wrong.
        reason: String,
    },
    /// A request cannot be encoded, or an answer not decoded.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A record batch cannot be built or read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The broker has no version of the API in common with this client.
    #[error("{address} serves no version of {api} that this client knows")]
    NoCommonVersion {
        /// Who.
        address: String,
        /// What was asked.
        api: &'static str,
    },
    /// The broker refused.
    #[error("{what}: {code}{}", message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Kafka {
        /// What was refused.
        what: String,
        /// Kafka's code.
        code: ErrorCode,
        /// What the broker said about it.
        message: Option<String>,
    },
    /// A partition has no leader now.
    #[error("{topic}-{partition} has no leader at the moment")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// A partition does not exist.
    #[error("the topic '{topic}' has no partition {partition}; it has {count}, numbered from 0")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// A node does not exist.
    #[error("there is no node {node}; the nodes are {}", list(nodes))]
    NoSuchNode {
        /// Who was asked for.
        node: i32,
        /// Who there is.
        nodes: Vec<i32>,
    },
    /// An answer lacks what was asked for.
    #[error("the answer says nothing about {0}")]
    Missing(String),
}

impl ClientError {
    /// An error for a code that is not NONE.
    pub fn check(code: i16, message: Option<&str>, what: impl FnOnce() -> String) -> Result<(), Self> {
        let code = ErrorCode(code);
        if !code.is_error() {
            return Ok(());
        }
        Err(Self::Kafka { what: what(), code, message: message.map(str::to_owned) })
    }

    /// Kafka's code, if the broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Kafka { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Another try may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Timeout { .. } | Self::NoLeader { .. } => true,
            Self::Kafka { code, .. } => code.is_retriable(),
            _ => false,
        }
    }
}

fn list(nodes: &[i32]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
