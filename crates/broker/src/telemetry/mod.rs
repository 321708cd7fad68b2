//! Clients' metrics (KIP-714): who is asked for which, and the values that came.
//!
//! A client asks for its subscription, that is, the union of all subscriptions that match it, and pushes what it says as often as it says. The newest values are kept
//! within bounds and told with the node's own metrics; they go when the client does.
//!
//! - [`manager`]: serves the two requests
//! - [`subscriptions`]: which clients a subscription is for, and its id
//! - [`gate`]: which requests of a client come too early, or too late
//! - [`instances`]: the clients that are known, at most so many
//! - [`series`]: the values of one client, at most so many
//! - [`otlp`]: OpenTelemetry's format of metrics
//! - [`wire`]: Protocol Buffers' encoding beneath it

mod gate;
mod instances;
mod manager;
mod otlp;
mod series;
mod subscriptions;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use self::manager::{Push, Telemetry};
