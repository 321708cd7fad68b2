//! librdkafka's settings, topics and their offsets.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;

/// How long any one question may take.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Which topic, and where it is.
#[derive(Clone, Debug, clap::Args)]
pub struct TopicAt {
    /// `bootstrap.servers`
    #[arg(long)]
    pub(crate) bootstrap: String,
    /// The topic's name
    #[arg(long)]
    pub(crate) topic: String,
}

/// Of the command `topic`.
#[derive(Debug, clap::Args)]
pub struct TopicArgs {
    #[command(flatten)]
    at: TopicAt,
    /// How many partitions it gets
    #[arg(long)]
    partitions: i32,
    /// A setting of the topic, such as `retention.bytes=1000000`
    #[arg(long)]
    set: Vec<String>,
}

/// The settings that all clients share.
#[must_use]
pub fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "caudal-bench")
        // A node that comes back is noticed at once, instead of up to ten seconds later.
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// A consumer without a group's duties: it reads what it assigns itself.
///
/// # Errors
/// When librdkafka refuses the settings.
pub fn reader(bootstrap: &str) -> anyhow::Result<BaseConsumer> {
    config(bootstrap)
        .set("group.id", "caudal-bench-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        // By default it would not ask for more for a second once it has much: the reader would rest, and not the broker.
        .set("fetch.queue.backoff.ms", "1")
        .create()
        .context("cannot make a consumer")
}

/// Makes a topic, waits until it has leaders, and tells how long that took.
///
/// # Errors
/// When the cluster refuses it, or does not lead it within a minute or so.
pub fn make_topic(args: &TopicArgs) -> anyhow::Result<()> {
    let TopicAt { bootstrap, topic: name } = &args.at;
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create().context("no admin client")?;
    admin.inner().fetch_metadata(None, TIMEOUT).context("the cluster does not answer")?;
    let mut topic = NewTopic::new(name, args.partitions, TopicReplication::Fixed(3));
    for setting in &args.set {
        let (key, value) = setting.split_once('=').with_context(|| format!("--set {setting}: write KEY=VALUE"))?;
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let start = Instant::now();
    for outcome in futures::executor::block_on(admin.create_topics([&topic], &options))? {
        if let Err((name, code)) = outcome {
            bail!("cannot make the topic {name}: {code}");
        }
    }
    let answered = start.elapsed();
    let deadline = start + 2 * TIMEOUT;
    while led(&admin, name)? < args.partitions {
        if Instant::now() > deadline {
            bail!("not all partitions of {name} have leaders after {:?}", 2 * TIMEOUT);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let led = start.elapsed();
    println!("{}", json!({"s until answered": answered.as_secs_f64(), "s until all have leaders": led.as_secs_f64()}));
    Ok(())
}

fn led(admin: &AdminClient<DefaultClientContext>, topic: &str) -> anyhow::Result<i32> {
    let metadata = admin.inner().fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    Ok(i32::try_from(partitions.filter(|partition| partition.leader() >= 0).count())?)
}

/// Each partition of a topic with its first offset and the one after its last.
///
/// # Errors
/// When a partition does not answer.
pub fn offsets(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<(i32, i64, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).context("no metadata")?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
    partitions
        .map(|id| {
            let (low, high) =
                watermarks(consumer, topic, id).with_context(|| format!("{topic}-{id} does not answer"))?;
            Ok((id, low, high))
        })
        .collect()
}

/// Asks again while a leader is being replaced.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Tells how many records a topic holds.
///
/// # Errors
/// When a partition does not answer.
pub fn count(at: &TopicAt) -> anyhow::Result<()> {
    let offsets = offsets(&reader(&at.bootstrap)?, &at.topic)?;
    let records: i64 = offsets.iter().map(|(_, low, high)| high - low).sum();
    println!("{}", json!({"records": records, "partitions": offsets.len()}));
    Ok(())
}
