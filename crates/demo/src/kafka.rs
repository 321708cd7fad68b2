//! How to connect. The settings are librdkafka's; those of any other Kafka client mean the same.

use anyhow::{Context, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::StreamConsumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::FutureProducer;

/// The topic of purchases.
pub const TOPIC: &str = "compras";

/// How many partitions it has.
pub const PARTITIONS: i32 = 6;

/// The consumer group of the invoice service.
pub const GROUP: &str = "faturas";

/// A producer whose acknowledged records are on the disks of a majority, once each and in order, whatever happens.
///
/// # Errors
/// When librdkafka refuses the settings.
pub fn producer(bootstrap: &str) -> anyhow::Result<FutureProducer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "publisher")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .create()
        .context("cannot make a producer")
}

/// A consumer in the group, which says itself what it has dealt with.
///
/// # Errors
/// When librdkafka refuses the settings.
pub fn consumer(bootstrap: &str) -> anyhow::Result<StreamConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "invoices")
        .set("group.id", GROUP)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("enable.auto.offset.store", "false")
        .create()
        .context("cannot make a consumer")
}

/// Makes the topic, unless it is there.
///
/// # Errors
/// When it cannot be made.
pub async fn ensure_topic(bootstrap: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().context("cannot make an admin client")?;
    // -1: as many replicas as the cluster gives by default.
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(-1));
    let outcomes = admin.create_topics([&topic], &AdminOptions::new()).await.context("cannot make the topic")?;
    match outcomes.into_iter().next() {
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((topic, code))) => bail!("cannot make the topic {topic}: {code}"),
        None => bail!("the cluster gave no answer about the topic {TOPIC}"),
    }
}
