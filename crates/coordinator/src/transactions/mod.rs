//! Transactions (KIP-98, KIP-890): a row for each transactional id, in the shard that its hash names.
//!
//! Unlike a consumer group, which its leader decides about in memory, a transaction is decided about where its commands are applied: a command says
//! what a client wants, and the [`decide`]d outcome is the reply. So it does not matter who leads, whether two requests come at once, or whether
//! one comes twice.
//!
//! A transaction has a number. Its coordinator gives it to every [`Participant`] that joins, by way of whoever writes there; participants
//! take nothing for a transaction that has ended, whatever is late. Once the outcome is decided and durable, the leader of the shard tells all
//! participants until they know, then notes that the transaction is complete. If it dies, the next one begins again; being told twice
//! does nothing.
//!
//! # Layout
//! - [`command`], `reply`: what is proposed, and what comes of it
//! - `decide`, `table`: what becomes of a transactional id, and of all of a shard
//! - `pending`: the offsets that transactions have for consumer groups
//! - `requests`: what request handlers ask for
//! - `node`, `service`: what a node does about them, and what nodes ask each other
//! - `markers`, `sweep`: telling participants; transactions and transactional ids that have had their time
//! - `overdue`: partitions that were not told
//! - `turns`: since when things are there, and whose turn it is

pub(crate) mod command;
pub(crate) mod decide;
pub(crate) mod markers;
pub(crate) mod node;
mod overdue;
pub(crate) mod pending;
pub(crate) mod reply;
mod requests;
mod service;
pub(crate) mod sweep;
pub(crate) mod table;
mod turns;

use std::sync::Arc;

use caudal_types::{NodeId, ProducerEpoch, ProducerId, TimestampMs};

pub use crate::rows::Participant;

/// Why a transaction's request is refused. Each variant has one Kafka error code, mapped in `caudal-broker`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// NOT_COORDINATOR.
    #[error("this node does not coordinate the transactional id; ask for its coordinator")]
    NotCoordinator {
        /// The coordinator, if known.
        coordinator: Option<NodeId>,
    },
    /// COORDINATOR_NOT_AVAILABLE.
    #[error("the transaction's coordinator is not available: {0}")]
    NotAvailable(String),
    /// INVALID_REQUEST.
    #[error("{0}")]
    InvalidRequest(String),
    /// INVALID_TRANSACTION_TIMEOUT.
    #[error("the transaction time-out {got} ms is not between 1 and {max} ms (transaction.max.timeout.ms)")]
    InvalidTimeout {
        /// What was asked for.
        got: i32,
        /// The most.
        max: i32,
    },
    /// INVALID_PRODUCER_ID_MAPPING.
    #[error("the transactional id does not have this producer id; begin with InitProducerId")]
    UnknownProducer,
    /// PRODUCER_FENCED.
    #[error("the producer's epoch is not the current one: a newer producer has the transactional id")]
    Fenced,
    /// INVALID_PRODUCER_EPOCH.
    #[error("the producer's epoch is older than the newest one seen")]
    OldEpoch,
    /// CONCURRENT_TRANSACTIONS.
    #[error("the transaction before is not complete yet; try again")]
    Concurrent,
    /// INVALID_TXN_STATE.
    #[error("the transaction is not in a state that allows this")]
    InvalidState,
    /// TRANSACTION_ABORTABLE.
    #[error("the partition does not belong to the transaction; abort the transaction")]
    NotEnlisted,
    /// TRANSACTIONAL_ID_NOT_FOUND.
    #[error("there is no transactional id '{0}'")]
    NotFound(String),
    /// What a member of a consumer group is refused.
    #[error(transparent)]
    Group(#[from] crate::GroupError),
}

/// A producer under an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// The id.
    pub id: ProducerId,
    /// The epoch.
    pub epoch: ProducerEpoch,
}

/// A transaction to be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTransaction {
    /// Whose.
    pub transactional_id: Arc<str>,
    /// The producer, as it says.
    pub producer: ProducerIdentity,
    /// What the client speaks: 1, or 2 (KIP-890).
    pub protocol: u8,
    /// Whether participants join that are not part of it yet (which begins a transaction if there is none), or are only looked for.
    pub add: bool,
}

/// A transactional id, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTransaction {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// The producer that has it.
    pub producer: ProducerIdentity,
    /// The state, in Kafka's words.
    pub state: &'static str,
    /// How long transactions may take, in milliseconds.
    pub timeout_ms: i32,
    /// When the transaction began; -1 for none.
    pub started_at: TimestampMs,
    /// What takes part.
    pub participants: Vec<Participant>,
}
