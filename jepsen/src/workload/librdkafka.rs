//! How the workloads' clients on librdkafka are configured.

use rdkafka::config::ClientConfig;

use super::client::{REQUEST_WITHIN, SEND_WITHIN, TRANSACTION_WITHIN};

/// What all of them have.
pub(super) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("allow.auto.create.topics", "false")
        .set("socket.connection.setup.timeout.ms", "2000")
        .set("reconnect.backoff.max.ms", "1000")
        .set("topic.metadata.refresh.interval.ms", "5000")
        // Connection errors are what these runs are made of.
        .set("log_level", "0");
    config
}

/// Makes it a producer's: idempotent, or with a transactional id.
pub(super) fn producer(mut config: ClientConfig, transactional_id: Option<&str>) -> ClientConfig {
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("request.timeout.ms", REQUEST_WITHIN.as_millis().to_string())
        .set("message.timeout.ms", SEND_WITHIN.as_millis().to_string());
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", TRANSACTION_WITHIN.as_millis().to_string());
    }
    config
}
