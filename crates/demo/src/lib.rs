//! The demo: card purchases become invoice lines, while a leader dies, and the totals agree to the cent.
//!
//! Three small programs, written against librdkafka as any service would be; nothing in them is Caudal's own:
//!
//! - `publisher` publishes purchases ([`CompraEfetuada`]) with `acks=all` and the idempotent producer
//! - `invoices` is a consumer group that turns each purchase into a line of its card's invoice
//! - `audit` compares what the one published with what the other invoiced
//!
//! `scripts/demo` runs them against a cluster, and kills the leader in the middle.
//!
//! # Layout
//! - [`purchase`]: the event
//! - [`kafka`]: how to connect
//! - [`ledger`]: invoices, kept so that nothing counts twice
//! - [`latency`]: percentiles of times
//! - [`gaps`]: how long each partition went without an acknowledgement
//! - [`report`]: what the programs write down at the end, and how it is compared
//! - [`screen`]: lines for people

pub mod gaps;
pub mod kafka;
pub mod latency;
pub mod ledger;
pub mod purchase;
pub mod report;
pub mod screen;

pub use purchase::CompraEfetuada;
